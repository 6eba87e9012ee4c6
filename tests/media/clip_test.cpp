#include "media/clip.h"

#include <limits>

#include "media/image.h"
#include "media/reader.h"
#include "pattern.h"
#include "support.h"

namespace prax::media {
namespace {

namespace fs = std::filesystem;
using ClipTest = MediaTest;

struct Moving {
  const char* name;
  std::vector<uint64_t> frames;
};

// Hashes of what Pillow shows, over white, by tests/data/pictures/make.py.
const Moving moving[] = {
    {"moving.webp", {0xbf53ea83e98d358bu, 0xea877461f95cbfb3u, 0xef8f4c1d12ef9eb3u, 0xc78df11b34a74e4fu}},
    {"moving.gif", {0xbabfaad1ef7d0f0bu, 0x187492b12f779ac7u, 0xf76f0bf0793342ebu, 0xac59b37456c0644fu}},
    {"blended.webp", {0x5418b1f34eb43179u, 0x05327e51ff01e98eu, 0xec874a5e76ad7af9u, 0x4aaa19a269b66f23u}},
};

TEST_F(ClipTest, AnimationsEqualPillow) {
  for (const Moving& m : moving) {
    const Clip clip = read_clip(sample(m.name));
    std::vector<uint64_t> hashes;
    for (const Picture& frame : clip.frames) hashes.push_back(hash(frame));
    EXPECT_EQ(hashes, m.frames) << m.name;
  }
  EXPECT_NEAR(read_clip(sample("moving.webp")).fps, 20, 1e-9);
  EXPECT_NEAR(read_clip(sample("moving.gif")).fps, 25, 1e-9);
}

//! A clip whose frame t is plain with red t * 10.
void write_counted(const fs::path& path, int frames, double fps = 24, int width = 32, int height = 16) {
  const auto writer = open_writer(path, {{}, 1, true});
  writer->begin({width, height, frames, fps});
  for (int t = 0; t < frames; ++t) writer->frame(plain_frame(width, height, static_cast<float>(t) * 10 / 255, 0.2f, 0));
  writer->finish();
}

std::vector<int> counted(const Clip& clip) {
  std::vector<int> numbers;
  for (const Picture& frame : clip.frames) {
    numbers.push_back((frame.rgb[frame.rgb.size() / 2 / 3 * 3] + 5) / 10);
  }
  return numbers;
}

TEST_F(ClipTest, PartsOfAVideo) {
  for (const char* name : {"a.mp4", "a.webm", "a.gif", "a.webp"}) {
    write_counted(at(name), 12);
    EXPECT_EQ(counted(read_clip(at(name))), (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})) << name;
    EXPECT_EQ(counted(read_clip(at(name), {3, 4, {}})), (std::vector{3, 4, 5, 6})) << name;
    EXPECT_EQ(counted(read_clip(at(name), {9, 40, {}})), (std::vector{9, 10, 11})) << name;
    EXPECT_EQ(counted(read_clip_tail(at(name), 3)), (std::vector{9, 10, 11})) << name;
    EXPECT_EQ(read_clip_tail(at(name), 99).frames.size(), 12u) << name;
    EXPECT_NEAR(read_clip(at(name)).fps, 24, 0.2) << name;
    expect_error(ErrorKind::input, "only 12 frames", [&] { read_clip(at(name), {12, {}, {}}); });
  }
}

TEST_F(ClipTest, OtherRates) {
  write_counted(at("a.mp4"), 12, 24);
  write_counted(at("a.webm"), 12, 24);
  for (const char* name : {"a.mp4", "a.webm"}) {
    const auto at_rate = [&](double fps, int64_t start = 0, std::optional<int64_t> most = {}) {
      return counted(read_clip(at(name), {start, most, fps}));
    };
    EXPECT_EQ(at_rate(12), (std::vector{0, 2, 4, 6, 8, 10})) << name;
    EXPECT_EQ(at_rate(8), (std::vector{0, 3, 6, 9})) << name;
    EXPECT_EQ(at_rate(24).size(), 12u) << name;
    EXPECT_EQ(at_rate(48, 10), (std::vector{10, 10, 11, 11})) << name;
    EXPECT_EQ(at_rate(12, 1, 3), (std::vector{1, 3, 5})) << name;
    EXPECT_EQ(at_rate(0.5), (std::vector{0})) << name;
    EXPECT_EQ(at_rate(16), (std::vector{0, 1, 3, 4, 6, 7, 9, 10})) << name;
  }
  EXPECT_EQ(read_clip(at("a.mp4"), {0, {}, 12.0}).fps, 12);
}

TEST_F(ClipTest, FoldersAndPatterns) {
  write_counted(at("clip"), 12);
  EXPECT_EQ(counted(read_clip(at("clip"))), (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(read_clip(at("clip")).fps, 0);
  EXPECT_EQ(counted(read_clip(at("clip/frame_%05d.png"), {2, 3, {}})), (std::vector{2, 3, 4}));
  EXPECT_EQ(counted(read_clip_tail(at("clip"), 2)), (std::vector{10, 11}));
  expect_error(ErrorKind::usage, "no frame rate", [&] { read_clip(at("clip"), {0, {}, 12.0}); });

  fs::create_directory(at("one"));
  // Not padded, from 1 on, with a gap behind 10.
  for (int i : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12}) {
    char name[32];
    std::snprintf(name, sizeof name, "clip/frame_%05d.png", i - 1);
    fs::copy_file(at(name), at("one/v2_" + std::to_string(i) + ".png"));
  }
  put_bytes(at("one/notes.txt"), "7");
  EXPECT_EQ(counted(read_clip(at("one"))), (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11}));
  EXPECT_EQ(counted(read_clip(at("one/v2_%d.png"))), (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));

  put_bytes(at("clip/settings.json"), R"({"frame_rate": 24.0})");
  EXPECT_EQ(read_clip(at("clip")).fps, 24);
  EXPECT_EQ(counted(read_clip(at("clip"), {0, {}, 12.0})), (std::vector{0, 2, 4, 6, 8, 10}));
}

TEST_F(ClipTest, BadFoldersAndPatterns) {
  expect_error(ErrorKind::input, "no numbered pictures", [&] { read_clip(folder_); });
  expect_error(ErrorKind::io, "names no pictures", [&] { read_clip(at("video_%02d.png")); });
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_clip(at("video_%02x.png")); });
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_clip(at("video_%99999999999999d.png")); });
  write_png(at("a_1.png"), Tensor::zeros({4, 4, 3}));
  write_png(at("b_2.png"), Tensor::zeros({4, 4, 3}));
  expect_error(ErrorKind::input, "more than one series", [&] { read_clip(folder_); });
  fs::remove(at("b_2.png"));
  write_png(at("a_2.png"), Tensor::zeros({4, 6, 3}));
  expect_error(ErrorKind::input, "change their size", [&] { read_clip(folder_); });
}

