#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/messages.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/safetensors_header.h"

namespace prax::checkpoint {

namespace {

constexpr size_t header_alignment = 8;

std::string json_string(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::usage, "the name or text " + in_quotes(text) + " is not UTF-8", "use another name");
  }
}

//! The reference's order of types (its enum Dtype, backwards), which is by falling width.
int storage_rank(DType dtype) {
  constexpr DType order[] = {DType::i64, DType::f64,     DType::f32,     DType::i32, DType::bf16, DType::f16,
                             DType::i16, DType::f8_e4m3, DType::f8_e5m2, DType::i8,  DType::u8,   DType::boolean};
  return static_cast<int>(std::find(std::begin(order), std::end(order), dtype) - std::begin(order));
}

//! Widest elements first, then by name: every tensor is aligned because the header's length is a multiple of 8.
std::vector<TensorInfo> storage_order(std::vector<TensorInfo> tensors) {
  for (const TensorInfo& tensor : tensors)
    if (tensor.name == "__metadata__")
      throw Error(ErrorKind::usage, "a tensor cannot be named '__metadata__'",
                  "the format reserves it; use another name");
  std::sort(tensors.begin(), tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(storage_rank(a.dtype), std::string_view(a.name)) <
           std::pair(storage_rank(b.dtype), std::string_view(b.name));
  });
  return tensors;
}

std::string header_text(const std::vector<TensorInfo>& order, const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += json_string(key) + ":" + json_string(value) + ",";
    text.back() = '}';
    text += ",";
  }
  size_t offset = 0;
  for (const TensorInfo& tensor : order) {
    text +=
        json_string(tensor.name) + ":{\"dtype\":\"" + std::string(safetensors_name(tensor.dtype)) + "\",\"shape\":[";
    for (size_t i = 0; i < tensor.shape.size(); ++i) text.append(i ? "," : "").append(std::to_string(tensor.shape[i]));
    const size_t end = offset + tensor.bytes();
    text += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(end) + "]},";
    offset = end;
  }
  if (text.back() == ',') text.pop_back();
  text += "}";
  text.resize((text.size() + header_alignment - 1) / header_alignment * header_alignment, ' ');
  if (text.size() > largest_header)
    throw Error(
        ErrorKind::usage,
        "the names and metadata take " + std::to_string(text.size()) + " bytes, more than a safetensors file may have",
        "write fewer tensors or less metadata into one file");
  return text;
}

}  // namespace

//! A file that is gone again unless commit() is reached.
class SafetensorsWriter::File {
public:
  explicit File(const std::filesystem::path& target) : target_(target) {
    static std::atomic<unsigned> counter{0};
    for (;;) {
      const std::string suffix = std::to_string(::getpid()) + "-" + std::to_string(counter++) + ".part";
      std::string name = ".";
      name.append(target.filename().string()).append(".").append(suffix);
      path_ = target.parent_path() / name;
      descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (descriptor_ >= 0) return;
      if (errno != EEXIST) fail("create");
    }
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!committed_) ::unlink(path_.c_str());
  }

  void write(const void* data, size_t bytes) {
    // One call writes at most about 2 GiB anyway.
    constexpr size_t largest_write = size_t{1} << 30;
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(descriptor_, at, std::min(bytes, largest_write));
      if (written < 0) {
        if (errno == EINTR) continue;
        fail("write");
      }
      at += written;
      bytes -= static_cast<size_t>(written);
    }
  }

  void commit() {
    if (::fsync(descriptor_) != 0) fail("write");
    if (::close(std::exchange(descriptor_, -1)) != 0) fail("write");
    if (::rename(path_.c_str(), target_.c_str()) != 0) fail("create");
    committed_ = true;
    // The new name survives a power cut only when its folder is synced too; some file systems cannot, and need not.
    const auto folder = target_.has_parent_path() ? target_.parent_path() : std::filesystem::path(".");
    if (const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); descriptor >= 0) {
      ::fsync(descriptor);
      ::close(descriptor);
    }
  }

private:
  [[noreturn]] void fail(const std::string& verb) const {
    const int error = errno;
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    throw Error(full ? ErrorKind::disk_full : ErrorKind::io,
                "cannot " + verb + " " + named(target_) + ": " + std::strerror(error),
                full ? "free some space or write to another disk"
                     : "check that the folder exists and that you may write there");
  }

  std::filesystem::path target_, path_;
  int descriptor_ = -1;
  bool committed_ = false;
};

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : order_(storage_order(std::move(tensors))) {
  const std::string header = header_text(order_, metadata);
  file_ = std::make_unique<File>(path);
  const uint64_t length = header.size();
  file_->write(&length, sizeof length);
  file_->write(header.data(), header.size());
}

SafetensorsWriter::~SafetensorsWriter() = default;

void SafetensorsWriter::write(const Tensor& tensor) {
  const TensorInfo& next = order_.at(written_++);
  if (tensor.dtype() != next.dtype || tensor.shape() != next.shape || (!tensor.has_storage() && tensor.numel() != 0))
    throw Error(ErrorKind::internal, "tensor " + in_quotes(next.name) + " is not what was said to be written");
  file_->write(tensor.raw(), tensor.bytes());
}

void SafetensorsWriter::commit() {
  if (written_ != order_.size())
    throw Error(ErrorKind::internal, "tensor " + in_quotes(order_[written_].name) + " was not written");
  file_->commit();
}

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> infos;
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.defined() || (!tensor.has_storage() && tensor.numel() != 0))
      throw Error(ErrorKind::internal, "tensor " + in_quotes(name) + " has no data to write");
    infos.push_back({name, tensor.dtype(), tensor.shape()});
  }
  SafetensorsWriter writer(path, infos, metadata);
  for (const TensorInfo& info : writer.order()) writer.write(tensors.at(info.name));
  writer.commit();
}

}  // namespace prax::checkpoint
