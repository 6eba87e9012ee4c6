#include "pipelines/limits.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/error.h"
#include "base/paths.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {
namespace {

namespace fs = std::filesystem;

TEST(Limits, OfTheEmbeddedModelAreItsOwn) {
  const Limits l = limits(embedded_model_path());
  EXPECT_EQ(l.family, "LTX-Video");
  EXPECT_EQ(l.size_multiple, 16);
  EXPECT_EQ(l.frame_group, 4);
  EXPECT_EQ(l.frame_offset, 1);
  EXPECT_GE(l.most_pixels, int64_t{l.width} * l.height);
  EXPECT_GE(l.most_frames, l.frames);
  EXPECT_TRUE(l.takes_picture && l.changes_clips && l.extends_clips && l.takes_conditions);
}

//! What limits() says can be made is what begin() takes, and what is beside the grid is what it refuses.
TEST(Limits, AreThoseOfThePipelines) {
  for (const char* name : {"ltx_090_t2v", "cogvideox_2b_t2v", "cogvideox_15_t2v", "mochi_t2v"}) {
    const fs::path folder = fs::path(PRAX_TEST_DATA) / "cases" / name / "checkpoint";
    const Limits l = limits(folder);
    const auto pipeline = load(folder);
    constexpr int tokens = 20;  // what the small checkpoints with learned positions have
    Request request;
    request.prompt = "a";
    request.arguments = {{"width", l.width},
                         {"height", l.height},
                         {"num_frames", l.frame_group + l.frame_offset},
                         {"max_sequence_length", tokens}};
    const pipelines::Run run = pipeline->begin(request);
    EXPECT_EQ(run.format.width, l.width) << name;
    EXPECT_EQ(run.format.frames, l.frame_group + l.frame_offset) << name;
    request.arguments["width"] = l.width + l.size_multiple / 2;
    EXPECT_THROW(pipeline->begin(request), Error) << name;
  }
}

TEST(Limits, AFoldersOwnWordsCount) {
  const fs::path folder = fs::temp_directory_path() / ("prax_limits_" + std::to_string(::getpid()));
  fs::copy(fs::path(PRAX_TEST_DATA) / "cases/ltx_090_t2v/checkpoint", folder, fs::copy_options::recursive);
  const auto with = [&](const std::string& text) {
    std::ofstream(folder / "praxinoscope.json") << text;
    return limits(folder);
  };
  Limits l = with(R"({"defaults": {"width": 64, "height": 96, "num_frames": 9, "frame_rate": 12}})");
  EXPECT_EQ(l.most_pixels, 64 * 96);
  EXPECT_EQ(l.most_frames, 9);
  EXPECT_EQ(l.fps, 12);
  l = with(R"({"defaults": {"num_frames": 9}, "limits": {"frames": 17, "pixels": 1000000}})");
  EXPECT_EQ(l.most_frames, 17);
  EXPECT_EQ(l.most_pixels, 1000000);
  for (const char* odd : {R"({"defaults": {"width": 64}, "limits": {"pixels": 10}})",
                          R"({"limits": {"frames": "many"}})", R"({"limits": 3})"})
    EXPECT_THROW(with(odd), Error) << odd;
  fs::remove_all(folder);
  EXPECT_THROW(limits(folder), Error);
}

}  // namespace
}  // namespace prax::pipelines
