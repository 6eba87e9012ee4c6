#include "manifest.h"

#include <algorithm>
#include <cctype>
#include <fstream>

#include "base/error.h"
#include "base/paths.h"

namespace prax::app {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* ending = ".json";

[[noreturn]] void no_manifest(const fs::path& file) {
  throw Error(ErrorKind::input, file.string() + " does not describe a model",
              R"(give a component's config.json, or a manifest: {"class": ..., "config": {...}})");
}

std::string plain(const std::string& name) {
  std::string text;
  for (char c : name)
    text += c == '-' || c == '.' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

std::vector<Manifest> read_manifests(const fs::path& file) {
  std::ifstream stream(file);
  if (!stream || fs::is_directory(file))
    throw Error(ErrorKind::io, file.string() + " cannot be read", "check the path");
  const json values = json::parse(stream, nullptr, false);
  if (!values.is_object()) no_manifest(file);
  std::vector<Manifest> found;
  if (values.contains("components")) {
    if (!values["components"].is_object()) no_manifest(file);
    for (const auto& [component, name] : values["components"].items()) {
      if (!name.is_string()) no_manifest(file);
      for (Manifest& m : read_manifests(file.parent_path() / (name.get<std::string>() + ending)))
        found.push_back(std::move(m));
    }
    return found;
  }
  const bool wrapped = values.contains("class") && values.contains("config");
  Manifest m{file.stem().string(), {}, checkpoint::Config(wrapped ? values["config"] : values, file.string())};
  m.class_name = wrapped && values["class"].is_string() ? values["class"].get<std::string>() : m.config.class_name();
  if (m.class_name.empty()) no_manifest(file);
  return {std::move(m)};
}

std::vector<Manifest> find_manifests(const std::string& name) {
  const fs::path folder = manifests_path();
  const std::string wanted = plain(name);
  std::vector<fs::path> files, matching;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ending) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string stem = plain(file.stem().string());
    if (stem == wanted) return read_manifests(file);
    if (!wanted.empty() && stem.starts_with(wanted + "_")) matching.push_back(file);
  }
  if (matching.size() == 1) return read_manifests(matching[0]);
  std::string names;
  for (const fs::path& file : matching.empty() ? files : matching)
    names += (names.empty() ? "" : ", ") + file.stem().string();
  throw Error(ErrorKind::usage,
              matching.empty() ? "there is no manifest of a model \"" + name + "\""
                               : "more than one model's name begins with \"" + name + "\"",
              "use one of " + names);
}

}  // namespace prax::app
