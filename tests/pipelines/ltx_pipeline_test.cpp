#include "pipelines/ltx/ltx_pipeline.h"

#include "base/error.h"
#include "pipelines/pipeline_support.h"

namespace prax {
namespace {

using pipelines::LoadOptions;
using pipelines::Monitor;
using pipelines::Request;
using PipelineRun = pipelines::Run;
using test::folder_of;
using test::Golden;
using test::NoSink;
using test::request_of;

class PipelineGolden : public testing::TestWithParam<const char*> {};

TEST_P(PipelineGolden, EveryRecordedTensorIsTheReferences) {
  const Golden golden(GetParam());
  const auto pipeline = pipelines::load(folder_of(golden), test::exact(golden));
  pipelines::Request request = request_of(golden);
  for (const auto& argument : pipeline->arguments())
    if (argument.type == "file" && golden.has(argument.name)) request.tensors[argument.name] = golden[argument.name];
  const auto seen = test::run_of(*pipeline, request);
  for (const auto& [name, entry] : golden.tensors->entries()) {
    if (request.tensors.contains(name)) continue;
    ASSERT_TRUE(seen.contains(name)) << name << " was never made";
    EXPECT_EQ(seen.at(name).shape(), entry.shape) << name;
    EXPECT_LT(test::relative_error(seen.at(name), golden[name]), 1e-3) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PipelineGolden,
                         testing::Values("ltx_090_t2v", "ltx_091_t2v", "ltx_091_t2v_rescale", "ltx_095_t2v",
                                         "ltx_090_i2v", "ltx_095_condition", "ltx_095_v2v", "ltx_098_distilled_t2v",
                                         "ltx_long_multi_prompt", "ltx_upsample", "ltx_lora", "nano_t2v"));

class Small : public testing::Test {
protected:
  Small() : golden("ltx_090_t2v"), pipeline(pipelines::load(folder_of(golden), LoadOptions{DType::f32, "", {}})) {}
  void refuses(nlohmann::json arguments, const std::string& word) {
    Request request = request_of(golden);
    request.arguments.update(arguments);
    test::expect_refused(*pipeline, request, word);
  }
  std::vector<float> frames(PipelineRun& run) { return test::frames_of(*pipeline, run); }
  Golden golden;
  std::unique_ptr<pipelines::Pipeline> pipeline;
};

TEST_F(Small, NamesTheNearestLegalSizes) {
  refuses({{"width", 100}}, "96 or 128");
  refuses({{"height", 20}}, "32");
  refuses({{"num_frames", 20}}, "17 or 25");
  refuses({{"num_frames", 4}}, "1 or 9");
  refuses({{"width", 0}}, "width");
  refuses({{"num_inference_steps", 0}}, "num_inference_steps");
}

TEST_F(Small, SuggestsArgumentsAndChecksTypes) {
  refuses({{"num_inference_step", 3}}, "num_inference_steps");
  refuses({{"guidance", 3}}, "guidance_scale");
  refuses({{"width", "wide"}}, "whole number");
  refuses({{"width", 96.5}}, "whole number");
  refuses({{"timesteps", "x"}}, "list");
}

TEST_F(Small, RefusesInvalidUtf8) {
  Request request = request_of(golden);
  request.prompt = "a \xc3( b";
  EXPECT_THROW(pipeline->begin(request), Error);
  request.prompt = "\xed\xa0\x80";
  EXPECT_THROW(pipeline->begin(request), Error);
}

TEST_F(Small, AResumedRunIsBitIdentical) {
  PipelineRun whole = pipeline->begin(request_of(golden));
  const auto want = frames(whole);
  // Stop after each step in turn, go on in a pipeline of its own.
  for (int64_t stop = 1; stop <= 3; ++stop) {
    PipelineRun run = pipeline->begin(request_of(golden));
    CancelToken cancel;
    Monitor monitor;
    monitor.cancel = &cancel;
    PipelineRun saved;
    monitor.after_step = [&](const PipelineRun& r) {
      if (r.step != stop) return;
      saved = r;
      saved.generator = Generator::from_state(r.generator.state());
      cancel.cancel();
    };
    if (stop < 3) {
      EXPECT_THROW(pipeline->denoise(run, monitor), Error);
    } else {
      pipeline->denoise(run, monitor);
    }
    EXPECT_EQ(saved.step, stop);
    pipeline = pipelines::load(folder_of(golden), LoadOptions{DType::f32, "", {}});
    EXPECT_EQ(frames(saved), want);
  }
}

TEST_F(Small, MakesSeveralClips) {
  Request request = request_of(golden);
  request.arguments["num_videos_per_prompt"] = 2;
  PipelineRun run = pipeline->begin(request);
  EXPECT_EQ(run.latents.dim(0), 2);
  pipeline->denoise(run, {});
  NoSink a, b;
  pipeline->decode(run, 0, a, {});
  pipeline->decode(run, 1, b, {});
  EXPECT_EQ(a.pixels.size(), b.pixels.size());
  EXPECT_NE(a.pixels, b.pixels);
}

TEST_F(Small, TakesOwnTimesteps) {
  Request request = request_of(golden);
  request.arguments["timesteps"] = {900, 500};
  PipelineRun run = pipeline->begin(request);
  EXPECT_EQ(run.steps, 2);
  EXPECT_FALSE(frames(run).empty());
}

TEST_F(Small, WithoutGuidanceTheNegativePromptDoesNotMatter) {
  Request request = request_of(golden);
  request.arguments["guidance_scale"] = 1.0;
  PipelineRun one = pipeline->begin(request);
  request.negative_prompt = "something else";
  PipelineRun two = pipeline->begin(request);
  EXPECT_EQ(frames(one), frames(two));
}

TEST_F(Small, PreviewsAPicture) {
  PipelineRun run = pipeline->begin(request_of(golden));
  const Tensor before = pipeline->preview(run);
  EXPECT_EQ(before.rank(), 3);
  EXPECT_EQ(before.dim(2), 3);
  pipeline->denoise(run, {});
  const Tensor after = pipeline->preview(run);
  EXPECT_GT(test::relative_error(after, before), 0.01);
}

TEST_F(Small, CancelsWithinAStep) {
  PipelineRun run = pipeline->begin(request_of(golden));
  CancelToken cancel;
  cancel.cancel();
  Monitor monitor;
  monitor.cancel = &cancel;
  try {
    pipeline->denoise(run, monitor);
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::interrupted);
  }
}

}  // namespace
}  // namespace prax
