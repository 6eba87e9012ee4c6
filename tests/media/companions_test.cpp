#include "media/companions.h"

#include "media/picture.h"
#include "media/still.h"
#include "support.h"

namespace prax::media {
namespace {

using CompanionsTest = MediaTest;

//! Frames of one grey each, brighter from first to last.
void write_greys(FrameSink& sink, int64_t frames, int width, int height) {
  sink.begin({width, height, frames, 12});
  for (int64_t i = 0; i < frames; ++i) {
    const float grey = static_cast<float>(i) / static_cast<float>(std::max<int64_t>(1, frames - 1));
    sink.frame(plain_frame(width, height, grey, grey, grey));
  }
  sink.finish();
}

TEST_F(CompanionsTest, TheThumbnailIsTheMiddleFrameAsWebp) {
  for (const int64_t frames : {1, 2, 5, 9}) {
    write_greys(*open_thumbnail(at("a.webp")), frames, 64, 32);
    const Picture picture = read_picture(at("a.webp"));
    EXPECT_EQ(picture.width, 64);
    EXPECT_EQ(picture.height, 32);
    const double grey = frames == 1 ? 0 : 255.0 * static_cast<double>(frames / 2) / static_cast<double>(frames - 1);
    EXPECT_NEAR(picture.rgb[0], grey, 6) << frames;
    std::ifstream in(at("a.webp"), std::ios::binary);
    const std::string head{std::istreambuf_iterator<char>(in), {}};
    EXPECT_EQ(still_kind(head), StillKind::webp);
  }
}

TEST_F(CompanionsTest, TheSpritesheetShowsFramesFromFirstToLast) {
  write_greys(*open_spritesheet(at("a.jpg")), 100, 64, 64);
  const Picture sheet = read_picture(at("a.jpg"));
  ASSERT_EQ(sheet.width, 5 * 64);
  ASSERT_EQ(sheet.height, 5 * 64);
  EXPECT_LT(sheet.row(32)[3 * 32], 8) << "the first frame is black";
  EXPECT_GT(sheet.row(4 * 64 + 32)[3 * (4 * 64 + 32)], 247) << "the last one is white";
  std::ifstream in(at("a.jpg"), std::ios::binary);
  const std::string head{std::istreambuf_iterator<char>(in), {}};
  EXPECT_EQ(still_kind(head), StillKind::jpeg);
  write_greys(*open_spritesheet(at("wide.jpg")), 25, 1280, 704);
  EXPECT_LE(read_picture(at("wide.jpg")).width, 2048);
}

TEST_F(CompanionsTest, ATeeFeedsAllOfItsSinksAndLeavesNothingHalf) {
  const auto tee = [&] {
    std::vector<std::unique_ptr<FrameSink>> sinks;
    sinks.push_back(open_writer(at("a.mp4")));
    sinks.push_back(open_thumbnail(at("a.webp")));
    sinks.push_back(open_spritesheet(at("a.jpg")));
    return std::make_unique<Tee>(std::move(sinks));
  };
  {
    const auto cut = tee();
    cut->begin({32, 32, 3, 12});
    cut->frame(plain_frame(32, 32, 0, 0, 0));
  }
  EXPECT_EQ(entries(), 0u);
  write_greys(*tee(), 3, 32, 32);
  EXPECT_EQ(entries(), 3u);
}

}  // namespace
}  // namespace prax::media
