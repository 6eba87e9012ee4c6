#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace prax::server {

//! A request's body, JSON or multipart, as one tree. Multipart names with brackets become objects and lists
//! (`video[id]`, `loras[][id]`); their values are texts. Files are leaves of their own kind that no JSON text can make.
class Form {
public:
  //! Throws HttpError(400) for a body that is no JSON object, or names that contradict each other.
  explicit Form(http::Request& request);

  const nlohmann::json& tree() const { return tree_; }
  //! From a multipart body: numbers and booleans are texts.
  bool of_texts() const { return of_texts_; }
  //! The file of a leaf; null when the leaf is none.
  http::Part* file(const nlohmann::json& leaf) const;

private:
  void place(std::string_view name, nlohmann::json value);

  nlohmann::json tree_ = nlohmann::json::object();
  std::vector<http::Part>* parts_ = nullptr;
  bool of_texts_ = false;
};

//! Reads an object's members by name and type, and knows in the end which ones nobody asked for. Throws HttpError(400)
//! with the field's path in `param`.
class FieldReader {
public:
  FieldReader(const Form& form, const nlohmann::json& object, std::string path = {});

  bool has(std::string_view name) const;
  //! The first of these names that is there; "" for none. Error when two are: they mean the same.
  std::string one_of(std::initializer_list<const char*> names);

  //! nullptr when absent or null.
  const nlohmann::json* raw(std::string_view name);
  std::optional<std::string> text(std::string_view name, size_t least_characters, size_t most_characters);
  std::optional<int64_t> whole(std::string_view name, int64_t least, int64_t most);
  std::optional<double> number(std::string_view name, double least, double most);
  std::optional<bool> flag(std::string_view name);
  //! A list's elements; empty when absent.
  std::vector<const nlohmann::json*> list(std::string_view name, size_t most);
  std::string require_text(std::string_view name, size_t least_characters, size_t most_characters);

  //! Error(400, unknown_parameter) that names the nearest known field.
  void finish() const;
  std::string path_of(std::string_view name) const;
  const Form& form() const { return form_; }

private:
  const Form& form_;
  const nlohmann::json& object_;
  std::string path_;
  std::vector<std::string> asked_;
};

//! 400 unless the field's object is there.
http::HttpError missing_field(const std::string& param);

//! Number of characters (code points) of a UTF-8 text.
size_t count_characters(std::string_view text);

}  // namespace prax::server
