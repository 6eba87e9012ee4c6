#include "media/reader.h"

#include "support.h"

namespace prax::media {
namespace {

using ReaderTest = MediaTest;

TEST_F(ReaderTest, MissingAndBrokenFiles) {
  expect_error(ErrorKind::io, "cannot be opened", [&] { probe(at("none.mp4")); });
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_settings(at("none.mp4")); });
  expect_error(ErrorKind::io, "cannot be opened", [&] { read_frames(at("none.mp4")); });
  expect_error(ErrorKind::io, "it is a folder", [&] { probe(folder_); });
  expect_error(ErrorKind::input, "no numbered pictures", [&] { read_frames(folder_); });
  put_bytes(at("text.mp4"), "this is no video");
  expect_error(ErrorKind::input, "cannot be read", [&] { read_frames(at("text.mp4")); });
  put_bytes(at("empty.mp4"), "");
  expect_error(ErrorKind::input, "cannot be read", [&] { probe(at("empty.mp4")); });
}

TEST_F(ReaderTest, CutVideosDoNotCrash) {
  write_smooth(at("a.mp4"), {64, 64, 8, 24}, {{{"seed", "1"}}});
  const std::string bytes = bytes_of(at("a.mp4"));
  for (size_t size = 1; size < bytes.size(); size += bytes.size() / 40) {
    put_bytes(at("cut.mp4"), bytes.substr(0, size));
    try {
      EXPECT_LE(read_frames(at("cut.mp4")).dim(0), 8);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
    }
  }
}

TEST_F(ReaderTest, AnimatedWebp) {
  write_smooth(at("a.webp"), {64, 48, 6, 25}, {{{"seed", "1"}}});
  const VideoInfo info = probe(at("a.webp"));
  EXPECT_EQ(info.codec, "webp");
  EXPECT_EQ(info.width, 64);
  EXPECT_EQ(info.height, 48);
  EXPECT_EQ(info.frames, 6);
  EXPECT_NEAR(info.fps, 25, 1e-9);
  EXPECT_NEAR(info.duration, 0.24, 1e-9);
  const Tensor frames = read_frames(at("a.webp"));
  ASSERT_EQ(frames.shape(), (Shape{6, 48, 64, 3}));
  EXPECT_GT(worst_psnr(frames), 33);
}

TEST_F(ReaderTest, FilesWithoutSettings) {
  write_smooth(at("a.mp4"), {64, 64, 2, 24});
  write_smooth(at("a.gif"), {64, 64, 2, 24});
  write_smooth(at("a.npy"), {64, 64, 2, 24});
  for (const char* name : {"a.mp4", "a.gif", "a.npy"}) EXPECT_TRUE(read_settings(at(name)).empty()) << name;
  EXPECT_TRUE(read_settings(folder_).empty());
}

}  // namespace
}  // namespace prax::media
