#include "pipelines/ltx/two_pass.h"

#include "base/error.h"
#include "pipelines/pipeline_support.h"
#include "support/stopped_run.h"

namespace prax {
namespace {

using nlohmann::json;
using pipelines::Monitor;
using PipelineRun = pipelines::Run;

const std::filesystem::path data = PRAX_TEST_DATA;

//! What scripts/two_pass_cases.py recorded.
class TwoPass : public testing::TestWithParam<const char*> {
protected:
  TwoPass() : tensors(checkpoint::SafetensorsFile::open(data / "two_pass/tensors.safetensors")) {
    std::ifstream(data / "two_pass/cases.json") >> cases;
  }

  std::unique_ptr<pipelines::Pipeline> load(const json& c) const {
    pipelines::LoadOptions options;
    options.dtype = DType::f32;
    options.upscaler = data / c["upscaler"].get<std::string>();
    return pipelines::load(data / c["model"].get<std::string>(), options);
  }

  //! The reference's three calls as one request.
  static pipelines::Request request_of(const json& c) {
    pipelines::Request request;
    json a = c["common"];
    request.prompt = a["prompt"];
    request.negative_prompt = a["negative_prompt"];
    request.seed = c["seed"];
    request.global_seed = c["global_seed"].get<uint64_t>();
    a.erase("prompt");
    a.erase("negative_prompt");
    a.update(c["first"]);
    a.update(c["upsample"]);
    a.update({{"width", c["width"]}, {"height", c["height"]}, {"draft_scale", c["draft_scale"]}});
    const json& second = c["second"];
    a["refine_strength"] = second["denoise_strength"];
    if (second.contains("timesteps")) a["refine_timesteps"] = second["timesteps"];
    if (second.contains("num_inference_steps")) a["refine_steps"] = second["num_inference_steps"];
    if (c["picture"].get<bool>()) a["image"] = (data / c["image"].get<std::string>()).string();
    request.arguments = a;
    return request;
  }

  static test::NoSink decoded(pipelines::Pipeline& pipeline, const PipelineRun& run) {
    test::NoSink sink;
    pipeline.decode(run, 0, sink, {});
    return sink;
  }

  std::shared_ptr<checkpoint::SafetensorsFile> tensors;
  json cases;
};

TEST_P(TwoPass, DraftsEnlargesAndRefinesAsTheReference) {
  const std::string name = GetParam();
  const json& c = cases[name];
  test::on_every_isa([&] {
    const auto pipeline = load(c);
    Monitor monitor;
    Tensor upsampled;
    monitor.probe = [&](const std::string& probe, const Tensor& t) {
      if (probe == "upsampled") upsampled = t;
    };
    PipelineRun run = pipeline->begin(request_of(c), monitor);
    pipeline->denoise(run, monitor);
    ASSERT_TRUE(upsampled.defined());
    EXPECT_LT(test::relative_error(upsampled, tensors->tensor(name + ".upsampled")), 1e-4);
    const test::NoSink sink = decoded(*pipeline, run);
    const Tensor want = tensors->tensor(name + ".frames");
    EXPECT_EQ((Shape{sink.format.frames, sink.format.height, sink.format.width, 3}), want.shape());
    ASSERT_EQ(static_cast<int64_t>(sink.pixels.size()), want.numel());
    int64_t furthest = 0;
    for (int64_t i = 0; i < want.numel(); ++i) {
      const auto level = std::lround(sink.pixels[static_cast<size_t>(i)] * 255.0f);
      furthest = std::max<int64_t>(furthest, std::abs(level - want.data<uint8_t>()[i]));
    }
    EXPECT_LE(furthest, 1);
  });
}

TEST_P(TwoPass, GoesOnBitIdenticallyInEitherPass) {
  const json& c = cases[GetParam()];
  auto pipeline = load(c);
  PipelineRun whole = pipeline->begin(request_of(c));
  pipeline->denoise(whole, {});
  const auto want = decoded(*pipeline, whole).pixels;
  for (int64_t stop = 1; stop < whole.steps; ++stop) {
    PipelineRun kept = test::stopped_run(*pipeline, request_of(c), stop);
    pipeline = load(c);
    pipeline->denoise(kept, {});
    EXPECT_EQ(decoded(*pipeline, kept).pixels, want) << "stopped after step " << stop << " of " << whole.steps;
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, TwoPass, testing::Values("distilled", "full"),
                         [](const auto& recipe) { return std::string(recipe.param); });

TEST(TwoPassFolders, RefusesAnUpsamplerOfOtherChannels) {
  pipelines::LoadOptions options;
  options.upscaler = data / "cases/ltx_upsample/checkpoint";
  options.reference_class = "LTXConditionPipeline";
  try {
    pipelines::load(data / "../../models/nano", options);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(e.what()).find("8 channels"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace prax
