#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/json_text.h"
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

using Item = const std::pair<const std::string, Tensor>*;

//! The reference's order of types (its enum Dtype, backwards), which is by falling width.
int storage_rank(DType dtype) {
  constexpr DType order[] = {DType::i64, DType::f64,     DType::f32,     DType::i32, DType::bf16, DType::f16,
                             DType::i16, DType::f8_e4m3, DType::f8_e5m2, DType::i8,  DType::u8,   DType::boolean};
  return static_cast<int>(std::find(std::begin(order), std::end(order), dtype) - std::begin(order));
}

//! Widest elements first, then by name: every tensor is aligned because the header's length is a multiple of 8.
std::vector<Item> storage_order(const std::map<std::string, Tensor>& tensors) {
  std::vector<Item> order;
  for (const auto& item : tensors) {
    const auto& [name, tensor] = item;
    if (name == "__metadata__")
      throw Error(ErrorKind::usage, "a tensor cannot be named '__metadata__'",
                  "the format reserves it; use another name");
    if (!tensor.defined() || (!tensor.has_storage() && tensor.numel() != 0))
      throw Error(ErrorKind::internal, "tensor " + in_quotes(name) + " has no data to write");
    order.push_back(&item);
  }
  std::stable_sort(order.begin(), order.end(),
                   [](Item a, Item b) { return storage_rank(a->second.dtype()) < storage_rank(b->second.dtype()); });
  return order;
}

std::string header_text(const std::vector<Item>& order, const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += json_string(key) + ":" + json_string(value) + ",";
    text.back() = '}';
    text += ",";
  }
  size_t offset = 0;
  for (Item item : order) {
    const auto& [name, tensor] = *item;
    text += json_string(name) + ":{\"dtype\":\"" + std::string(safetensors_name(tensor.dtype())) + "\",\"shape\":[";
    for (int i = 0; i < tensor.rank(); ++i) text.append(i ? "," : "").append(std::to_string(tensor.dim(i)));
    text += "],\"data_offsets\":[" + std::to_string(offset) + "," + std::to_string(offset + tensor.bytes()) + "]},";
    offset += tensor.bytes();
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

//! A file that is gone again unless commit() is reached.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::filesystem::path& target) : target_(target) {
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
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
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
                "cannot " + verb + " " + in_quotes(target_.string(), 400) + ": " + std::strerror(error),
                full ? "free some space or write to another disk"
                     : "check that the folder exists and that you may write there");
  }

  std::filesystem::path target_, path_;
  int descriptor_ = -1;
  bool committed_ = false;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = storage_order(tensors);
  const std::string header = header_text(order, metadata);
  TemporaryFile file(path);
  const uint64_t length = header.size();
  file.write(&length, sizeof length);
  file.write(header.data(), header.size());
  for (Item item : order) file.write(item->second.raw(), item->second.bytes());
  file.commit();
}

}  // namespace prax::checkpoint
