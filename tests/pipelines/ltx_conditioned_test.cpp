#include "pipelines/ltx/conditioned.h"

#include "base/error.h"
#include "media/writer.h"
#include "pipelines/pipeline_support.h"
#include "support/stopped_run.h"

namespace prax {
namespace {

using pipelines::Monitor;
using pipelines::Request;
using PipelineRun = pipelines::Run;
using nlohmann::json;
using test::Golden;
using test::NoSink;

//! The condition pipeline on the small checkpoint, with pictures of its own.
class Conditioned : public testing::Test {
protected:
  Conditioned() : golden("ltx_095_condition"), pipeline(load()) {
    request = test::request_of(golden);
    request.arguments.erase("conditions");
    request.arguments["num_inference_steps"] = 2;
    picture = (golden.path / "image.png").string();
    clip = (golden.path / "video_%02d.png").string();
  }
  std::unique_ptr<pipelines::Pipeline> load() const {
    return pipelines::load(test::folder_of(golden), test::exact(golden));
  }
  void refuses(const json& arguments, const std::string& word) {
    Request asked = request;
    asked.arguments.update(arguments);
    try {
      pipeline->begin(asked);
      ADD_FAILURE() << arguments.dump() << " was accepted";
    } catch (const Error& e) {
      EXPECT_NE((std::string(e.what()) + " " + e.hint()).find(word), std::string::npos)
          << e.what() << " / " << e.hint();
    }
  }
  NoSink made(PipelineRun run) {
    pipeline->denoise(run, {});
    NoSink sink;
    pipeline->decode(run, 0, sink, {});
    return sink;
  }

  Golden golden;
  std::unique_ptr<pipelines::Pipeline> pipeline;
  Request request;
  std::string picture, clip;
};

TEST_F(Conditioned, RefusesConditionsOutsideOfTheClip) {
  refuses({{"conditions", {{{"image", picture}, {"frame_index", 17}}}}}, "0 to 16");
  refuses({{"conditions", {{{"image", picture}, {"frame_index", -1}}}}}, "0 to 16");
  refuses({{"image", picture}, {"frame_index", 40}}, "0 to 16");
}

TEST_F(Conditioned, RefusesOverlappingConditions) {
  refuses({{"conditions", {{{"video", clip}}, {{"image", picture}, {"frame_index", 8}}}}}, "overlap");
  refuses({{"conditions", {{{"image", picture}, {"frame_index", 8}}, {{"image", picture}, {"frame_index", 8}}}}},
          "frames 8 to 8");
}

TEST_F(Conditioned, RefusesWhatCannotBeMeant) {
  refuses({{"conditions", {{{"image", picture}, {"strength", 1.5}}}}}, "0 to 1");
  refuses({{"conditions", {{{"image", picture}, {"video", clip}}}}}, "a list like");
  refuses({{"conditions", {{{"imag", picture}}}}}, "a list like");
  refuses({{"image", picture}, {"video", clip}}, "conditions");
  refuses({{"denoise_strength", 2}}, "0 to 1");
  refuses({{"resize_mode", "squash"}}, "crop");
  refuses({{"image", "/nowhere/at-all.png"}}, "at-all.png");
  refuses({{"extend", clip}, {"loop", true}}, "first");
  refuses({{"vae_tiling", {{"tile_width", 3}}}}, "tile_sample_min_");
}

TEST_F(Conditioned, NeedsAScheduleWithoutDynamicShifting) {
  const Golden other("ltx_090_t2v");
  auto options = test::exact(golden);
  const auto shifted = pipelines::load(test::folder_of(other), options);
  Request asked = request;
  try {
    shifted->begin(asked);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_NE(e.hint().find("use_dynamic_shifting"), std::string::npos);
  }
}

TEST_F(Conditioned, ALoopHoldsTheFirstFrameAtBothEnds) {
  request.arguments["loop"] = true;
  PipelineRun plain = pipeline->begin(request);
  EXPECT_EQ(plain.steps, 4) << "a first pass makes the frame, a second one closes the loop";
  EXPECT_EQ(made(plain).format.frames, 17);
  request.arguments["image"] = picture;
  PipelineRun given = pipeline->begin(request);
  EXPECT_EQ(given.steps, 2);
  const int64_t plane = 2 * 3;  // latent rows and columns of 96x64
  EXPECT_EQ(given.latents.dim(1), (3 + 1) * plane) << "one picture as extra tokens";
}

TEST_F(Conditioned, ALoopGoesOnBitIdenticallyAfterItsFirstPass) {
  request.arguments["loop"] = true;
  const auto want = made(pipeline->begin(request)).pixels;
  for (int64_t stop : {1, 2, 3}) {
    PipelineRun kept = test::stopped_run(*pipeline, request, stop);
    pipeline = load();
    EXPECT_EQ(made(kept).pixels, want) << "stopped after step " << stop;
  }
}

TEST_F(Conditioned, ExtendingGivesTheClipAndItsContinuation) {
  request.arguments.update({{"extend", clip}, {"extend_overlap", 1}, {"num_frames", 9}});
  refuses({{"extend_overlap", 9}}, "1 to 8");
  // A pattern of pictures has no head to count; a file has.
  const auto file = std::filesystem::temp_directory_path() / ("extend" + std::to_string(getpid()) + ".gif");
  {
    const auto writer = media::open_writer(file);
    writer->begin({96, 64, 10, 25});
    for (int i = 0; i < 10; ++i) writer->frame(std::vector<float>(96 * 64 * 3, static_cast<float>(i) / 16.0f));
    writer->finish();
  }
  request.arguments.update({{"extend", file.string()}, {"extend_overlap", 9}, {"num_frames", 17}});
  PipelineRun run = pipeline->begin(request);
  EXPECT_EQ(run.format.frames, 10 + 17 - 9);
  const NoSink sink = made(run);
  EXPECT_EQ(sink.pixels.size(), static_cast<size_t>(18) * 96 * 64 * 3);
  EXPECT_NEAR(sink.pixels[0], 0.0f, 0.02f) << "it begins with the clip";
  std::filesystem::remove(file);
}

TEST_F(Conditioned, ChangesAClipAsFarAsItsStrength) {
  request.arguments.update({{"init_video", {{"file", clip}, {"frames", 9}}}, {"num_frames", 9}});
  request.arguments["num_inference_steps"] = 10;
  const auto steps = [&](double strength) {
    request.arguments["denoise_strength"] = strength;
    return pipeline->begin(request).steps;
  };
  EXPECT_EQ(steps(0.3), 3);
  EXPECT_EQ(steps(0.75), 7);
  EXPECT_EQ(steps(0), 0);
  refuses({{"num_frames", 17}}, "num_frames to 9");
}

TEST_F(Conditioned, TilesGiveAVideoOfTheSameSize) {
  request.arguments["vae_tiling"] = {{"tile_sample_min_width", 64},
                                     {"tile_sample_min_height", 64},
                                     {"tile_sample_stride_width", 32},
                                     {"tile_sample_stride_height", 32}};
  const NoSink sink = made(pipeline->begin(request));
  EXPECT_EQ(sink.pixels.size(), static_cast<size_t>(17) * 96 * 64 * 3);
}

}  // namespace
}  // namespace prax
