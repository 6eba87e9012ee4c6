#include "reference_case.h"

#include <algorithm>
#include <fstream>

#include "base/error.h"

namespace prax::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* description_file = "case.json";
constexpr const char* tensors_file = "tensors.safetensors";
constexpr const char* copy_again = "copy the case again, or make it again with the generator of the cases";

fs::path without_end_slash(const fs::path& path) {
  const fs::path normal = path.lexically_normal();
  return normal.has_filename() ? normal : normal.parent_path();
}

}  // namespace

void ReferenceCase::broken(const std::string& key) const {
  throw Error(ErrorKind::input,
              (folder / description_file).string() + ": \"" + key + "\" is missing or not what it should be",
              copy_again);
}

ReferenceCase read_case(const fs::path& folder) {
  ReferenceCase read;
  read.folder = folder;
  read.name = fs::absolute(folder).lexically_normal().filename().string();
  const fs::path file = folder / description_file;
  std::ifstream stream(file);
  if (!stream) throw Error(ErrorKind::input, file.string() + " cannot be read", copy_again);
  read.description = nlohmann::json::parse(stream, nullptr, false);
  if (!read.description.is_object()) throw Error(ErrorKind::input, file.string() + " is no JSON object", copy_again);
  const fs::path tensors = folder / tensors_file;
  std::error_code ignored;
  if (!fs::is_regular_file(tensors, ignored))
    throw Error(ErrorKind::input, "the case " + folder.string() + " has no " + tensors_file, copy_again);
  try {
    read.tensors = checkpoint::SafetensorsFile::open(tensors);
  } catch (const Error& error) {
    throw Error(ErrorKind::input, error.what(), copy_again);
  }
  return read;
}

std::vector<fs::path> find_cases(const std::vector<std::string>& places) {
  std::vector<fs::path> found;
  for (const std::string& place : places) {
    const fs::path folder = without_end_slash(place);
    std::error_code error;
    if (!fs::is_directory(folder, error))
      throw Error(ErrorKind::input, "there is no folder " + place,
                  "give a folder with a case.json, or one that holds such folders");
    if (fs::exists(folder / description_file, error)) {
      found.push_back(folder);
      continue;
    }
    std::vector<fs::path> below;
    fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error), end;
    for (; !error && entry != end; entry.increment(error))
      if (entry->path().filename() == description_file) below.push_back(entry->path().parent_path());
    if (error)
      throw Error(ErrorKind::io, folder.string() + " cannot be listed: " + error.message(), "check its permissions");
    if (below.empty())
      throw Error(ErrorKind::input, "there is no case.json in or below " + place,
                  "give a folder with a case.json, or one that holds such folders");
    std::sort(below.begin(), below.end());
    found.insert(found.end(), below.begin(), below.end());
  }
  return found;
}

}  // namespace prax::app
