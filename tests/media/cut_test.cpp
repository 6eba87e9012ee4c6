#include "media/cut.h"

#include "support.h"

namespace prax::media {
namespace {

namespace fs = std::filesystem;

//! Keeps what it is given.
class Kept : public FrameSink {
public:
  void begin(const VideoFormat& announced) override { format = announced; }
  void frame(std::span<const float> rgb) override { frames.emplace_back(rgb.begin(), rgb.end()); }
  void finish() override { finished = true; }

  VideoFormat format;
  std::vector<std::vector<float>> frames;
  bool finished = false;
};

class Cut : public MediaTest {
protected:
  //! Grey pictures, one shade after another, without loss.
  fs::path clip(const std::string& name, int frames, double fps, float first, int width = 32, int height = 32) {
    const fs::path path = at(name + ".gif");
    const auto sink = open_writer(path);
    sink->begin({width, height, frames, fps});
    for (int i = 0; i < frames; ++i)
      sink->frame(std::vector<float>(static_cast<size_t>(width) * height * 3, (first + static_cast<float>(i)) / 255));
    sink->finish();
    return path;
  }

  static std::vector<int> shades(const std::vector<CutPart>& parts, int width = 0, int height = 0, double fps = 0) {
    Kept sink;
    const VideoFormat format = cut_format(parts, width, height, fps);
    cut(parts, format, sink);
    EXPECT_TRUE(sink.finished);
    EXPECT_EQ(static_cast<int64_t>(sink.frames.size()), format.frames);
    std::vector<int> list;
    for (const auto& frame : sink.frames) list.push_back(static_cast<int>(std::lround(frame.at(0) * 255)));
    return list;
  }

  static std::string refusal(const std::vector<CutPart>& parts) {
    try {
      cut_format(parts);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return error.what();
    }
    return "accepted";
  }
};

TEST_F(Cut, TakesPiecesInTheirOrder) {
  const auto a = clip("a", 8, 10, 10), b = clip("b", 8, 10, 100);
  EXPECT_EQ(shades({{b, 0.6}, {a, 0.2, 0.5}, {b, 0, 0.1}}), (std::vector{106, 107, 12, 13, 14, 100}));
}

TEST_F(Cut, AnEndAtTheLastPictureTakesItIn) {
  const auto a = clip("a", 5, 10, 10);
  EXPECT_EQ(shades({{a, 0.2, 0.4}}), (std::vector{12, 13, 14}));
  EXPECT_EQ(shades({{a, 0.2, 99}}), (std::vector{12, 13, 14}));
  EXPECT_EQ(shades({{a, 0.2, 0.3}}), (std::vector{12}));
}

TEST_F(Cut, FadesOnePieceIntoTheNext) {
  const auto a = clip("a", 6, 10, 0), b = clip("b", 6, 10, 100);
  // Frames 3, 4, 5 of the first and 0, 1, 2 of the second, a quarter of the second more in each.
  EXPECT_EQ(shades({{a}, {.file = b, .crossfade = 0.3}}), (std::vector{0, 1, 2, 27, 53, 78, 103, 104, 105}));
}

TEST_F(Cut, RepeatsAndLeavesOutFramesAtAnotherRate) {
  const auto a = clip("a", 4, 10, 10), b = clip("b", 4, 20, 100);
  EXPECT_EQ(shades({{a}, {b}}), (std::vector{10, 11, 12, 13, 100, 102}));
  EXPECT_EQ(shades({{a}}, 0, 0, 20), (std::vector{10, 10, 11, 11, 12, 12, 13, 13}));
}

TEST_F(Cut, FitsOtherSizesIntoTheFirst) {
  const auto wide = clip("wide", 1, 10, 200, 64, 32), square = clip("square", 1, 10, 100, 16, 16);
  Kept sink;
  const std::vector<CutPart> parts = {{wide}, {square}};
  cut(parts, cut_format(parts), sink);
  ASSERT_EQ(sink.frames.size(), 2u);
  EXPECT_EQ(sink.format.width, 64);
  const auto shade = [&](int x) { return std::lround(sink.frames[1][static_cast<size_t>(x) * 3] * 255); };
  EXPECT_EQ(shade(15), 0);
  EXPECT_EQ(shade(16), 100);
  EXPECT_EQ(shade(47), 100);
  EXPECT_EQ(shade(48), 0);
}

TEST_F(Cut, EnlargesInBothDirections) {
  const auto a = clip("a", 2, 10, 50);
  EXPECT_EQ(shades({{a}}, 64, 64), (std::vector{50, 51}));
}

TEST_F(Cut, RefusesWhatCannotBe) {
  const auto a = clip("a", 4, 10, 0);
  EXPECT_NE(refusal({}).find("no parts"), std::string::npos);
  EXPECT_NE(refusal({{a, 2}}).find("part 1 begins behind the end"), std::string::npos);
  EXPECT_NE(refusal({{a, 0.2, 0.1}}).find("ends before"), std::string::npos);
  EXPECT_NE(refusal({{.file = a, .crossfade = 0.1}}).find("nothing before it"), std::string::npos);
  EXPECT_NE(refusal({{a}, {.file = a, .crossfade = 0.4}}).find("shorter than its crossfade"), std::string::npos);
  EXPECT_NE(refusal({{a}, {.file = a, .crossfade = 0.3}, {.file = a, .crossfade = 0.2}}).find("fades for longer"),
            std::string::npos);
}

TEST_F(Cut, CountsWithoutFilesWhatItMakesOfThem) {
  const auto a = clip("a", 9, 10, 0), b = clip("b", 7, 20, 0);
  const std::vector<CutPart> parts = {{a, 0.1, 0.7}, {.file = b, .crossfade = 0.1}};
  EXPECT_EQ(count_cut_frames(parts, {{9, 10}, {7, 20}}, 10), cut_format(parts).frames);
}

TEST_F(Cut, StopsWhenProgressThrows) {
  const auto a = clip("a", 6, 10, 0);
  Kept sink;
  const std::vector<CutPart> parts = {{a}};
  EXPECT_THROW(cut(parts, cut_format(parts), sink,
                   [](int64_t done) {
                     if (done == 2) throw Error(ErrorKind::interrupted, "stop");
                   }),
               Error);
  EXPECT_FALSE(sink.finished);
  EXPECT_EQ(sink.frames.size(), 2u);
}

}  // namespace
}  // namespace prax::media
