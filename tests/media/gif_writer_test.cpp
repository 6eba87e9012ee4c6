#include "base/log.h"
#include "media/reader.h"
#include "support.h"

namespace prax::media {
namespace {

using GifWriterTest = MediaTest;

TEST_F(GifWriterTest, ReadsBack) {
  const WriterOptions options = {{{"prompt", std::string(700, 'x')}}};
  write_smooth(at("a.gif"), {96, 64, 25, 24}, options);
  const VideoInfo info = probe(at("a.gif"));
  EXPECT_EQ(info.codec, "gif");
  EXPECT_EQ(info.frames, 25);
  EXPECT_NEAR(info.duration, 25.0 / 24, 0.015);
  EXPECT_EQ(read_settings(at("a.gif")), options.metadata);
  const Tensor frames = read_frames(at("a.gif"));
  ASSERT_EQ(frames.shape(), (Shape{25, 64, 96, 3}));
  EXPECT_GT(worst_psnr(frames), 30);
  const std::string bytes = bytes_of(at("a.gif"));
  EXPECT_EQ(bytes.back(), '\x3b');
  EXPECT_NE(bytes.find("NETSCAPE2.0\x03\x01" + std::string("\0\0\0", 3)), std::string::npos) << "it repeats for ever";
  EXPECT_EQ(entries(), 1u);
}

TEST_F(GifWriterTest, OnePaletteForTheClip) {
  write_smooth(at("a.gif"), {64, 64, 6, 24});
  const std::string bytes = bytes_of(at("a.gif"));
  const size_t palette = 3 * (size_t{2} << (bytes.at(10) & 7));
  size_t at_byte = 13 + palette;
  int images = 0;
  ASSERT_TRUE(bytes.at(10) & '\x80');
  while (bytes.at(at_byte) != '\x3b') {
    if (bytes.at(at_byte) == '\x2c') {
      // The encoder repeats the clip's palette in the first picture; no other has one.
      if (bytes.at(at_byte + 9) & '\x80') {
        EXPECT_EQ(images, 0) << "a palette of its own";
        ASSERT_EQ(bytes.at(at_byte + 9) & 7, bytes.at(10) & 7);
        EXPECT_TRUE(bytes.substr(at_byte + 10, palette) == bytes.substr(13, palette));
        at_byte += palette;
      }
      ++images;
      at_byte += 11;
    } else {
      at_byte += 2;
    }
    while (bytes.at(at_byte) != 0) at_byte += static_cast<uint8_t>(bytes.at(at_byte)) + 1u;
    ++at_byte;
  }
  EXPECT_EQ(images, 6);
}

TEST_F(GifWriterTest, OddSizesAndOneFrame) {
  write_smooth(at("a.gif"), {33, 17, 1, 24});
  EXPECT_EQ(read_frames(at("a.gif")).shape(), (Shape{1, 17, 33, 3}));
}

TEST_F(GifWriterTest, FastClipsAreSlowedWithAWarning) {
  int warnings = 0;
  const ScopedLogSink sink([&](LogLevel level, std::string_view) { warnings += level == LogLevel::warning; });
  write_smooth(at("a.gif"), {32, 32, 10, 240});
  EXPECT_EQ(warnings, 1);
  EXPECT_NEAR(probe(at("a.gif")).duration, 0.2, 0.011);
}

}  // namespace
}  // namespace prax::media
