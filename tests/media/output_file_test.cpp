#include "media/output_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "support.h"

namespace prax::media {
namespace {

namespace fs = std::filesystem;
using OutputFileTest = MediaTest;

//! Files may not grow beyond this while it lives: the nearest to a full disk that needs no rights.
class FileSizeLimit {
public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit now = before_;
    now.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &now);
  }
  ~FileSizeLimit() { setrlimit(RLIMIT_FSIZE, &before_); }

private:
  rlimit before_{};
};

TEST_F(OutputFileTest, AppearsOnlyWhenCommitted) {
  {
    OutputFile file(at("a.bin"));
    file.write("hello");
    EXPECT_FALSE(fs::exists(at("a.bin")));
    EXPECT_TRUE(fs::exists(file.temporary()));
    file.commit();
    EXPECT_FALSE(fs::exists(file.temporary()));
  }
  EXPECT_EQ(bytes_of(at("a.bin")), "hello");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, UnfinishedLeavesTheOldFileAndNothingElse) {
  put_bytes(at("a.bin"), "old");
  {
    OutputFile file(at("a.bin"));
    file.write("new");
  }
  EXPECT_EQ(bytes_of(at("a.bin")), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(OutputFileTest, SeeksAndOverwrites) {
  OutputFile file(at("a.bin"));
  file.write("abcdef");
  file.seek(2);
  file.write("XY");
  EXPECT_EQ(file.position(), 4u);
  EXPECT_EQ(file.size(), 6u);
  file.commit();
  EXPECT_EQ(bytes_of(at("a.bin")), "abXYef");
}

TEST_F(OutputFileTest, TwoAtOnceDoNotMeet) {
  OutputFile one(at("a.bin")), two(at("a.bin"));
  EXPECT_NE(one.temporary(), two.temporary());
}

TEST_F(OutputFileTest, LinksAreFollowed) {
  put_bytes(at("real"), "old");
  fs::create_symlink(at("real"), at("link"));
  OutputFile file(at("link"));
  file.write("new");
  file.commit();
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(bytes_of(at("real")), "new");
}

TEST_F(OutputFileTest, SaysWhatIsWrongWithThePlace) {
  expect_error(ErrorKind::io, "does not exist", [&] { OutputFile(at("none/a.bin")); });
  put_bytes(at("file"), "");
  expect_error(ErrorKind::io, "cannot be written", [&] { OutputFile(at("file/a.bin")); });
  expect_error(ErrorKind::io, "cannot be written", [&] { OutputFile(at("file/deeper/a.bin")); });
  expect_error(ErrorKind::io, "is a folder", [&] { OutputFile{folder_}; });
  expect_error(ErrorKind::io, "too long", [&] { OutputFile(at(std::string(300, 'x'))); });
  expect_error(ErrorKind::io, "not an ordinary file", [&] { OutputFile("/dev/full"); });
}

TEST_F(OutputFileTest, TooLargeIsAnErrorAndNoSignal) {
  {
    OutputFile file(at("a.bin"));
    const FileSizeLimit limit(1000);
    file.write(std::string(900, 'x'));
    expect_error(ErrorKind::disk_full, "larger than a file may be", [&] { file.write(std::string(900, 'x')); });
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(OutputFileTest, WritersReportItToo) {
  for (const char* name : {"a.mp4", "a.gif", "a.npy", "a.png", "a.webp", "a.webm", "folder"}) {
    {
      const FileSizeLimit limit(600);
      expect_error(ErrorKind::disk_full, "larger than a file may be", [&] { write_smooth(at(name), {64, 64, 3, 24}); });
    }
    EXPECT_EQ(entries(), 0u) << name;
  }
}

TEST_F(OutputFileTest, FullDisk) {
  expect_error(ErrorKind::disk_full, "the disk is full", [&] { throw_write_error(ENOSPC, at("a.bin")); });
}

TEST_F(OutputFileTest, PartNameOfAFolder) {
  EXPECT_EQ(part_name("a/b/", 0), part_name("a/b", 0));
  EXPECT_EQ(part_name("a/b", 0).parent_path(), "a");
}

TEST_F(OutputFileTest, ScratchLeavesNoName) {
  ScratchFile scratch(at("a.bin"));
  EXPECT_EQ(entries(), 0u);
  const std::vector<uint8_t> bytes = {1, 2, 3, 4, 5};
  scratch.append(bytes);
  std::vector<uint8_t> back(2);
  scratch.read(3, back);
  EXPECT_EQ(back, (std::vector<uint8_t>{4, 5}));
  expect_error(ErrorKind::io, "too short", [&] { scratch.read(4, back); });
}

}  // namespace
}  // namespace prax::media
