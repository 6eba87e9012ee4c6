#include "media/frame_archive.h"

#include "base/hash.h"
#include "media/input.h"
#include "media/metadata.h"
#include "media/picture.h"
#include "support.h"

namespace prax::media {
namespace {

class FrameArchive : public MediaTest {
protected:
  std::string write(const std::string& name, int frames) {
    const auto sink = open_frame_archive(at(name), {.metadata = {{"prompt", "a kite"}}});
    sink->begin({16, 8, frames, 12});
    for (int t = 0; t < frames; ++t) sink->frame(smooth_frame(16, 8, t));
    EXPECT_FALSE(std::filesystem::exists(at(name)));
    sink->finish();
    return file_bytes(at(name));
  }

  static uint64_t number(const std::string& bytes, size_t at, int count) {
    uint64_t value = 0;
    for (int i = 0; i < count; ++i) value |= uint64_t{static_cast<uint8_t>(bytes.at(at + i))} << (8 * i);
    return value;
  }
};

TEST_F(FrameArchive, HoldsPicturesAndSettingsWhereTheDirectorySays) {
  const std::string zip = write("frames.zip", 3);
  std::vector<std::string> names;
  // From the 64-bit end of directory (it is 56 bytes long, the locator 20, the old end 22).
  const size_t end = zip.size() - 22 - 20 - 56;
  ASSERT_EQ(number(zip, end, 4), 0x06064b50u);
  ASSERT_EQ(number(zip, end + 32, 8), 4u);
  size_t at = number(zip, end + 48, 8);
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(number(zip, at, 4), 0x02014b50u);
    const size_t size = number(zip, at + 24, 4), length = number(zip, at + 28, 2);
    names.push_back(zip.substr(at + 46, length));
    const size_t local = number(zip, at + 46 + length + 4, 8);
    ASSERT_EQ(number(zip, local, 4), 0x04034b50u);
    const std::string content = zip.substr(local + 30 + length, size);
    EXPECT_EQ(crc32(content), number(zip, at + 16, 4));
    const std::span bytes(reinterpret_cast<const uint8_t*>(content.data()), content.size());
    if (i < 3) {
      EXPECT_EQ(decode_picture(bytes, names.back()).width, 16);
      EXPECT_EQ(png_text(bytes).at("prax:prompt"), "a kite");
    } else {
      EXPECT_EQ(from_json(content)->at("prompt"), "a kite");
    }
    at += 46 + length + 12;
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"frame_00000.png", "frame_00001.png", "frame_00002.png", "settings.json"}));
}

TEST_F(FrameArchive, IsTheSameForTheSameFrames) { EXPECT_EQ(write("a.zip", 2), write("b.zip", 2)); }

}  // namespace
}  // namespace prax::media