TEST_F(ClipTest, APictureIsOneFrame) {
  for (const char* name : {"rgb.png", "turned.jpg", "lossy.webp", "rgb.bmp", "turned.tiff", "still.gif"}) {
    const Clip clip = read_clip(sample(name));
    ASSERT_EQ(clip.frames.size(), 1u) << name;
    EXPECT_EQ(clip.frames[0], read_picture(sample(name))) << name;
  }
  EXPECT_EQ(read_clip(sample("rgb.png"), {0, {}, 24.0}).frames.size(), 1u);
}

TEST_F(ClipTest, RefusesOptionsThatCannotBe) {
  write_counted(at("a.gif"), 2);
  expect_error(ErrorKind::usage, "start at frame -1", [&] { read_clip(at("a.gif"), {-1, {}, {}}); });
  expect_error(ErrorKind::usage, "0 frames", [&] { read_clip(at("a.gif"), {0, 0, {}}); });
  expect_error(ErrorKind::usage, "0 frames", [&] { read_clip_tail(at("a.gif"), 0); });
  for (const double fps : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e9}) {
    expect_error(ErrorKind::usage, "frame rate", [&] { read_clip(at("a.gif"), {0, {}, fps}); });
  }
}

TEST_F(ClipTest, SaysWhatIsWrong) {
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_clip(at("none.mp4")); });
  put_bytes(at("text.txt"), "this is no video");
  expect_error(ErrorKind::input, "it is a text", [&] { read_clip(at("text.txt")); });
  put_bytes(at("empty.mp4"), "");
  expect_error(ErrorKind::input, "the file is empty", [&] { read_clip(at("empty.mp4")); });
}

