#include "media/writer.h"

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

}  // namespace
}  // namespace prax::media
