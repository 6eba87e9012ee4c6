#include "pipelines/cogvideox/cogvideox_pipeline.h"

#include "base/error.h"
#include "pipelines/intent.h"
#include "pipelines/pipeline_support.h"
#include "support/stopped_run.h"

namespace prax {
namespace {

using pipelines::Intent;
using pipelines::LoadOptions;
using pipelines::Monitor;
using pipelines::Request;
using PipelineRun = pipelines::Run;
using test::exact;
using test::folder_of;
using test::Golden;
using test::NoSink;

Request request_for(const Golden& golden) {
  Request request = test::request_of(golden);
  const auto inputs = golden.json.value("inputs", nlohmann::json::object());
  if (inputs.contains("video")) request.arguments["video"]["frames"] = inputs.at("frames");
  return request;
}

class CogVideoXGolden : public testing::TestWithParam<const char*> {};

TEST_P(CogVideoXGolden, EveryRecordedTensorIsTheReferences) {
  const Golden golden(GetParam());
  const auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  const auto seen = test::run_of(*pipeline, request_for(golden));
  for (const auto& [name, entry] : golden.tensors->entries()) {
    ASSERT_TRUE(seen.contains(name)) << name << " was never made";
    EXPECT_EQ(seen.at(name).shape(), entry.shape) << name;
    EXPECT_LT(test::relative_error(seen.at(name), golden[name]), 1e-4) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CogVideoXGolden,
                         testing::Values("cogvideox_2b_t2v", "cogvideox_5b_t2v", "cogvideox_5b_t2v_tiled",
                                         "cogvideox_5b_i2v", "cogvideox_5b_v2v", "cogvideox_15_t2v", "cogvideox_15_i2v",
                                         "cogvideox_lora"));

//! A run that was saved after a step and gone on with in a pipeline of its own.
void expect_resumable(const char* name, int64_t stop) {
  SCOPED_TRACE(name);
  const Golden golden(name);
  auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  PipelineRun whole = pipeline->begin(request_for(golden));
  const auto want = test::frames_of(*pipeline, whole);
  PipelineRun saved = test::stopped_run(*pipeline, request_for(golden), stop);
  pipeline = pipelines::load(folder_of(golden), exact(golden));
  EXPECT_EQ(test::frames_of(*pipeline, saved), want);
}

TEST(CogVideoXPipeline, AResumedRunIsBitIdentical) {
  expect_resumable("cogvideox_2b_t2v", 1);  // deterministic steps
  expect_resumable("cogvideox_5b_t2v", 2);  // stochastic ones that look back
  expect_resumable("cogvideox_15_i2v", 3);  // with a picture
  expect_resumable("cogvideox_5b_v2v", 1);  // in the middle of a schedule
}

void expect_refused(const char* name, const nlohmann::json& arguments, const std::string& word) {
  const Golden golden(name);
  const auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  Request request = request_for(golden);
  request.arguments.update(arguments);
  try {
    pipeline->begin(request);
    ADD_FAILURE() << arguments.dump() << " was accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage) << e.what();
    EXPECT_NE((std::string(e.what()) + " / " + e.hint()).find(word), std::string::npos)
        << e.what() << " / " << e.hint();
  }
}

TEST(CogVideoXPipeline, NamesTheNearestLegalValues) {
  expect_refused("cogvideox_2b_t2v", {{"width", 88}}, "80 or 96");
  expect_refused("cogvideox_2b_t2v", {{"height", 8}}, "16");
  expect_refused("cogvideox_2b_t2v", {{"num_frames", 10}}, "9 or 13");
  expect_refused("cogvideox_2b_t2v", {{"max_sequence_length", 30}}, "20");
  expect_refused("cogvideox_2b_t2v", {{"num_inference_steps", 1001}}, "1000");
  expect_refused("cogvideox_2b_t2v", {{"num_videos_per_prompt", 2}}, "seed");
  expect_refused("cogvideox_2b_t2v", {{"timesteps", {900, 500}}}, "num_inference_steps");
  expect_refused("cogvideox_2b_t2v", {{"vae_tiling", {{"tile", 3}}}}, "tile_overlap_factor_");
  expect_refused("cogvideox_5b_i2v", {{"width", 96}}, "80");
  expect_refused("cogvideox_5b_i2v", {{"image", nullptr}}, "image");
  expect_refused("cogvideox_15_t2v", {{"height", 96}}, "80");
  expect_refused("cogvideox_5b_v2v", {{"strength", 1.5}}, "0 to 1");
  expect_refused("cogvideox_5b_v2v", {{"strength", 0.1}}, "none of 5 steps");
  expect_refused("cogvideox_5b_v2v", {{"video", nullptr}}, "clip");
}

TEST(CogVideoXPipeline, RefusesPicturesWhereTheDenoiserSeesNone) {
  for (const auto& [name, reference_class] :
       {std::pair{"cogvideox_5b_t2v", "CogVideoXImageToVideoPipeline"}, {"cogvideox_5b_i2v", "CogVideoXPipeline"}}) {
    const Golden golden(name);
    LoadOptions options = exact(golden);
    options.reference_class = reference_class;
    EXPECT_THROW(pipelines::load(folder_of(golden), options), Error) << name;
  }
}

TEST(CogVideoXPipeline, GivenPromptsAndLatentsAreAsGoodAsOwn) {
  const Golden golden("cogvideox_2b_t2v");
  const auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  PipelineRun own = pipeline->begin(request_for(golden));
  Request request = request_for(golden);
  request.tensors["latents"] = own.latents.clone();
  request.tensors["prompt_embeds"] = golden["text_encoder.0.out"];
  request.tensors["negative_prompt_embeds"] = golden["text_encoder.1.out"];
  request.prompt = request.negative_prompt = "";
  request.seed += 1;
  PipelineRun given = pipeline->begin(request);
  const auto a = test::frames_of(*pipeline, own), b = test::frames_of(*pipeline, given);
  EXPECT_LT(test::relative_error(Tensor::from<float>({static_cast<int64_t>(b.size())}, b),
                                 Tensor::from<float>({static_cast<int64_t>(a.size())}, a)),
            1e-4);
  request.tensors["latents"] = Tensor::zeros({1, 3, 4, 6, 8});
  EXPECT_THROW(pipeline->begin(request), Error);
}

TEST(CogVideoXPipeline, ClipsOfEvenLatentFramesAreAsLongAsTheReferences) {
  const Golden golden("cogvideox_5b_t2v");
  const auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  Request request = request_for(golden);
  request.arguments["num_frames"] = 13;
  request.arguments["num_inference_steps"] = 1;
  request.arguments["guidance_scale"] = 1.0;
  PipelineRun run = pipeline->begin(request);
  EXPECT_EQ(run.format.frames, 16);
  EXPECT_EQ(test::frames_of(*pipeline, run).size(), size_t{16} * 80 * 48 * 3);
}

TEST(CogVideoXPipeline, PreviewsAPicture) {
  const Golden golden("cogvideox_5b_t2v");
  const auto pipeline = pipelines::load(folder_of(golden), exact(golden));
  PipelineRun run = pipeline->begin(request_for(golden));
  const Tensor before = pipeline->preview(run);
  EXPECT_EQ(before.rank(), 3);
  EXPECT_EQ(before.dim(2), 3);
  pipeline->denoise(run, {});
  EXPECT_GT(test::relative_error(pipeline->preview(run), before), 0.01);
}

TEST(CogVideoXPlan, PicksTheReferencesClass) {
  const auto plan = [](const char* name, const Intent& intent) {
    return pipelines::make_plan(folder_of(Golden(name)), intent, Request{});
  };
  const auto picture = Golden("cogvideox_15_i2v").path / "image.png";
  Intent text, image, video;
  image.image = picture;
  video.video = Golden("cogvideox_5b_v2v").path / "video_%02d.png";
  video.strength = 0.4;
  EXPECT_EQ(plan("cogvideox_2b_t2v", text).reference_class, "CogVideoXPipeline");
  EXPECT_TRUE(plan("cogvideox_2b_t2v", text).request.arguments.empty());
  const auto changed = plan("cogvideox_5b_t2v", video);
  EXPECT_EQ(changed.reference_class, "CogVideoXVideoToVideoPipeline");
  EXPECT_EQ(changed.request.arguments.at("strength"), 0.4);
  EXPECT_EQ(changed.request.arguments.at("video").at("frames"), 9);
  const auto begun = plan("cogvideox_5b_i2v", image);
  EXPECT_EQ(begun.reference_class, "CogVideoXImageToVideoPipeline");
  EXPECT_FALSE(begun.request.arguments.contains("width"));  // it has learned one size
  const auto large = plan("cogvideox_15_i2v", image);       // 80x48
  EXPECT_EQ(large.request.arguments.at("width"), 1280);
  EXPECT_EQ(large.request.arguments.at("height"), 768);
  EXPECT_EQ(large.request.arguments.at("num_frames"), 81);
  EXPECT_EQ(plan("cogvideox_15_t2v", text).request.arguments.at("width"), 1360);

  Intent loop, both;
  loop.loop = true;
  EXPECT_THROW(plan("cogvideox_2b_t2v", loop), Error);
  EXPECT_THROW(plan("cogvideox_2b_t2v", image), Error);
  EXPECT_THROW(plan("cogvideox_5b_i2v", text), Error);
  EXPECT_THROW(plan("cogvideox_5b_i2v", video), Error);
}

}  // namespace
}  // namespace prax
