#include "server/form.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/human.h"
#include "base/suggest.h"
#include "server/errors.h"

namespace prax::server {
namespace {

using nlohmann::json;

json file_leaf(size_t index) { return json::binary({}, index); }

[[noreturn]] void refuse_name(std::string_view name) {
  throw bad_field(std::string(name.substr(0, 100)),
                  "The field's name cannot be understood; write a, a[b], a[] or a[][b]", "invalid_parameter_name");
}

//! A tree takes many times the memory of its text, and what copies and writes it goes down by calling itself: neither
//! is to grow with what a client sends.
json parse_body(const std::string& text) {
  constexpr int deepest = 32;
  constexpr size_t most_events = 100'000;
  size_t events = 0;
  const auto watch = [&events](int depth, json::parse_event_t, const json&) {
    if (depth > deepest || ++events > most_events)
      throw http::HttpError(400, "json_too_complex",
                            "The body's JSON is nested more than 32 deep, or has more than 100000 parts");
    return true;
  };
  return json::parse(text, watch, false);
}

//! "loras[][id]" -> "loras", "", "id".
std::vector<std::string> split_name(std::string_view name) {
  constexpr size_t deepest = 8;
  const size_t bracket = name.find('[');
  std::vector<std::string> parts{std::string(name.substr(0, bracket))};
  if (parts[0].empty() || parts[0].find(']') != std::string::npos) refuse_name(name);
  std::string_view rest = bracket == std::string_view::npos ? "" : name.substr(bracket);
  while (!rest.empty()) {
    const size_t end = rest.find(']');
    if (!rest.starts_with('[') || end == std::string_view::npos || parts.size() >= deepest) refuse_name(name);
    parts.emplace_back(rest.substr(1, end - 1));
    rest.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace

Form::Form(http::Request& request) {
  if (request.body.multipart) {
    of_texts_ = true;
    parts_ = &request.body.parts;
    for (size_t i = 0; i < parts_->size(); ++i) {
      http::Part& part = (*parts_)[i];
      if (part.filename) {
        place(part.name, file_leaf(i));
        continue;
      }
      std::string text = part.content.text();
      if (invalid_utf8_offset(text) != std::string_view::npos)
        throw bad_field(part.name, "The field's text is not UTF-8; a file needs a filename");
      place(part.name, std::move(text));
    }
    return;
  }
  const std::string text = request.body.content.text();
  if (text.empty()) return;  // a body that may be absent
  json parsed = parse_body(text);
  if (parsed.is_discarded()) throw http::HttpError(400, "invalid_json", "The body is no JSON");
  if (!parsed.is_object()) throw http::HttpError(400, "invalid_json", "The body must be a JSON object");
  tree_ = std::move(parsed);
}

void Form::place(std::string_view name, json value) {
  const auto parts = split_name(name);
  json* at = &tree_;
  for (size_t i = 0; i < parts.size(); ++i) {
    const bool last = i + 1 == parts.size();
    if (parts[i].empty()) {  // a list's next element
      if (at->is_null()) *at = json::array();
      if (!at->is_array()) refuse_name(name);
      // a[][id], a[][w]: an element is complete when its first member comes again.
      const bool opens = last || at->empty() || !at->back().is_object() || at->back().contains(parts[i + 1]);
      if (opens) at->push_back(json());
      at = &at->back();
    } else {
      if (at->is_null()) *at = json::object();
      if (!at->is_object()) refuse_name(name);
      at = &(*at)[parts[i]];
    }
    if (last) {
      if (!at->is_null()) throw bad_field(std::string(name), "The field is there twice", "duplicate_parameter");
      *at = std::move(value);
    }
  }
}

http::Part* Form::file(const json& leaf) const {
  if (!leaf.is_binary() || !parts_) return nullptr;
  return &parts_->at(static_cast<size_t>(leaf.get_binary().subtype()));
}

FieldReader::FieldReader(const Form& form, const json& object, std::string path)
    : form_(form), object_(object), path_(std::move(path)) {
  if (!object_.is_object()) throw bad_field(path_, "'" + path_ + "' must be an object");
}

std::string FieldReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

bool FieldReader::has(std::string_view name) const {
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

std::string FieldReader::one_of(std::initializer_list<const char*> names) {
  std::string first;
  for (const char* name : names) {
    asked_.emplace_back(name);
    if (!has(name)) continue;
    if (!first.empty())
      throw bad_field(path_of(name), "'" + first + "' and '" + name + "' mean the same; give one of them");
    first = name;
  }
  return first;
}

const json* FieldReader::raw(std::string_view name) {
  asked_.emplace_back(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> FieldReader::text(std::string_view name, size_t least, size_t most) {
  const json* value = raw(name);
  if (!value) return std::nullopt;
  if (!value->is_string()) throw bad_field(path_of(name), "'" + path_of(name) + "' must be a text", "invalid_type");
  const auto& string = value->get_ref<const std::string&>();
  const size_t count = count_characters(string);
  if (count < least || count > most)
    throw bad_field(path_of(name), "'" + path_of(name) + "' must have " + std::to_string(least) + " to " +
                                       std::to_string(most) + " characters, and has " + std::to_string(count));
  if (string.find('\0') != std::string::npos)
    throw bad_field(path_of(name), "'" + path_of(name) + "' holds a zero byte");
  return string;
}

std::string FieldReader::require_text(std::string_view name, size_t least, size_t most) {
  auto value = text(name, least, most);
  if (!value) throw missing_field(path_of(name));
  return *value;
}

std::optional<double> FieldReader::number(std::string_view name, double least, double most) {
  const json* value = raw(name);
  if (!value) return std::nullopt;
  double number = 0;
  if (value->is_number()) {
    number = value->get<double>();
  } else {
    const std::string* text = value->is_string() && form_.of_texts() ? value->get_ptr<const std::string*>() : nullptr;
    if (!text) throw bad_field(path_of(name), "'" + path_of(name) + "' must be a number", "invalid_type");
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error != std::errc() || end != text->data() + text->size())
      throw bad_field(path_of(name), "'" + path_of(name) + "' must be a number", "invalid_type");
  }
  if (!(number >= least && number <= most))
    throw bad_field(path_of(name),
                    "'" + path_of(name) + "' must be from " + human_number(least) + " to " + human_number(most));
  return number;
}

std::optional<int64_t> FieldReader::whole(std::string_view name, int64_t least, int64_t most) {
  const auto value = number(name, static_cast<double>(least), static_cast<double>(most));
  if (!value) return std::nullopt;
  if (*value != std::floor(*value))
    throw bad_field(path_of(name), "'" + path_of(name) + "' must be a whole number", "invalid_type");
  return static_cast<int64_t>(*value);
}

std::optional<bool> FieldReader::flag(std::string_view name) {
  const json* value = raw(name);
  if (!value) return std::nullopt;
  if (value->is_boolean()) return value->get<bool>();
  if (form_.of_texts() && value->is_string()) {
    const auto& text = value->get_ref<const std::string&>();
    if (text == "true" || text == "1") return true;
    if (text == "false" || text == "0") return false;
  }
  throw bad_field(path_of(name), "'" + path_of(name) + "' must be true or false", "invalid_type");
}

std::vector<const json*> FieldReader::list(std::string_view name, size_t most) {
  const json* value = raw(name);
  if (!value) return {};
  if (!value->is_array()) throw bad_field(path_of(name), "'" + path_of(name) + "' must be a list", "invalid_type");
  if (value->size() > most)
    throw bad_field(path_of(name), "'" + path_of(name) + "' has more than " + std::to_string(most) + " elements");
  std::vector<const json*> elements;
  for (const json& element : *value) elements.push_back(&element);
  return elements;
}

void FieldReader::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(asked_.begin(), asked_.end(), name) != asked_.end()) continue;
    const std::string near = nearest_word(name, asked_);
    throw bad_field(path_of(name.substr(0, 100)),
                    "There is no field '" + path_of(name.substr(0, 100)) + "' here" +
                        (near.empty() ? "" : "; did you mean '" + near + "'?"),
                    "unknown_parameter");
  }
}

http::HttpError missing_field(const std::string& param) {
  return bad_field(param, "The field '" + param + "' is missing", "missing_required_parameter");
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace prax::server
