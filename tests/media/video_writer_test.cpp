#include "media/reader.h"
#include "support.h"

namespace prax::media {
namespace {

using VideoWriterTest = MediaTest;
const WriterOptions described_video = {{{"prompt", "a <fish> \xc3\xa9"}, {"seed", "3"}}};

uint32_t number(const std::string& bytes, size_t at, int count, bool big_endian = false) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) {
    const size_t k = at + static_cast<size_t>(big_endian ? i : count - 1 - i);
    value = value << 8 | static_cast<uint8_t>(bytes.at(k));
  }
  return value;
}

TEST_F(VideoWriterTest, Mp4ReadsBack) {
  write_smooth(at("a.mp4"), {96, 64, 25, 24}, described_video);
  const VideoInfo info = probe(at("a.mp4"));
  EXPECT_EQ(info.codec, "h264");
  EXPECT_EQ(info.width, 96);
  EXPECT_EQ(info.height, 64);
  EXPECT_EQ(info.frames, 25);
  EXPECT_NEAR(info.fps, 24, 1e-9);
  EXPECT_NEAR(info.duration, 25.0 / 24, 1e-4);
  EXPECT_TRUE(info.has_cover);
  EXPECT_EQ(info.tags.at("title"), described_video.metadata.at("prompt"));
  EXPECT_EQ(read_settings(at("a.mp4")), described_video.metadata);
  const Tensor frames = read_frames(at("a.mp4"));
  ASSERT_EQ(frames.shape(), (Shape{25, 64, 96, 3}));
  EXPECT_GT(worst_psnr(frames), 36);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(VideoWriterTest, Mp4StartsWithItsIndex) {
  write_smooth(at("a.mp4"), {64, 64, 9, 24});
  const std::string bytes = bytes_of(at("a.mp4"));
  std::vector<std::string> boxes;
  for (size_t i = 0; i + 8 <= bytes.size();) {
    boxes.push_back(bytes.substr(i + 4, 4));
    const uint32_t size = number(bytes, i, 4, true);
    ASSERT_GE(size, 8u);
    i += size;
  }
  std::erase(boxes, "free");
  EXPECT_EQ(boxes, (std::vector<std::string>{"ftyp", "moov", "mdat"}));
  // nclx: primaries, transfer and matrix of BT.709, limited range (ISO/IEC 23091-2).
  const size_t colour = bytes.find("colrnclx");
  ASSERT_NE(colour, std::string::npos);
  EXPECT_EQ(bytes.substr(colour + 8, 7), std::string("\0\1\0\1\0\1\0", 7));
}

TEST_F(VideoWriterTest, ColoursAreWhatTheyWere) {
  const std::vector<std::array<float, 3>> colours = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {0.5f, 0.5f, 0.5f}, {1, 1, 1}};
  for (const char* name : {"a.mp4", "a.webm"}) {
    const auto writer = open_writer(at(name));
    writer->begin({64, 64, static_cast<int64_t>(colours.size()), 24});
    for (const auto& c : colours) writer->frame(plain_frame(64, 64, c[0], c[1], c[2]));
    writer->finish();
    const Tensor frames = read_frames(at(name));
    ASSERT_EQ(frames.dim(0), static_cast<int64_t>(colours.size()));
    const float* value = frames.data<float>() + (32 * 64 + 32) * 3;
    for (size_t i = 0; i < colours.size(); ++i, value += 64 * 64 * 3) {
      for (size_t k = 0; k < 3; ++k) EXPECT_NEAR(value[k] * 255, colours[i][k] * 255, 3.5) << name << " " << i;
    }
  }
}

TEST_F(VideoWriterTest, WebmReadsBack) {
  write_smooth(at("a.webm"), {96, 64, 25, 24}, described_video);
  const VideoInfo info = probe(at("a.webm"));
  EXPECT_EQ(info.codec, "vp9");
  EXPECT_EQ(info.frames, 25);
  EXPECT_NEAR(info.fps, 24, 0.01);
  EXPECT_NEAR(info.duration, 25.0 / 24, 0.002);
  EXPECT_EQ(read_settings(at("a.webm")), described_video.metadata);
  const Tensor frames = read_frames(at("a.webm"));
  ASSERT_EQ(frames.shape(), (Shape{25, 64, 96, 3}));
  EXPECT_GT(worst_psnr(frames), 36);
}

