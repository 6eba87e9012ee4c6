#include "pipelines/mochi/mochi_pipeline.h"

#include "base/error.h"
#include "pipelines/intent.h"
#include "pipelines/pipeline_support.h"
#include "support/stopped_run.h"

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

class MochiPipelineGolden : public testing::TestWithParam<const char*> {};

TEST_P(MochiPipelineGolden, EveryRecordedTensorIsTheReferences) {
  const Golden golden(GetParam());
  const auto pipeline = pipelines::load(folder_of(golden), test::exact(golden));
  const auto seen = test::run_of(*pipeline, request_of(golden));
  for (const auto& [name, entry] : golden.tensors->entries()) {
    if (name.starts_with("encode.")) continue;  // the pipeline has no use for the encoder
    ASSERT_TRUE(seen.contains(name)) << name << " was never made";
    EXPECT_EQ(seen.at(name).shape(), entry.shape) << name;
    EXPECT_LT(test::relative_error(seen.at(name), golden[name]), 1e-4) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, MochiPipelineGolden,
                         testing::Values("mochi_t2v", "mochi_t2v_64_steps", "mochi_t2v_tiled"));

class MochiSmall : public testing::Test {
protected:
  MochiSmall() : golden("mochi_t2v"), pipeline(pipelines::load(folder_of(golden), test::exact(golden))) {}
  Request request(nlohmann::json arguments = nlohmann::json::object()) const {
    Request r = request_of(golden);
    r.arguments.update({{"width", 32}, {"height", 16}, {"num_frames", 7}, {"num_inference_steps", 3}});
    r.arguments.update(arguments);
    return r;
  }
  void refuses(const nlohmann::json& arguments, const std::string& word) {
    test::expect_refused(*pipeline, request(arguments), word);
  }
  std::vector<float> frames(PipelineRun& run) { return test::frames_of(*pipeline, run); }
  Golden golden;
  std::unique_ptr<pipelines::Pipeline> pipeline;
};

TEST_F(MochiSmall, NamesTheNearestLegalSizes) {
  refuses({{"width", 100}}, "96 or 112");
  refuses({{"height", 8}}, "16");
  refuses({{"num_frames", 0}}, "1 to");
  refuses({{"num_inference_steps", 0}}, "num_inference_steps");
  refuses({{"num_inference_step", 3}}, "num_inference_steps");
  refuses({{"frame_rate", 0}}, "frame_rate");
  refuses({{"vae_tiling", {{"tile_sample_min_height", 4}}}}, "tile_sample_min_height");
  refuses({{"vae_tiling", {{"tile_height", 64}}}}, "tile_height");
}

TEST_F(MochiSmall, MakesOfAnyNumberOfFramesWhatTheReferenceMakes) {
  Request asked = request();
  for (const auto& [frames, made] : {std::pair(12, 7), std::pair(13, 13), std::pair(6, 1), std::pair(2, 1)}) {
    asked.arguments["num_frames"] = frames;
    EXPECT_EQ(pipeline->begin(asked).format.frames, made) << frames;
  }
}

TEST_F(MochiSmall, AResumedRunIsBitIdentical) {
  PipelineRun whole = pipeline->begin(request());
  const auto want = frames(whole);
  for (int64_t stop = 1; stop <= 2; ++stop) {
    PipelineRun resumed = test::stopped_run(*pipeline, request(), stop);
    pipeline = pipelines::load(folder_of(golden), test::exact(golden));
    EXPECT_EQ(frames(resumed), want);
  }
}

TEST_F(MochiSmall, RefusesARunOfAnotherModel) {
  PipelineRun run = pipeline->begin(request());
  run.latents = Tensor::zeros({1, 12, 3, 2, 4});
  EXPECT_THROW(pipeline->denoise(run, {}), Error);
}

TEST_F(MochiSmall, MakesSeveralClips) {
  PipelineRun run = pipeline->begin(request({{"num_videos_per_prompt", 2}}));
  pipeline->denoise(run, {});
  NoSink a, b;
  pipeline->decode(run, 0, a, {});
  pipeline->decode(run, 1, b, {});
  EXPECT_EQ(a.pixels.size(), size_t{7 * 16 * 32 * 3});
  EXPECT_EQ(b.pixels.size(), a.pixels.size());
  EXPECT_NE(a.pixels, b.pixels);
}

TEST_F(MochiSmall, TakesEncodedPrompts) {
  Request encoded = request();
  for (const auto& [prefix, row] : {std::pair<std::string, int64_t>{"negative_", 0}, {"", 1}}) {
    encoded.tensors[prefix + "prompt_embeds"] = golden["transformer.0.in.encoder_hidden_states"].slice(row, row + 1);
    encoded.tensors[prefix + "prompt_attention_mask"] =
        golden["transformer.0.in.encoder_attention_mask"].slice(row, row + 1);
  }
  PipelineRun from_text = pipeline->begin(request()), from_states = pipeline->begin(encoded);
  const auto of = [](const std::vector<float>& v) { return Tensor::from<float>({static_cast<int64_t>(v.size())}, v); };
  EXPECT_LT(test::relative_error(of(frames(from_states)), of(frames(from_text))), 1e-4);
  encoded.tensors["prompt_attention_mask"].data<int64_t>()[0] = 0;
  PipelineRun gap = pipeline->begin(encoded);
  EXPECT_THROW(pipeline->denoise(gap, {}), Error);
  encoded.tensors.erase("prompt_attention_mask");
  PipelineRun unmasked = pipeline->begin(encoded);
  EXPECT_THROW(pipeline->denoise(unmasked, {}), Error);
}

TEST_F(MochiSmall, WithoutGuidanceTheNegativePromptDoesNotMatter) {
  Request one = request({{"guidance_scale", 1.0}}), two = one;
  two.negative_prompt = "something else";
  PipelineRun a = pipeline->begin(one), b = pipeline->begin(two);
  EXPECT_EQ(frames(a), frames(b));
}

TEST_F(MochiSmall, TakesOwnTimestepsAndASingleStep) {
  PipelineRun own = pipeline->begin(request({{"timesteps", {900, 500}}}));
  EXPECT_EQ(own.steps, 2);
  EXPECT_FALSE(frames(own).empty());
  PipelineRun single = pipeline->begin(request({{"num_inference_steps", 1}}));
  EXPECT_FALSE(frames(single).empty());
}

TEST_F(MochiSmall, PreviewsAPicture) {
  PipelineRun run = pipeline->begin(request());
  const Tensor before = pipeline->preview(run);
  EXPECT_EQ(before.rank(), 3);
  EXPECT_EQ(before.dim(2), 3);
  pipeline->denoise(run, {});
  EXPECT_GT(test::relative_error(pipeline->preview(run), before), 0.01);
}

TEST_F(MochiSmall, SaysThatItMakesVideosFromTextAlone) {
  const auto folder = folder_of(golden);
  pipelines::Intent intent;
  EXPECT_EQ(pipelines::make_plan(folder, intent, request()).reference_class, "MochiPipeline");
  intent.loop = true;
  EXPECT_THROW(pipelines::make_plan(folder, intent, request()), Error);
  intent = {};
  intent.image = "a.png";
  EXPECT_THROW(pipelines::make_plan(folder, intent, request()), Error);
}

}  // namespace
}  // namespace prax
