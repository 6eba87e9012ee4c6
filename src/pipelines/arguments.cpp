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

bool is_number(const json& value) { return value.is_number() && std::isfinite(value.get<double>()); }

bool has_only(const json& object, std::initializer_list<const char*> keys) {
  return std::all_of(object.items().begin(), object.items().end(), [&](const auto& item) {
    return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return item.key() == key; });
  });
}

bool is_whole_or_absent(const json& object, const char* key) { return !object.contains(key) || is_whole(object[key]); }

bool is_clip(const json& value) {
  if (value.is_string()) return true;
  return value.is_object() && has_only(value, {"file", "start", "frames"}) && value.contains("file") &&
         value["file"].is_string() && is_whole_or_absent(value, "start") && is_whole_or_absent(value, "frames");
}

bool is_condition(const json& value) {
  if (!value.is_object() || !has_only(value, {"image", "video", "frame_index", "strength"})) return false;
  if (value.contains("image") == value.contains("video")) return false;
  if (value.contains("image") ? !value["image"].is_string() : !is_clip(value["video"])) return false;
  return is_whole_or_absent(value, "frame_index") && (!value.contains("strength") || is_number(value["strength"]));
}

bool is_segment(const json& value) {
  return value.is_object() && has_only(value, {"start_window", "end_window", "text"}) && value.contains("text") &&
         value["text"].is_string() && is_whole_or_absent(value, "start_window") &&
         is_whole_or_absent(value, "end_window");
}

//! One type of argument.
struct Type {
  const char* name;
  bool (*fits)(const json&);
  const char* spoken;
};

constexpr Type types[] = {
    {"int", [](const json& v) { return is_whole(v); }, "a whole number"},
    {"float", [](const json& v) { return is_number(v); }, "a number"},
    {"bool", [](const json& v) { return v.is_boolean(); }, "true or false"},
    {"string", [](const json& v) { return v.is_string(); }, "text"},
    {"floats", [](const json& v) { return all_of(v, is_number); }, "a list of numbers, like [1000,750,500,250]"},
    {"int or ints", [](const json& v) { return is_whole(v) || all_of(v, is_whole); }, "a whole number or a list"},
    {"float or floats", [](const json& v) { return is_number(v) || all_of(v, is_number); }, "a number or a list"},
    {"file", [](const json& v) { return v.is_string(); }, "the path of a safetensors file"},
    {"picture", [](const json& v) { return v.is_string() || all_of(v, [](const json& e) { return e.is_string(); }); },
     "the path of a picture, or a list of paths"},
    {"clip", [](const json& v) { return is_clip(v) || all_of(v, is_clip); },
     R"(the path of a clip, or {"file": path, "start": first frame, "frames": how many})"},
    {"conditions", [](const json& v) { return all_of(v, is_condition); },
     R"(a list like [{"image": "a.png", "frame_index": 0, "strength": 1.0}, {"video": "b.mp4", "frame_index": 8}])"},
    {"tiling", [](const json& v) { return v.is_boolean() || v.is_object(); },
     R"(true, false or sizes, like {"tile_sample_min_height": 512})"},
    {"segments", [](const json& v) { return all_of(v, is_segment); },
     R"(a list like [{"start_window": 0, "end_window": 1, "text": "a red balloon"}])"},
};

const Type& type_named(const std::string& name) {
  for (const Type& type : types)
    if (type.name == name) return type;
  throw Error(ErrorKind::internal, "there is no argument type " + name);
}

//! The value in its argument's type, or a discarded one.
json coerced(const json& value, const std::string& type) {
  if (!type_named(type).fits(value)) return json(json::value_t::discarded);
  if (type == "int") return static_cast<int64_t>(value.get<double>());
  if (type == "float") return value.get<double>();
  return value;
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
      throw Error(ErrorKind::usage, name + " must be " + type_named(it->type).spoken + ", not " + value.dump(),
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

Tensor tensor_argument(const Request& request, const std::string& name) {
  if (const auto given = request.tensors.find(name); given != request.tensors.end())
    return given->second.to(DType::f32);
  const json& file = request.arguments.at(name);
  return file.is_null() ? Tensor() : read_tensor(file.get<std::string>());
}

void require_range(const json& arguments, const char* name, int64_t low, int64_t high) {
  const int64_t value = arguments.at(name).get<int64_t>();
  if (value < low || value > high)
    throw Error(ErrorKind::usage, std::string(name) + " is " + std::to_string(value) + ", which cannot be",
                "use " + std::to_string(low) + " to " + std::to_string(high));
}

std::string nearest_multiples(int64_t value, int64_t multiple, int64_t offset) {
  const int64_t below = std::max<int64_t>(0, (value - offset) / multiple) * multiple + offset;
  const int64_t above = below + multiple;
  return below > 0 && below >= (offset ? 1 : multiple) ? std::to_string(below) + " or " + std::to_string(above)
                                                       : std::to_string(above);
}

void require_utf8(const std::string& text, const char* what) {
  const size_t bad = invalid_utf8_offset(text);
  if (bad != std::string::npos)
    throw Error(ErrorKind::usage, std::string(what) + " is not valid UTF-8 (byte " + std::to_string(bad) + ")",
                "save or type it as UTF-8 text");
}

}  // namespace prax::pipelines