TEST_F(ClipTest, CutVideosSayHowFarTheyGo) {
  write_smooth(at("a.mp4"), {64, 64, 24, 24});
  const std::string bytes = bytes_of(at("a.mp4"));
  put_bytes(at("cut.mp4"), bytes.substr(0, bytes.size() - 400));
  expect_error(ErrorKind::input, "cut", [&] { read_clip(at("cut.mp4")); });
  // What comes before the damage can be had.
  EXPECT_EQ(read_clip(at("cut.mp4"), {0, 2, {}}).frames.size(), 2u);
}

TEST_F(ClipTest, VideosThatEndInGarbage) {
  write_smooth(at("a.mp4"), {64, 64, 24, 24});
  std::string bytes = bytes_of(at("a.mp4"));
  for (size_t i = bytes.size() - 300; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 37);
  put_bytes(at("bad.mp4"), bytes);
  expect_error(ErrorKind::input, "bad.mp4 cannot be read as a video", [&] { read_clip(at("bad.mp4")); });
  write_counted(at("a.webp"), 6);
  bytes = bytes_of(at("a.webp"));
  put_bytes(at("cut.webp"), bytes.substr(0, bytes.size() - 20));
  expect_error(ErrorKind::input, "cut off", [&] { read_clip(at("cut.webp")); });
}

// ISO/IEC 14496-12, 8.3.2: the matrix is 40 bytes behind the name of the track header.
TEST_F(ClipTest, PhonesTurnTheirVideos) {
  const auto writer = open_writer(at("a.mp4"));
  writer->begin({48, 32, 2, 24});
  std::vector<float> picture = plain_frame(48, 32, 0, 0, 0);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 24; ++x) picture[static_cast<size_t>(y * 48 + x) * 3] = 1;
  }
  for (int t = 0; t < 2; ++t) writer->frame(picture);
  writer->finish();
  const std::string bytes = bytes_of(at("a.mp4"));
  const size_t matrix = bytes.find("tkhd") + 4 + 40;
  const std::string zero(4, '\0'), plus("\0\1\0\0", 4), minus("\xff\xff\0\0", 4);
  struct Turn {
    std::string a, b, c, d;
    int width, corner_x, corner_y;
  };
  // Where the red quarter of the upper left goes.
  const Turn turns[] = {{plus, zero, zero, plus, 48, 0, 0},   {zero, plus, minus, zero, 32, 1, 0},
                        {minus, zero, zero, minus, 48, 1, 1}, {zero, minus, plus, zero, 32, 0, 1},
                        {minus, zero, zero, plus, 48, 1, 0},  {plus, zero, zero, minus, 48, 0, 1}};
  for (const Turn& turn : turns) {
    std::string turned = bytes;
    turned.replace(matrix, 8, turn.a + turn.b);
    turned.replace(matrix + 12, 8, turn.c + turn.d);
    put_bytes(at("turned.mp4"), turned);
    const Clip clip = read_clip(at("turned.mp4"));
    ASSERT_EQ(clip.frames.size(), 2u);
    const Picture& seen = clip.frames[1];
    ASSERT_EQ(seen.width, turn.width);
    EXPECT_EQ(probe(at("turned.mp4")).width, turn.width);
    EXPECT_EQ(read_frames(at("turned.mp4")).dim(2), turn.width);
    for (int i = 0; i < 4; ++i) {
      const int x = seen.width / 4 + i % 2 * seen.width / 2, y = seen.height / 4 + i / 2 * seen.height / 2;
      const bool red = i % 2 == turn.corner_x && i / 2 == turn.corner_y;
      EXPECT_EQ(seen.row(y)[x * 3] > 128, red) << turn.width << " " << turn.corner_x << turn.corner_y << " " << i;
    }
  }
}

}  // namespace
}  // namespace prax::media
