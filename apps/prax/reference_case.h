#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

namespace prax::app {

//! A folder with a run of the reference: `case.json` says what was run, `tensors.safetensors` holds what came of it.
struct ReferenceCase {
  std::filesystem::path folder;
  std::string name;
  nlohmann::json description;  //!< an object
  std::shared_ptr<checkpoint::SafetensorsFile> tensors;

  //! Values of case.json; Error(input) that names the file and the key when it is missing or of another type.
  std::string text(const std::string& key) const { return value<std::string>(key); }
  template <typename T>
  T value(const std::string& key) const {
    try {
      return description.at(key).get<T>();
    } catch (const nlohmann::json::exception&) {
      broken(key);
    }
  }
  [[noreturn]] void broken(const std::string& key) const;
};

//! Reads a case. Error(input) in one sentence when a file is missing or no sound JSON or safetensors file.
ReferenceCase read_case(const std::filesystem::path& folder);

//! Folders with a case.json: each given one, or those below it, sorted. Error(input) when a place has none.
std::vector<std::filesystem::path> find_cases(const std::vector<std::string>& places);

}  // namespace prax::app
