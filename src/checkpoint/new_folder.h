#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

//! Making a model folder from another one.
namespace prax::checkpoint {

//! A folder that appears under its name, whole, with commit(); until then it is a hidden one beside it, which goes with
//! this object. Error(usage) when the name is taken by a file or by a folder that is not empty, Error(io) when it
//! cannot be made.
class NewFolder {
public:
  explicit NewFolder(const std::filesystem::path& target);
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder();
  //! Where to write until then.
  const std::filesystem::path& path() const { return path_; }
  void commit();

  //! The same check alone, to make before work that takes long.
  static void require_free(const std::filesystem::path& target);

private:
  std::filesystem::path target_, path_;
  bool committed_ = false;
};

//! Makes a folder inside of it. Error(io).
void make_folder(const std::filesystem::path& path);

//! Regular files right in a folder, sorted, without hidden ones. Links count as what they lead to.
std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder);

//! How files were brought into a new folder.
struct Carried {
  int64_t cloned = 0;  //!< share their blocks with the original until one of them is changed (reflink)
  int64_t linked = 0;  //!< are the original under another name (hard link)
  int64_t copied = 0;
};

//! Brings a file into a new folder in the first way that works: from 1 MiB on as a clone, else as a hard link; else,
//! and always where it is smaller, as a copy. Error(io).
void carry_file(const std::filesystem::path& from, const std::filesystem::path& to, Carried& carried);

//! Writes a small file. Error(io).
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace prax::checkpoint
