#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace prax::media {

//! Throws Error(io) for a system error number: what could not be written and, by the kind of failure (disk full,
//! file size limit, no permission, missing folder), what to do.
[[noreturn]] void throw_write_error(int error_number, const std::filesystem::path& path);

//! Throws Error(io) unless the folder that would hold `path` exists; the hint says which one to create.
void require_parent_folder(const std::filesystem::path& path);

//! A fresh name beside `target` for what is not finished: ".NAME.part-PID", with a number when that is taken.
std::filesystem::path part_name(const std::filesystem::path& target, int attempt);

//! A file that appears under its name only when it is complete. Bytes go to part_name(); commit() puts it in the
//! target's place in one step; the destructor removes what was not committed. A symbolic link is followed, so that
//! the file it names is replaced and not the link.
class OutputFile {
public:
  //! Creates the temporary file and writes to it once, so that a full or forbidden place is found now. Error(io).
  explicit OutputFile(const std::filesystem::path& target);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  //! At the current position. Error(io), "the disk is full" among others.
  void write(std::span<const uint8_t> bytes);
  void write(std::string_view text);
  void seek(uint64_t position);
  uint64_t position() const { return position_; }
  uint64_t size() const { return size_; }
  //! Brings the bytes to the disk (where late errors show) and renames. Error(io).
  void commit();

  const std::filesystem::path& target() const { return target_; }
  const std::filesystem::path& temporary() const { return temporary_; }

private:
  std::filesystem::path target_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t position_ = 0;
  uint64_t size_ = 0;
};

//! Room on disk for what is too large to keep in memory, in the folder of `target`. The file has no name after it is
//! made, so nothing is left behind even by a crash.
class ScratchFile {
public:
  explicit ScratchFile(const std::filesystem::path& target);
  ~ScratchFile();
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  void append(std::span<const uint8_t> bytes);
  void read(uint64_t position, std::span<uint8_t> bytes) const;

private:
  std::filesystem::path target_;
  int descriptor_ = -1;
};

}  // namespace prax::media
