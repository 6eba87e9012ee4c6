#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace prax::http {

//! A file that is open for reading, at its size when it was opened.
class OpenFile {
public:
  //! Throws Error(io) when it is not there, cannot be opened or is no regular file.
  explicit OpenFile(const std::filesystem::path& path);
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  uint64_t size() const { return size_; }
  int64_t modified() const { return modified_; }  //!< unix seconds
  //! Fills `bytes` from there; fewer bytes at the end of the file. Error(io).
  size_t read(uint64_t offset, std::span<char> bytes) const;

private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  int64_t modified_ = 0;
};

//! A file of a random name in a folder, removed with the object.
class TemporaryFile {
public:
  //! Error(io), Error(disk_full).
  explicit TemporaryFile(const std::filesystem::path& folder);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  //! Error(io), Error(disk_full).
  void append(std::string_view bytes);
  const std::filesystem::path& path() const { return path_; }

private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

//! Bytes of unknown length: the first ones are kept in memory, and all go to a temporary file once they are many.
class Spool {
public:
  Spool() = default;
  //! More than `memory` bytes go to a file in `folder`.
  Spool(std::filesystem::path folder, size_t memory) : folder_(std::move(folder)), memory_(memory) {}

  void append(std::string_view bytes);
  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  //! All of it in memory: for what is known to be small enough. Error(io).
  std::string text() const;
  //! The file that holds it; one is made of what is still in memory.
  std::shared_ptr<TemporaryFile> file();
  //! The first bytes, at most `count`.
  std::string head(size_t count) const;

private:
  std::filesystem::path folder_;
  size_t memory_ = SIZE_MAX;
  std::string bytes_;
  std::shared_ptr<TemporaryFile> file_;
  uint64_t size_ = 0;
};

}  // namespace prax::http
