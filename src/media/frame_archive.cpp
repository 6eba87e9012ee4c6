#include "media/frame_archive.h"

#include <array>
#include <cstdio>
#include <string>
#include <vector>

#include "base/hash.h"
#include "media/image.h"
#include "media/metadata.h"
#include "media/output_file.h"

namespace prax::media {

namespace {

//! A member of the archive, as its directory will list it.
struct Member {
  std::string name;
  uint32_t crc = 0;
  uint64_t size = 0, offset = 0;
};

//! Little-endian fields.
class Fields {
public:
  Fields& u16(uint64_t value) { return put(value, 2); }
  Fields& u32(uint64_t value) { return put(value, 4); }
  Fields& u64(uint64_t value) { return put(value, 8); }
  Fields& text(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

private:
  Fields& put(uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
    return *this;
  }
  std::string bytes_;
};

// APPNOTE.TXT 6.3.10, 4.3.7 to 4.3.16.
constexpr uint32_t local_header = 0x04034b50, directory_entry = 0x02014b50, end_of_directory = 0x06054b50,
                   end_of_directory_64 = 0x06064b50, locator_64 = 0x07064b50;
constexpr uint16_t version_64 = 45, utf8_names = 1 << 11, stored = 0, extra_64 = 1;
constexpr uint32_t see_extra = 0xffffffff;
// MS-DOS date of 1 January 1980: the same frames make the same file.
constexpr uint16_t no_time = 0, no_date = 0x21;

class FrameArchive : public FrameSink {
public:
  FrameArchive(const std::filesystem::path& path, const WriterOptions& options)
      : file_(path), metadata_(options.metadata) {}

  void begin(const VideoFormat& format) override { format_ = format; }

  void frame(std::span<const float> rgb) override {
    std::array<char, 32> name;
    std::snprintf(name.data(), name.size(), "frame_%05lld.png", static_cast<long long>(members_.size()));
    const auto png = encode_png(rgb, format_.width, format_.height, metadata_);
    add(name.data(), {reinterpret_cast<const char*>(png.data()), png.size()});
  }

  void finish() override {
    Metadata settings = metadata_;
    settings.emplace("frame_rate", std::to_string(format_.fps));
    add("settings.json", to_json(settings));
    write_directory();
    file_.commit();
  }

private:
  void add(const std::string& name, std::string_view bytes) {
    Member member{name, crc32(bytes), bytes.size(), file_.position()};
    file_.write(Fields()
                    .u32(local_header)
                    .u16(version_64)
                    .u16(utf8_names)
                    .u16(stored)
                    .u16(no_time)
                    .u16(no_date)
                    .u32(member.crc)
                    .u32(member.size)
                    .u32(member.size)
                    .u16(name.size())
                    .u16(0)
                    .text(name)
                    .bytes());
    file_.write(bytes);
    members_.push_back(std::move(member));
  }

  void write_directory() {
    const uint64_t begin = file_.position();
    for (const Member& m : members_)
      file_.write(Fields()
                      .u32(directory_entry)
                      .u16(version_64)
                      .u16(version_64)
                      .u16(utf8_names)
                      .u16(stored)
                      .u16(no_time)
                      .u16(no_date)
                      .u32(m.crc)
                      .u32(m.size)
                      .u32(m.size)
                      .u16(m.name.size())
                      .u16(4 + 8)  // of the extra field
                      .u16(0)
                      .u16(0)
                      .u16(0)
                      .u32(0)
                      .u32(see_extra)
                      .text(m.name)
                      .u16(extra_64)
                      .u16(8)
                      .u64(m.offset)
                      .bytes());
    const uint64_t end = file_.position(), count = members_.size();
    constexpr uint64_t rest_of_record = 44;
    file_.write(Fields()
                    .u32(end_of_directory_64)
                    .u64(rest_of_record)
                    .u16(version_64)
                    .u16(version_64)
                    .u32(0)
                    .u32(0)
                    .u64(count)
                    .u64(count)
                    .u64(end - begin)
                    .u64(begin)
                    .bytes());
    file_.write(Fields().u32(locator_64).u32(0).u64(end).u32(1).bytes());
    file_.write(Fields()
                    .u32(end_of_directory)
                    .u16(0)
                    .u16(0)
                    .u16(0xffff)
                    .u16(0xffff)
                    .u32(see_extra)
                    .u32(see_extra)
                    .u16(0)
                    .bytes());
  }

  OutputFile file_;
  Metadata metadata_;
  VideoFormat format_;
  std::vector<Member> members_;
};

}  // namespace

std::unique_ptr<FrameSink> open_frame_archive(const std::filesystem::path& path, const WriterOptions& options) {
  return std::make_unique<FrameArchive>(path, options);
}

}  // namespace prax::media
