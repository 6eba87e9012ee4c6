#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include "base/error.h"
#include "base/paths.h"
#include "base/suggest.h"
#include "server/settings.h"

namespace prax::server {
namespace {

namespace fs = std::filesystem;

const Setting* find_setting(std::string_view key) {
  const auto& table = settings_table();
  const auto found = std::find_if(table.begin(), table.end(), [&](const Setting& s) { return s.key() == key; });
  return found == table.end() ? nullptr : &*found;
}

[[noreturn]] void refuse_type(const fs::path& file, const std::string& key, const std::string& wanted) {
  throw Error(ErrorKind::usage, key + " in " + file.string() + " must be " + wanted);
}

std::string scalar(const fs::path& file, const std::string& key, const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* flag = node.as_boolean()) return flag->get() ? "true" : "false";
  if (const auto* number = node.as_floating_point()) {
    std::ostringstream text;
    text << number->get();
    return text.str();
  }
  refuse_type(file, key, "a text, a number, true or false");
}

//! What names a file or folder is meant from the configuration's folder.
std::string from_folder(const fs::path& folder, const Setting& setting, std::string value) {
  constexpr std::string_view paths[] = {"data", "storage",  "tls-certificate", "tls-key",       "model",
                                        "lora", "upscaler", "studio",          "review-program"};
  if (std::find(std::begin(paths), std::end(paths), setting.name) == std::end(paths)) return value;
  if (value.empty() || value.starts_with('/') || value.starts_with("~/") || value == "nano") return value;
  if (value.find("://") != std::string::npos) return value;  // s3://...
  return (folder / value).lexically_normal().string();
}

std::vector<std::string> words_of(const fs::path& file, const Setting& setting, const toml::node& node) {
  const fs::path folder = fs::absolute(file).parent_path();
  std::vector<std::string> words;
  switch (setting.shape) {
    case SettingShape::pairs: {
      const auto* table = node.as_table();
      if (!table) refuse_type(file, setting.key(), "a table, like [" + setting.key() + "] with lines NAME = \"VALUE\"");
      for (const auto& [name, value] : *table)
        words.push_back(std::string(name.str()) + "=" +
                        from_folder(folder, setting, scalar(file, setting.key(), value)));
      break;
    }
    case SettingShape::list:
      if (const auto* array = node.as_array()) {
        for (const toml::node& value : *array) words.push_back(scalar(file, setting.key(), value));
      } else {
        words.push_back(scalar(file, setting.key(), node));
      }
      break;
    case SettingShape::flag:
      if (!node.is_boolean()) refuse_type(file, setting.key(), "true or false");
      [[fallthrough]];
    case SettingShape::word:
      words.push_back(from_folder(folder, setting, scalar(file, setting.key(), node)));
  }
  return words;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  std::stringstream stream(text);
  for (std::string word; std::getline(stream, word, ',');)
    if (!word.empty()) words.push_back(word);
  return words;
}

SettingWords from_environment(const std::function<const char*(const char*)>& variable) {
  SettingWords words;
  for (const Setting& setting : settings_table()) {
    const char* value = variable(setting.variable().c_str());
    if (!value) continue;
    const bool several = setting.shape == SettingShape::list || setting.shape == SettingShape::pairs;
    words[setting.name] = several ? split(value) : std::vector<std::string>{value};
  }
  return words;
}

fs::path usual_data_folder(const std::function<const char*(const char*)>& variable) {
  if (const char* place = variable("XDG_DATA_HOME"); place && *place) return fs::path(place) / "praxinoscope";
  if (home_path().empty())
    throw Error(ErrorKind::usage, "there is no home folder to keep the server's data in", "name a folder with --data");
  return home_path() / ".local/share/praxinoscope";
}

void apply(Settings& settings, const SettingWords& words, const std::function<std::string(const Setting&)>& source) {
  for (const Setting& setting : settings_table()) {
    const auto found = words.find(setting.name);
    if (found == words.end()) continue;
    try {
      if (found->second.empty() && setting.shape == SettingShape::word)
        throw Error(ErrorKind::usage, "there is no value");
      setting.apply(settings, found->second);
    } catch (const Error& error) {
      throw Error(ErrorKind::usage, source(setting) + ": " + error.what(), error.hint());
    }
  }
}

}  // namespace

SettingWords read_settings_file(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(ErrorKind::io, "the settings in " + file.string() + " cannot be read");
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::usage,
                file.string() + " line " + std::to_string(error.source().begin.line) +
                    " is no TOML: " + std::string(error.description()),
                "see docs/operations.md for an example");
  }
  SettingWords words;
  for (const auto& [key, node] : table) {
    const Setting* setting = find_setting(key.str());
    if (!setting) {
      std::vector<std::string> known;
      for (const Setting& s : settings_table()) known.push_back(s.key());
      const std::string near = nearest_word(key.str(), known);
      throw Error(ErrorKind::usage, "\"" + std::string(key.str()) + "\" in " + file.string() + " is no setting",
                  near.empty() ? "`prax help serve` lists the settings" : "did you mean " + near + "?");
    }
    words[setting->name] = words_of(file, *setting, node);
  }
  return words;
}

Settings load_settings(const SettingWords& flags, const fs::path& config,
                       const std::function<const char*(const char*)>& variable) {
  const SettingWords environment = from_environment(variable);
  Settings early;  // to know the data folder, which may hold the file
  const auto data_only = [](const SettingWords& words) {
    SettingWords data;
    if (const auto found = words.find("data"); found != words.end()) data.insert(*found);
    return data;
  };
  const auto from_variable = [](const Setting& s) { return s.variable(); };
  const auto from_flag = [](const Setting& s) { return "--" + s.name; };
  apply(early, data_only(environment), from_variable);
  apply(early, data_only(flags), from_flag);
  fs::path file = config;
  if (const char* named = variable("PRAX_CONFIG"); file.empty() && named && *named) file = named;
  if (file.empty()) {
    const fs::path usual = (early.data.empty() ? usual_data_folder(variable) : early.data) / "config.toml";
    if (fs::exists(usual)) file = usual;
  }
  Settings settings;
  if (!file.empty())
    apply(settings, read_settings_file(file), [&](const Setting& s) { return s.key() + " in " + file.string(); });
  apply(settings, environment, from_variable);
  apply(settings, flags, from_flag);
  if (settings.data.empty()) settings.data = usual_data_folder(variable);
  if (settings.tls_certificate.empty() != settings.tls_key.empty())
    throw Error(ErrorKind::usage, "a TLS certificate and its key go together",
                "give both --tls-certificate and --tls-key, or neither");
  if (settings.no_keys && !settings.loopback_only())
    throw Error(ErrorKind::usage, "--no-keys lets everyone in, and " + settings.host + " is not this machine alone",
                "leave --no-keys out and make a key with `prax keys create NAME`, or listen on 127.0.0.1");
  const auto& origins = settings.cors_origins;
  if (settings.no_keys && std::find(origins.begin(), origins.end(), "*") != origins.end())
    throw Error(ErrorKind::usage, "--no-keys and --cors-origins * let every web page that is open here use the server",
                "name the pages' origins, or make a key with `prax keys create NAME`");
  return settings;
}

}  // namespace prax::server
