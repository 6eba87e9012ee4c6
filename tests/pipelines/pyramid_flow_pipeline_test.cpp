#include "pipelines/pyramid_flow/pyramid_flow_pipeline.h"

#include <unistd.h>

#include "pipelines/intent.h"
#include "pipelines/pyramid_flow_support.h"
#include "support/stopped_run.h"

namespace prax {
namespace {

using nlohmann::json;
using pipelines::Monitor;
using pipelines::Request;
using PipelineRun = pipelines::Run;
using test::case_folder;
using test::case_request;
using test::Golden;
using test::NoSink;

class PyramidFlowRun : public testing::TestWithParam<std::string> {};

TEST_P(PyramidFlowRun, EveryRecordedTensorIsTheReferences) {
  const Golden golden = test::pyramid_flow_golden(GetParam());
  const auto pipeline = test::load_case(golden);
  const auto seen = test::run_of(*pipeline, case_request(golden));
  for (const auto& [name, entry] : golden.tensors->entries()) {
    if (name == "image" || name == "frames" || name == "decoded") continue;
    ASSERT_TRUE(seen.contains(name)) << name << " was never made";
    EXPECT_EQ(seen.at(name).shape(), entry.shape) << name;
    EXPECT_LT(test::relative_error(seen.at(name), golden[name]), 1e-4) << name;
  }
  const Tensor frames = seen.at("frames");
  const Tensor want = golden["frames"].to(DType::f32);
  EXPECT_EQ(frames.dim(0), golden.json["number_of_frames"].get<int64_t>());
  const auto indices = golden.json["frame_indices"].get<std::vector<int64_t>>();
  for (size_t k = 0; k < indices.size(); ++k) {
    const Tensor got = frames.slice(indices[k], indices[k] + 1);
    const float* bytes = want.data<float>() + static_cast<int64_t>(k) * got.numel();
    float most = 0;
    for (int64_t i = 0; i < got.numel(); ++i)
      most = std::max(most, std::abs(std::floor(got.data<float>()[i] * 255) - bytes[i]));
    EXPECT_LE(most, 1) << "frame " << indices[k];
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PyramidFlowRun, testing::ValuesIn(test::pyramid_flow_runs()));

class PyramidFlowSmall : public testing::Test {
protected:
  PyramidFlowSmall() : golden(test::pyramid_flow_golden("flux_t2v")), pipeline(test::load_case(golden)) {}
  void refuses(const json& arguments, const std::string& word) {
    Request request = case_request(golden);
    request.arguments.update(arguments);
    test::expect_refused(*pipeline, request, word);
  }
  std::vector<float> frames(PipelineRun& run) { return test::frames_of(*pipeline, run); }
  Golden golden;
  std::unique_ptr<pipelines::Pipeline> pipeline;
};

TEST_F(PyramidFlowSmall, NamesTheNearestLegalValues) {
  refuses({{"width", 100}}, "64 or 128");
  refuses({{"height", 20}}, "64");
  refuses({{"temp", 0}}, "temp");
  refuses({{"num_inference_steps", {2, 2}}}, "3 stages");
  refuses({{"video_num_inference_steps", {2, 0, 2}}}, "video_num_inference_steps");
  refuses({{"stage_range", {0, 1}}}, "stage_range");
  refuses({{"scheduler_gamma", 0.9}}, "gamma");
  refuses({{"model_variant", "diffusion_transformer_4k"}}, "diffusion_transformer_4k");
  refuses({{"num_images_per_prompt", 2}}, "num_images_per_prompt");
  refuses({{"video_guidance", 3}}, "video_guidance_scale");
  refuses({{"history_memory", -0.5}}, "history_memory");
}

TEST_F(PyramidFlowSmall, WantsTheTransformerOfTheSize) {
  refuses({{"model_variant", "diffusion_transformer_768p"}}, "it has diffusion_transformer_384p");
  const json large = {{"model_variant", nullptr}, {"width", 1280}, {"height", 768}};
  refuses(large, "1280x768 is for diffusion_transformer_768p");
  refuses(large, "model_variant=diffusion_transformer_384p");
  Request request = case_request(golden);
  request.arguments.update(large);
  request.arguments["model_variant"] = "diffusion_transformer_384p";
  EXPECT_NO_THROW(pipeline->begin(request));
}

TEST_F(PyramidFlowSmall, AResumedRunIsBitIdentical) {
  PipelineRun whole = pipeline->begin(case_request(golden));
  const auto want = frames(whole);
  // Stopped within a stage, between stages and between units; kept in a file; gone on with in a pipeline of its own.
  for (const int64_t stop : {int64_t{1}, int64_t{2}, whole.steps / 2, whole.steps - 1}) {
    PipelineRun saved = test::stopped_run(*pipeline, case_request(golden), stop);
    pipeline = test::load_case(golden);
    EXPECT_EQ(frames(saved), want) << "stopped after step " << stop;
  }
}

TEST_F(PyramidFlowSmall, WithoutGuidanceTheNegativePromptDoesNotMatter) {
  Request request = case_request(golden);
  request.arguments["guidance_scale"] = 0;
  request.arguments["temp"] = 2;
  PipelineRun one = pipeline->begin(request);
  request.negative_prompt = "something else";
  PipelineRun two = pipeline->begin(request);
  EXPECT_EQ(frames(one), frames(two));
}

TEST_F(PyramidFlowSmall, LinearGuidanceFallsWithTheUnits) {
  Request request = case_request(golden);
  request.arguments["temp"] = 2;
  request.arguments.update({{"guidance_scale", 5.0}, {"video_guidance_scale", 3.0}});
  PipelineRun plain = pipeline->begin(request);
  // 5, then 5 - 2 = 3: what was said above in so many numbers.
  request.arguments.update({{"use_linear_guidance", true}, {"alpha", 2.0}, {"video_guidance_scale", 9.0}});
  PipelineRun linear = pipeline->begin(request);
  EXPECT_EQ(frames(linear), frames(plain));
  request.arguments["min_guidance_scale"] = 4.0;
  PipelineRun bounded = pipeline->begin(request);
  EXPECT_NE(frames(bounded), frames(plain));
}

TEST_F(PyramidFlowSmall, TilesChangeNothingWhereThePictureIsSmall) {
  Request request = case_request(golden);
  request.arguments["temp"] = 2;
  PipelineRun one = pipeline->begin(request);
  request.arguments["vae_tiling"] = true;
  PipelineRun two = pipeline->begin(request);
  EXPECT_EQ(frames(one), frames(two));
}

TEST_F(PyramidFlowSmall, PreviewsAPicture) {
  PipelineRun run = pipeline->begin(case_request(golden));
  const Tensor before = pipeline->preview(run);
  EXPECT_EQ(before.rank(), 3);
  pipeline->denoise(run, {});
  const Tensor after = pipeline->preview(run);
  EXPECT_EQ(after.dim(2), 3);
  NoSink sink;
  EXPECT_NO_THROW(pipeline->decode(run, 0, sink, {}));
  PipelineRun unfinished = pipeline->begin(case_request(golden));
  EXPECT_THROW(pipeline->decode(unfinished, 0, sink, {}), Error);
}

TEST_F(PyramidFlowSmall, PlansAsItsAuthorsDo) {
  Request request;
  request.prompt = "a fox";
  auto plan = pipelines::make_plan(case_folder(golden), {}, request);
  EXPECT_EQ(plan.reference_class, "PyramidDiTForVideoGeneration");
  EXPECT_EQ(plan.request.arguments["temp"], 16);
  EXPECT_EQ(plan.request.arguments["video_num_inference_steps"], json({10, 10, 10}));
  EXPECT_FALSE(plan.request.negative_prompt.empty());
  request.arguments = {{"num_frames", 17}, {"guidance_scale", 3.0}};
  plan = pipelines::make_plan(case_folder(golden), {}, request);
  EXPECT_EQ(plan.request.arguments["temp"], 3);
  EXPECT_EQ(plan.request.arguments["guidance_scale"], 3.0);
  for (const auto& [frames, nearest] : {std::pair{20, "17 or 25"}, {0, "9"}, {2, "1 or 9"}}) {
    request.arguments = {{"num_frames", frames}};
    try {
      pipelines::make_plan(case_folder(golden), {}, request);
      ADD_FAILURE() << frames << " frames were accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::usage);
      EXPECT_NE(e.hint().find(nearest), std::string::npos) << e.hint();
    }
  }
  pipelines::Intent intent;
  intent.image = "first.png";
  request.arguments = json::object();
  plan = pipelines::make_plan(case_folder(golden), intent, request);
  EXPECT_EQ(plan.request.arguments["input_image"], "first.png");
  EXPECT_EQ(plan.request.arguments["num_inference_steps"], json({10, 10, 10}));
  intent.loop = true;
  EXPECT_THROW(pipelines::make_plan(case_folder(golden), intent, request), Error);
}

}  // namespace
}  // namespace prax