TEST_F(VideoWriterTest, UnevenRatesAreExact) {
  write_smooth(at("a.mp4"), {64, 64, 30, 29.97});
  EXPECT_NEAR(probe(at("a.mp4")).duration, 30 / 29.97, 1e-3);
  write_smooth(at("b.mp4"), {64, 64, 5, 12.5});
  EXPECT_NEAR(probe(at("b.mp4")).duration, 0.4, 1e-3);
}

TEST_F(VideoWriterTest, OneFrameAndEveryQuality) {
  for (const char* name : {"a.mp4", "a.webm"}) {
    for (int quality : {0, 16, 51}) {
      write_smooth(at(name), {64, 32, 1, 24}, {{}, quality, true});
      EXPECT_EQ(read_frames(at(name)).shape(), (Shape{1, 32, 64, 3})) << name << " " << quality;
    }
  }
}

TEST_F(VideoWriterTest, CoverCanBeLeftOut) {
  write_smooth(at("a.mp4"), {64, 64, 3, 24}, {{}, 16, false});
  EXPECT_FALSE(probe(at("a.mp4")).has_cover);
}

TEST_F(VideoWriterTest, ColonsInNames) {
  write_smooth(at("12:30.mp4"), {64, 64, 3, 24});
  EXPECT_EQ(probe(at("12:30.mp4")).frames, 3);
}

TEST_F(VideoWriterTest, OddSizesAreRefused) {
  expect_error(ErrorKind::usage, "even", [&] { write_smooth(at("a.mp4"), {63, 64, 1, 24}); });
  EXPECT_EQ(entries(), 0u);
}

TEST_F(VideoWriterTest, SameFramesSameBytes) {
  for (const char* ending : {".mp4", ".webm", ".webp", ".gif"}) {
    write_smooth(at(std::string("a") + ending), {64, 64, 12, 24}, described_video);
    write_smooth(at(std::string("b") + ending), {64, 64, 12, 24}, described_video);
    EXPECT_TRUE(bytes_of(at(std::string("a") + ending)) == bytes_of(at(std::string("b") + ending))) << ending;
  }
}

// FFmpeg's demuxers do not know animated WebP, so the test takes it apart (RFC 9649).
TEST_F(VideoWriterTest, WebpAnimation) {
  write_smooth(at("a.webp"), {64, 48, 25, 24}, described_video);
  const std::string bytes = bytes_of(at("a.webp"));
  ASSERT_EQ(bytes.substr(0, 4) + bytes.substr(8, 4), "RIFFWEBP");
  ASSERT_EQ(number(bytes, 4, 4) + 8, bytes.size());
  std::string types, first;
  uint32_t duration = 0, loops = 1;
  for (size_t i = 12; i + 8 <= bytes.size();) {
    const std::string type = bytes.substr(i, 4);
    const uint32_t size = number(bytes, i + 4, 4);
    ASSERT_LE(i + 8 + size, bytes.size());
    if (type == "ANIM") loops = number(bytes, i + 12, 2);
    if (type == "ANMF") {
      duration += number(bytes, i + 8 + 12, 3);
      if (first.empty()) first = bytes.substr(i + 8 + 16, size - 16);
    }
    if (type == "VP8X") {
      EXPECT_EQ(bytes.at(i + 8) & 0x06, 0x06) << "animation and XMP";
    }
    types += type;
    i += 8 + size + size % 2;
  }
  EXPECT_TRUE(types.starts_with("VP8XANIMANMF")) << types;
  EXPECT_TRUE(types.ends_with("XMP ")) << types;
  EXPECT_EQ(loops, 0u);
  EXPECT_NEAR(duration, 25000.0 / 24, 2);
  EXPECT_EQ(read_settings(at("a.webp")), described_video.metadata);

  std::string still("RIFF\0\0\0\0WEBP", 12);
  still += first;
  const auto size = static_cast<uint32_t>(still.size() - 8);
  for (int i = 0; i < 4; ++i) still[static_cast<size_t>(4 + i)] = static_cast<char>(size >> (8 * i));
  put_bytes(at("still.webp"), still);
  EXPECT_GT(worst_psnr(read_frames(at("still.webp"))), 33);
}

}  // namespace
}  // namespace prax::media
