#include "media/writer.h"

#include <cmath>
#include <limits>
#include <span>

#include "media/reader.h"
#include "support.h"

namespace prax::media {
namespace {

namespace fs = std::filesystem;
using WriterTest = MediaTest;
const std::vector<std::string> names = {"a.mp4", "a.webm", "a.gif", "a.webp", "a.png", "a.npy", "a"};

TEST_F(WriterTest, UnknownEndingsNameThoseThatWork) {
  try {
    check_writable(at("a.avi"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    for (const char* ending : {".mp4", ".webm", ".gif", ".webp", ".png", ".npy"}) {
      EXPECT_NE(error.hint().find(ending), std::string::npos) << ending;
    }
  }
  expect_error(ErrorKind::usage, "no name", [] { check_writable(""); });
}

TEST_F(WriterTest, EndingsInAnyCase) {
  write_smooth(at("A.MP4"), {32, 32, 2, 24});
  EXPECT_EQ(probe(at("A.MP4")).codec, "h264");
}

TEST_F(WriterTest, CheckLeavesNothing) {
  for (const auto& name : names) {
    check_writable(at(name));
    EXPECT_EQ(entries(), 0u) << name;
  }
}

TEST_F(WriterTest, BadPlacesAreFoundAtOnce) {
  put_bytes(at("file"), "x");
  for (const auto& name : names) {
    expect_error(ErrorKind::io, "none", [&] { check_writable(at("none/" + name)); });
    expect_error(ErrorKind::io, "cannot be written", [&] { check_writable(at("file/" + name)); });
  }
  expect_error(ErrorKind::io, "not a folder", [&] { check_writable(at("file")); });
}

TEST_F(WriterTest, OldFileStaysUntilTheEnd) {
  for (const auto& name : names) {
    if (name == "a") continue;
    put_bytes(at(name), "old");
    {
      const auto writer = open_writer(at(name));
      writer->begin({32, 32, 2, 24});
      writer->frame(plain_frame(32, 32, 0, 0, 0));
    }
    EXPECT_EQ(bytes_of(at(name)), "old") << name;
    EXPECT_EQ(entries(), 1u) << name;
    write_smooth(at(name), {32, 32, 2, 24});
    EXPECT_NE(bytes_of(at(name)), "old") << name;
    fs::remove(at(name));
  }
}

TEST_F(WriterTest, RatesAndSizesThatAreNone) {
  for (const auto& name : names) {
    for (const double fps : {0.0, -24.0, std::nan(""), std::numeric_limits<double>::infinity(), 1e9, 1e-9}) {
      expect_error(ErrorKind::usage, "frames a second", [&] { open_writer(at(name))->begin({32, 32, 2, fps}); });
    }
    expect_error(ErrorKind::usage, "0x32", [&] { open_writer(at(name))->begin({0, 32, 2, 24}); });
    expect_error(ErrorKind::usage, "0 frames", [&] { open_writer(at(name))->begin({32, 32, 0, 24}); });
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(WriterTest, WhatComesIsWhatWasAnnounced) {
  const auto picture = plain_frame(32, 32, 0, 0, 0);
  for (const auto& name : names) {
    {
      const auto writer = open_writer(at(name));
      writer->begin({32, 32, 3, 24});
      writer->frame(picture);
      expect_error(ErrorKind::internal, "has 30 values, not 3072",
                   [&] { writer->frame(std::span(picture).first(30)); });
      writer->frame(picture);
      expect_error(ErrorKind::internal, "3 frames were announced, but only 2 came", [&] { writer->finish(); });
      writer->frame(picture);
      expect_error(ErrorKind::internal, "more came", [&] { writer->frame(picture); });
    }
    EXPECT_EQ(entries(), 0u) << name;
  }
}

TEST_F(WriterTest, OneFrameKeepsItsSettings) {
  const WriterOptions options = {{{"prompt", "a fish"}, {"seed", "3"}}};
  for (const auto& name : names) {
    if (name == "a.npy") continue;
    write_smooth(at(name), {34, 18, 1, 24}, options);
    EXPECT_EQ(read_settings(at(name)), options.metadata) << name;
    const Tensor frames = read_frames(at(name));
    EXPECT_EQ(frames.dim(0), 1) << name;
  }
  EXPECT_GT(worst_psnr(read_frames(at("a.webp"))), 33);
}

}  // namespace
}  // namespace prax::media
