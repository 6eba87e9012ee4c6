#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/mapped_file.h"
#include "checkpoint/messages.h"
#include "checkpoint/safetensors_header.h"

namespace prax::checkpoint {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr size_t length_bytes = 8;

//! Names what people put in a safetensors file's place: each would otherwise read as an absurd header length.
void refuse_other_formats(const std::filesystem::path& path, std::string_view start) {
  if (start.starts_with("version https://git-lfs"))
    broken(path, "is a Git LFS pointer, not the weights themselves", "run `git lfs pull` in the model folder");
  if (start.starts_with("<!") || start.starts_with("<html") || start.starts_with("<HTML"))
    broken(path, "is a web page, not a safetensors file",
           "the download failed (a login may be needed); download it again");
  if (start.starts_with(std::string_view("PK\x03\x04", 4)) || start.starts_with(std::string_view("\x80\x02", 2)))
    broken(path, "is a pickled PyTorch file, not a safetensors file", "download the .safetensors file instead");
  if (start.starts_with("GGUF"))
    broken(path, "is a GGUF file, not a safetensors file", "download the .safetensors file");
}

}  // namespace

std::shared_ptr<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  MappedFile mapped = map_file(path, "safetensors file");
  const std::string_view whole = mapped.bytes;
  if (whole.size() < length_bytes)
    broken(path, "has only " + std::to_string(whole.size()) + " bytes and is no safetensors file");
  const auto* start = reinterpret_cast<const uint8_t*>(whole.data());
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, start, length_bytes);
  const size_t rest = whole.size() - length_bytes;
  if (header_bytes > std::min<uint64_t>(rest, largest_header)) {
    refuse_other_formats(path, whole);
    if (header_bytes > largest_header)
      broken(path,
             "claims a header of " + std::to_string(header_bytes) + " bytes where the format allows " +
                 std::to_string(largest_header),
             "this is no safetensors file, or it is damaged; download it again");
    broken(path,
           "is cut off in its header: " + std::to_string(header_bytes - rest) + " of the header's " +
               std::to_string(header_bytes) + " bytes are missing",
           "the download did not finish; download the file again");
  }
  if (header_bytes == 0) broken(path, "has a header of length 0");

  const size_t data_bytes = rest - header_bytes;
  auto header = parse_safetensors_header(whole.substr(length_bytes, header_bytes), data_bytes, path.string());
  std::shared_ptr<SafetensorsFile> file(new SafetensorsFile);
  file->path_ = path;
  file->entries_ = std::move(header.entries);
  file->metadata_ = std::move(header.metadata);
  file->mapping_ = std::move(mapped.memory);
  file->data_ = start + length_bytes + header_bytes;
  return file;
}

Tensor SafetensorsFile::tensor(const std::string& name) const {
  const auto it = entries_.find(name);
  if (it == entries_.end())
    broken(path_, "has no tensor " + in_quotes(name), "the file is incomplete or belongs to another model");
  const Entry& entry = it->second;
  const uint8_t* bytes = data_ + entry.begin;
  const uint64_t count = entry.end - entry.begin;
  if (entry.dtype == DType::boolean) {
    // Any other byte read as a C++ bool is undefined.
    const auto* odd = std::find_if(bytes, bytes + count, [](uint8_t b) { return b > 1; });
    if (odd != bytes + count)
      broken(path_, "has the byte " + std::to_string(*odd) + " in the booleans of tensor " + in_quotes(name));
  }
  if (reinterpret_cast<uintptr_t>(bytes) % size_of(entry.dtype) == 0)
    return Tensor::borrow(entry.shape, entry.dtype, bytes, mapping_);
  Tensor copy = Tensor::empty(entry.shape, entry.dtype);
  if (count) std::memcpy(copy.raw(), bytes, count);
  return copy;
}

}  // namespace prax::checkpoint
