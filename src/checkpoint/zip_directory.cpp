#include "checkpoint/zip_directory.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

namespace {

// Sections of APPNOTE.TXT 6.3.10.
constexpr uint32_t local_signature = 0x04034b50;           // 4.3.7
constexpr uint32_t central_signature = 0x02014b50;         // 4.3.12
constexpr uint32_t end_signature = 0x06054b50;             // 4.3.16
constexpr uint32_t end_64_signature = 0x06064b50;          // 4.3.14
constexpr uint32_t end_64_locator_signature = 0x07064b50;  // 4.3.15
constexpr size_t local_bytes = 30, central_bytes = 46, end_bytes = 22, end_64_bytes = 56, locator_bytes = 20;
constexpr uint16_t zip64_extra = 0x0001;  // 4.5.3
constexpr uint16_t encrypted_flag = 1;
constexpr uint32_t escape_32 = 0xffffffff;  // the value is in the ZIP64 extra field
constexpr uint16_t escape_16 = 0xffff;
constexpr uint64_t most_files = 1'000'000;

struct Span {
  uint64_t begin, end;
};

class Reader {
public:
  Reader(std::string_view archive, const std::string& origin) : archive_(archive), origin_(origin) {}

  std::map<std::string, std::string_view> read() {
    const auto [begin, size, count] = find_directory();
    if (count > most_files) broken("claims " + std::to_string(count) + " files");
    uint64_t at = begin;
    std::vector<Span> spans;
    for (uint64_t i = 0; i < count; ++i) at = read_entry(at, begin + size, begin, spans);
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < spans.size(); ++i)
      if (spans[i].begin < spans[i - 1].end) broken("has files that lie over each other");
    return std::move(files_);
  }

private:
  struct Directory {
    uint64_t begin, size, count;
  };

  [[noreturn]] void broken(const std::string& what) const {
    throw Error(ErrorKind::checkpoint, origin_ + " " + what, "the archive is damaged; download the file again");
  }

  template <typename T>
  T number(uint64_t at) const {
    if (at > archive_.size() || archive_.size() - at < sizeof(T)) broken("is cut off");
    T value;
    std::memcpy(&value, archive_.data() + at, sizeof value);
    return value;
  }

  std::string_view bytes(uint64_t at, uint64_t size) const {
    if (at > archive_.size() || archive_.size() - at < size) broken("is cut off");
    return archive_.substr(at, size);
  }

  //! The record at the archive's end says where the directory is; it ends with a comment of any length.
  Directory find_directory() const {
    if (archive_.size() < end_bytes) broken("is too short for a zip archive");
    const uint64_t last = archive_.size() - end_bytes;
    const uint64_t first = last > escape_16 ? last - escape_16 : 0;
    uint64_t at = last + 1;
    while (at-- > first)
      if (number<uint32_t>(at) == end_signature && number<uint16_t>(at + 20) == archive_.size() - at - end_bytes) break;
    if (at + 1 == first || number<uint32_t>(at) != end_signature) broken("has no directory; its end is missing");
    Directory d{number<uint32_t>(at + 16), number<uint32_t>(at + 12), number<uint16_t>(at + 10)};
    if (number<uint16_t>(at + 4) != 0 && number<uint16_t>(at + 4) != escape_16) broken("is a part of several");
    if (at >= locator_bytes && number<uint32_t>(at - locator_bytes) == end_64_locator_signature) {
      const auto end_64 = number<uint64_t>(at - locator_bytes + 8);
      if (end_64 > at || at - end_64 < end_64_bytes || number<uint32_t>(end_64) != end_64_signature)
        broken("has a directory record out of place");
      d = {number<uint64_t>(end_64 + 48), number<uint64_t>(end_64 + 40), number<uint64_t>(end_64 + 32)};
    }
    if (d.begin > at || d.size > at - d.begin) broken("has a directory out of bounds");
    return d;
  }

  uint64_t read_entry(uint64_t at, uint64_t directory_end, uint64_t files_end, std::vector<Span>& spans) {
    if (at > directory_end || directory_end - at < central_bytes || number<uint32_t>(at) != central_signature)
      broken("has a broken directory");
    const auto name_size = number<uint16_t>(at + 28), extra_size = number<uint16_t>(at + 30);
    const uint64_t next = at + central_bytes + name_size + extra_size + number<uint16_t>(at + 32);
    if (next > directory_end) broken("has a broken directory");
    const std::string name(bytes(at + central_bytes, name_size));
    uint64_t packed = number<uint32_t>(at + 20), size = number<uint32_t>(at + 24), offset = number<uint32_t>(at + 42);
    read_extra(bytes(at + central_bytes + name_size, extra_size), size, packed, offset);
    if (number<uint16_t>(at + 8) & encrypted_flag) broken("holds encrypted files");
    if (number<uint16_t>(at + 10) != 0 || packed != size)
      throw Error(ErrorKind::checkpoint, origin_ + " holds the compressed file " + in_quotes(name),
                  "weights are mapped from uncompressed archives; save them again, as safetensors");

    if (offset > files_end || files_end - offset < local_bytes || number<uint32_t>(offset) != local_signature)
      broken("has no file where its directory says");
    const auto local_name_size = number<uint16_t>(offset + 26);
    const uint64_t data = offset + local_bytes + local_name_size + number<uint16_t>(offset + 28);
    if (data > files_end || files_end - data < size) broken("holds a file that is cut off");
    if (bytes(offset + local_bytes, local_name_size) != name) broken("names a file in two ways");
    if (!files_.emplace(name, bytes(data, size)).second) broken("holds " + in_quotes(name) + " twice");
    spans.push_back({offset, data + size});
    return next;
  }

  //! The 64-bit values follow in this order, each only where its 32-bit field is all ones.
  void read_extra(std::string_view extra, uint64_t& size, uint64_t& packed, uint64_t& offset) const {
    while (extra.size() >= 4) {
      uint16_t id = 0, length = 0;
      std::memcpy(&id, extra.data(), 2);
      std::memcpy(&length, extra.data() + 2, 2);
      if (length > extra.size() - 4) broken("has a broken extra field");
      std::string_view values = extra.substr(4, length);
      extra.remove_prefix(4 + size_t{length});
      if (id != zip64_extra) continue;
      for (uint64_t* value : {&size, &packed, &offset}) {
        if (*value != escape_32) continue;
        if (values.size() < 8) broken("has a broken extra field");
        std::memcpy(value, values.data(), 8);
        values.remove_prefix(8);
      }
      return;
    }
  }

  std::string_view archive_;
  std::string origin_;
  std::map<std::string, std::string_view> files_;
};

}  // namespace

std::map<std::string, std::string_view> read_zip_directory(std::string_view archive, const std::string& origin) {
  return Reader(archive, origin).read();
}

}  // namespace prax::checkpoint
