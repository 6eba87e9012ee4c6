#include "media/reader.h"
#include "support.h"

namespace prax::media {
namespace {

namespace fs = std::filesystem;
using PictureWritersTest = MediaTest;
const WriterOptions described = {{{"prompt", "a fish"}, {"seed", "3"}}};

TEST_F(PictureWritersTest, SheetShowsFirstToLast) {
  const auto writer = open_writer(at("a.png"), described);
  writer->begin({32, 32, 97, 24});
  for (int t = 0; t < 97; ++t) writer->frame(plain_frame(32, 32, static_cast<float>(t) / 96, 0, 0));
  writer->finish();
  const Tensor sheet = read_frames(at("a.png"));
  ASSERT_EQ(sheet.dim(1), 4 * 32 + 5 * 4);
  ASSERT_EQ(sheet.dim(2), 4 * 32 + 5 * 4);
  const auto red = [&](int64_t column, int64_t row) {
    return sheet.data<float>()[((4 + row * 36 + 16) * sheet.dim(2) + 4 + column * 36 + 16) * 3];
  };
  EXPECT_NEAR(red(0, 0), 0, 0.003);
  EXPECT_NEAR(red(3, 3), 1, 0.003);
  for (int i = 1; i < 16; ++i) {
    EXPECT_NEAR(red(i % 4, i / 4) - red((i - 1) % 4, (i - 1) / 4), 1.0 / 15, 0.015) << i;
  }
  EXPECT_EQ(read_settings(at("a.png")), described.metadata);
}

TEST_F(PictureWritersTest, SheetShrinksButNeverGrows) {
  write_smooth(at("small.png"), {32, 16, 2, 24});
  EXPECT_LE(read_frames(at("small.png")).dim(2), 2 * 32 + 12);
  write_smooth(at("wide.png"), {1600, 100, 3, 24});
  EXPECT_LE(read_frames(at("wide.png")).dim(2), 2048);
  write_smooth(at("high.png"), {200, 600, 16, 24});
  EXPECT_LE(read_frames(at("high.png")).dim(2), 2048);
}

TEST_F(PictureWritersTest, FolderOfPictures) {
  write_smooth(at("clip"), {40, 24, 3, 24}, described);
  for (int t = 0; t < 3; ++t) {
    const Tensor picture = read_frames(at("clip/frame_0000" + std::to_string(t) + ".png"));
    EXPECT_GT(psnr(picture.data<float>(), smooth_frame(40, 24, t).data(), 40 * 24 * 3), 50);
  }
  EXPECT_EQ(read_settings(at("clip")), described.metadata);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(PictureWritersTest, FolderThatIsThere) {
  write_smooth(at("clip"), {16, 16, 5, 24});
  put_bytes(at("clip/notes.txt"), "mine");
  put_bytes(at("clip/frame_of_mine.png"), "mine");
  write_smooth(at("clip/"), {16, 16, 2, 24});
  EXPECT_TRUE(fs::exists(at("clip/frame_00001.png")));
  EXPECT_FALSE(fs::exists(at("clip/frame_00002.png")));
  EXPECT_FALSE(fs::exists(at("clip/frame_00004.png")));
  EXPECT_EQ(bytes_of(at("clip/notes.txt")), "mine");
  EXPECT_EQ(bytes_of(at("clip/frame_of_mine.png")), "mine");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(PictureWritersTest, UnfinishedFolderLeavesNothing) {
  {
    const auto writer = open_writer(at("clip"));
    writer->begin({16, 16, 2, 24});
    writer->frame(plain_frame(16, 16, 0, 0, 0));
  }
  EXPECT_EQ(entries(), 0u);
}

TEST_F(PictureWritersTest, NpyIsExact) {
  write_smooth(at("a.npy"), {20, 12, 3, 24});
  const std::string bytes = bytes_of(at("a.npy"));
  ASSERT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\0", 8));
  const size_t header = 10 + static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  EXPECT_EQ(header % 64, 0u);
  EXPECT_EQ(bytes.at(header - 1), '\n');
  EXPECT_NE(bytes.find("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 12, 20, 3), }"), std::string::npos);
  std::vector<float> wanted;
  for (int t = 0; t < 3; ++t) {
    const auto frame = smooth_frame(20, 12, t);
    wanted.insert(wanted.end(), frame.begin(), frame.end());
  }
  EXPECT_TRUE(bytes.substr(header) ==
              std::string(reinterpret_cast<const char*>(wanted.data()), wanted.size() * sizeof(float)));
}

TEST_F(PictureWritersTest, NpyWithFramesMissingIsNoFile) {
  const auto writer = open_writer(at("a.npy"));
  writer->begin({4, 4, 2, 24});
  writer->frame(plain_frame(4, 4, 0, 0, 0));
  EXPECT_THROW(writer->finish(), Error);
  EXPECT_FALSE(fs::exists(at("a.npy")));
}

}  // namespace
}  // namespace prax::media
