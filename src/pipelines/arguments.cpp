#include "pipelines/arguments.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>

#include "base/error.h"
#include "base/human.h"
#include "base/suggest.h"
#include "checkpoint/safetensors.h"

namespace prax::pipelines {

namespace {

using nlohmann::json;

std::vector<std::string> names_of(const std::vector<Argument>& arguments) {
  std::vector<std::string> names;
  for (const Argument& a : arguments) names.push_back(a.name);
  return names;
}

bool is_whole(const json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && std::nearbyint(value.get<double>()) == value.get<double>() &&
          std::abs(value.get<double>()) < 1e15);
}

bool all_of(const json& value, auto&& test) {
  return value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), test);
}

//! The value in its argument's type, or a discarded one.
json coerced(const json& value, const std::string& type) {
  const auto number = [](const json& v) { return v.is_number() && std::isfinite(v.get<double>()); };
  if (type == "int" && is_whole(value)) return static_cast<int64_t>(value.get<double>());
  if (type == "float" && number(value)) return value.get<double>();
  if (type == "floats" && all_of(value, number)) return value;
  if ((type == "string" || type == "file") && value.is_string()) return value;
  return json(json::value_t::discarded);
}

std::string spoken(const std::string& type) {
  if (type == "int") return "a whole number";
  if (type == "float") return "a number";
  if (type == "floats") return "a list of numbers, like [1000,750,500,250]";
  if (type == "file") return "the path of a safetensors file";
  return "text";
}

}  // namespace

void apply_folder_defaults(const checkpoint::Folder& folder, std::vector<Argument>& arguments) {
  const auto file = folder.path() / "praxinoscope.json";
  if (!std::filesystem::exists(file)) return;
  const checkpoint::Config config = checkpoint::Config::read(file);
  const json defaults = config.get<json>("defaults", json::object());
  if (!defaults.is_object())
    throw Error(ErrorKind::checkpoint, file.string() + ": \"defaults\" is not an object", "remove it or mend it");
  for (const auto& [name, value] : defaults.items()) {
    const auto it = std::find_if(arguments.begin(), arguments.end(), [&](const Argument& a) { return a.name == name; });
    const json typed = it == arguments.end() ? json(json::value_t::discarded) : coerced(value, it->type);
    if (typed.is_discarded())
      throw Error(ErrorKind::checkpoint,
                  file.string() + ": the default of \"" + name + "\" fits no argument of the pipeline",
                  "remove it or mend it");
    it->default_value = typed;
  }
}

json complete_arguments(const json& given, const std::vector<Argument>& arguments) {
  json complete = json::object();
  for (const Argument& a : arguments) complete[a.name] = a.default_value;
  for (const auto& [name, value] : given.items()) {
    const auto it = std::find_if(arguments.begin(), arguments.end(), [&](const Argument& a) { return a.name == name; });
    if (it == arguments.end()) {
      const std::string near = nearest_word(name, names_of(arguments));
      throw Error(ErrorKind::usage, "\"" + name + "\" is not an argument of this model",
                  near.empty() ? "see `prax info` for those that it has" : "did you mean \"" + near + "\"?");
    }
    if (value.is_null()) continue;
    const json typed = coerced(value, it->type);
    if (typed.is_discarded())
      throw Error(ErrorKind::usage, name + " must be " + spoken(it->type) + ", not " + value.dump(),
                  it->help.empty() ? "" : name + ": " + it->help);
    complete[name] = typed;
  }
  return complete;
}

Tensor read_tensor(const std::filesystem::path& file) {
  const auto tensors = checkpoint::SafetensorsFile::open(file);
  if (tensors->entries().size() != 1)
    throw Error(ErrorKind::input, file.string() + " holds " + std::to_string(tensors->entries().size()) + " tensors",
                "give a safetensors file with just one");
  const Tensor stored = tensors->tensor(tensors->entries().begin()->first);
  return stored.dtype() == DType::f32 ? stored.clone() : stored.to(DType::f32);
}

void require_utf8(const std::string& text, const char* what) {
  const size_t bad = invalid_utf8_offset(text);
  if (bad != std::string::npos)
    throw Error(ErrorKind::usage, std::string(what) + " is not valid UTF-8 (byte " + std::to_string(bad) + ")",
                "save or type it as UTF-8 text");
}

}  // namespace prax::pipelines
