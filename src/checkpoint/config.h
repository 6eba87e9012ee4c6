#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace prax::checkpoint {

namespace detail {

template <typename T>
struct is_vector : std::false_type {};
template <typename E>
struct is_vector<std::vector<E>> : std::true_type {};

//! Reads a JSON value as a T without the silent conversions of nlohmann's get(): a bool is no number, 4.5 is no
//! integer (4.0 is), -1 is no unsigned, an out of range integer is none; the same inside lists.
template <typename T>
bool read_value(const nlohmann::json& json, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!json.is_boolean()) return false;
    value = json.get<bool>();
    return true;
  } else if constexpr (std::is_integral_v<T>) {
    if (json.is_number_unsigned()) {
      const auto number = json.get<uint64_t>();
      value = static_cast<T>(number);
      return std::in_range<T>(number);
    }
    if (json.is_number_integer()) {
      const auto number = json.get<int64_t>();
      value = static_cast<T>(number);
      return std::in_range<T>(number);
    }
    if (!json.is_number_float()) return false;
    const double number = json.get<double>();
    // Beyond 2^53 a double does not say which integer was meant.
    if (std::trunc(number) != number || std::abs(number) > 0x1p53) return false;
    value = static_cast<T>(static_cast<int64_t>(number));
    return std::in_range<T>(static_cast<int64_t>(number));
  } else if constexpr (std::is_floating_point_v<T>) {
    if (json.is_number()) {
      value = json.get<T>();
      return true;
    }
    // Python's spelling of the non-finite numbers, see parse_json().
    if (!json.is_string()) return false;
    const auto& text = json.get_ref<const std::string&>();
    if (text == "Infinity") return value = std::numeric_limits<T>::infinity(), true;
    if (text == "-Infinity") return value = -std::numeric_limits<T>::infinity(), true;
    if (text == "NaN") return value = std::numeric_limits<T>::quiet_NaN(), true;
    return false;
  } else if constexpr (is_vector<T>::value) {
    if (!json.is_array()) return false;
    value.clear();
    for (const auto& item : json) {
      typename T::value_type element{};
      if (!read_value(item, element)) return false;
      value.push_back(std::move(element));
    }
    return true;
  } else {
    try {
      value = json.get<T>();
      return true;
    } catch (const nlohmann::json::exception&) {
      return false;
    }
  }
}

//! "a whole number", "a list of strings" ...
template <typename T>
std::string name_of_type(bool plural = false) {
  if constexpr (std::is_same_v<T, bool>) {
    return plural ? "booleans" : "true or false";
  } else if constexpr (std::is_integral_v<T>) {
    return plural ? "whole numbers" : "a whole number";
  } else if constexpr (std::is_floating_point_v<T>) {
    return plural ? "numbers" : "a number";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return plural ? "strings" : "a string";
  } else if constexpr (is_vector<T>::value) {
    return (plural ? "lists of " : "a list of ") + name_of_type<typename T::value_type>(true);
  } else {
    return plural ? "values of another type" : "another type";
  }
}

}  // namespace detail

//! One component's config.json. get() gives a key's value, or the reference class's default where it is absent or
//! null; a value of another type is an Error(checkpoint) that names file and key.
class Config {
public:
  Config() = default;
  //! Error(checkpoint) when `values` is no JSON object.
  explicit Config(nlohmann::json values, std::string origin = {});
  static Config read(const std::filesystem::path& file);

  //! T is bool, an integer (4.0 counts as 4), a floating-point type, std::string, or a std::vector of those.
  template <typename T>
  T get(const std::string& key, const T& absent) const {
    auto it = values_.find(key);
    if (it == values_.end() || it->is_null()) return absent;
    T value{};
    if (!detail::read_value(*it, value)) wrong_type(key, detail::name_of_type<T>());
    return value;
  }
  bool has(const std::string& key) const;  //!< present and not null
  std::string class_name() const;          //!< `_class_name`, else the first of `architectures`, else ""
  const nlohmann::json& values() const { return values_; }
  const std::string& origin() const { return origin_; }
  //! Error(checkpoint): it cannot be used, because `what`.
  [[noreturn]] void refuse(const std::string& what, const std::string& hint) const;

private:
  [[noreturn]] void wrong_type(const std::string& key, const std::string& expected) const;

  nlohmann::json values_ = nlohmann::json::object();
  std::string origin_;
};

}  // namespace prax::checkpoint
