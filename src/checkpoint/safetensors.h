#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "checkpoint/weights.h"
#include "tensor/tensor.h"

namespace prax::checkpoint {

//! A safetensors file, mapped read-only; tensors borrow the mapping and keep it alive.
//! Format: https://github.com/huggingface/safetensors#format. Everything in the header is checked before a byte of
//! data is touched: its length against the file and the format's 100 MB limit, dtypes, shapes (no overflow), offsets
//! in bounds, sizes equal to shape x dtype, no overlap, no hole.
class SafetensorsFile {
public:
  struct Entry {
    DType dtype;
    Shape shape;
    uint64_t begin = 0, end = 0;  //!< byte range in the data section
  };
  //! Error(io) when the file is missing or cannot be read, Error(checkpoint) when it is no sound safetensors file.
  static std::shared_ptr<SafetensorsFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::map<std::string, Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  //! Borrowed from the mapping. Unaligned data is copied. Error(checkpoint) when there is no such tensor.
  Tensor tensor(const std::string& name) const;

private:
  SafetensorsFile() = default;
  std::filesystem::path path_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
  std::shared_ptr<const void> mapping_;
  const uint8_t* data_ = nullptr;
};

//! One or more files as one source (shards). Error(checkpoint) when two of them hold the same tensor.
std::shared_ptr<TensorSource> open_safetensors(const std::vector<std::filesystem::path>& files);
//! The same for files that are open already.
std::shared_ptr<TensorSource> join_safetensors(std::vector<std::shared_ptr<SafetensorsFile>> files);

//! Writes a file whose tensors do not have to be in memory together: what they are is said first, what is in them comes
//! one after another. The file appears, whole, with commit(); without it nothing is left. Error(io) when the disk is
//! full or the place cannot be written.
class SafetensorsWriter {
public:
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  ~SafetensorsWriter();

  //! In the order in which the tensors must come: widest elements first, then by name, as the reference writes them, so
  //! that each is aligned.
  const std::vector<TensorInfo>& order() const { return order_; }
  //! The next one of that order.
  void write(const Tensor& tensor);
  //! Syncs the file and gives it its name, after all tensors.
  void commit();

private:
  class File;
  std::vector<TensorInfo> order_;
  size_t written_ = 0;
  std::unique_ptr<File> file_;
};

//! Writes tensors (widest elements first, then by name, as the reference does, so that each is aligned) to a
//! temporary file beside `path`, syncs, and renames it there: either the whole file exists or none. Error(io) when
//! the disk is full or the place cannot be written.
void write_safetensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace prax::checkpoint
