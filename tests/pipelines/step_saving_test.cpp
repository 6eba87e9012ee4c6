#include "pipelines/step_saving.h"

#include <fstream>

#include "base/error.h"
#include "pipelines/pyramid_flow_support.h"
#include "support/stopped_run.h"
#include "support/tensors.h"

namespace prax {
namespace {

using nlohmann::json;
using pipelines::Request;
using PipelineRun = pipelines::Run;
using test::Golden;

//! A small checkpoint of a family, and a request for it.
struct Case {
  explicit Case(const std::string& name) {
    const bool pyramid = name.starts_with("flux") || name.starts_with("mmdit");
    const Golden golden = pyramid ? test::pyramid_flow_golden(name) : Golden(name);
    request = pyramid ? test::case_request(golden) : test::request_of(golden);
    if (pyramid) {
      request.arguments["temp"] = 3;
      request.arguments["num_inference_steps"] = request.arguments["video_num_inference_steps"] = 4;
    } else if (golden.json["pipeline"] != "LTXI2VLongMultiPromptPipeline") {
      request.arguments["num_inference_steps"] = 8;
    }
    pyramid ? pipeline = test::load_case(golden)
            : pipeline = pipelines::load(test::folder_of(golden), test::exact(golden));
  }
  PipelineRun denoised(const json& more = json::object(), const pipelines::Monitor& monitor = {}) {
    Request changed = request;
    changed.arguments.update(more);
    PipelineRun run = pipeline->begin(changed);
    pipeline->denoise(run, monitor);
    return run;
  }
  Request request;
  std::unique_ptr<pipelines::Pipeline> pipeline;
};

//! What a run made: of Pyramid Flow all frames.
Tensor result_of(const PipelineRun& run) {
  const auto clean = run.state.find("clean");
  return clean == run.state.end() ? run.latents : clean->second;
}

const char* const families[] = {"ltx_090_t2v", "ltx_095_condition", "cogvideox_2b_t2v", "cogvideox_5b_i2v",
                                "mochi_t2v",   "flux_t2v",          "mmdit_t2v"};

TEST(FirstBlockCache, IsTheReferences) {
  const auto folder = std::filesystem::path(PRAX_TEST_DATA) / "step_cache";
  const auto tensors = checkpoint::SafetensorsFile::open(folder / "tensors.safetensors");
  json cases;
  std::ifstream(folder / "cases.json") >> cases;
  for (const auto& [name, of_case] : cases.items()) {
    Case c(name);
    for (const json& each : of_case["runs"]) {
      const auto key = each["tensor"].get<std::string>();
      const PipelineRun run = c.denoised({{"num_inference_steps", of_case["steps"]},
                                          {"cache", "first-block"},
                                          {"cache_threshold", each["threshold"]}});
      const auto calls = pipelines::calls_of(run);
      ASSERT_TRUE(calls) << key;
      EXPECT_EQ(calls->whole, each["whole"].get<int64_t>()) << key;
      EXPECT_EQ(calls->whole + calls->spared, each["calls"].get<int64_t>()) << key;
      EXPECT_LT(test::relative_error(run.latents, tensors->tensor(key)), 1e-3) << key;
    }
  }
}

class StepSaving : public testing::TestWithParam<const char*> {};

TEST_P(StepSaving, SparesNothingUnlessAsked) {
  Case c(GetParam());
  const PipelineRun plain = c.denoised();
  EXPECT_FALSE(pipelines::calls_of(plain));
  for (const char* kind : {"first-block", "extrapolate"}) {
    const PipelineRun run = c.denoised({{"cache", kind}, {"cache_threshold", 0.0}});
    EXPECT_TRUE(test::same(result_of(run), result_of(plain))) << kind;
    EXPECT_EQ(pipelines::calls_of(run)->spared, 0) << kind;
    EXPECT_GT(pipelines::calls_of(run)->whole, 0) << kind;
  }
}

TEST_P(StepSaving, ACacheIsPartOfARunThatIsGoneOnWith) {
  Case c(GetParam());
  for (const char* kind : {"first-block", "extrapolate"}) {
    // What the small checkpoints' first blocks add jumps about.
    const double threshold = kind == std::string("first-block") ? 1.0 : 1.9;
    const json settings{{"cache", kind}, {"cache_threshold", threshold}, {"guidance_stop", 0.8}};
    const PipelineRun whole = c.denoised(settings);
    EXPECT_GT(pipelines::calls_of(whole)->spared, 0) << kind;
    for (const auto& [name, tensor] : whole.state) EXPECT_FALSE(name.starts_with("cache.")) << name;
    Request request = c.request;
    request.arguments.update(settings);
    const int64_t stride = whole.steps > 10 ? 3 : 1;
    for (int64_t stop = 1; stop < whole.steps; stop += stride) {
      PipelineRun run = test::stopped_run(*c.pipeline, request, stop);
      c.pipeline->denoise(run, {});
      EXPECT_TRUE(test::same(result_of(run), result_of(whole))) << kind << " from step " << stop;
      EXPECT_EQ(pipelines::calls_of(run)->whole, pipelines::calls_of(whole)->whole) << kind << " from step " << stop;
      EXPECT_EQ(pipelines::calls_of(run)->spared, pipelines::calls_of(whole)->spared) << kind << " from step " << stop;
    }
  }
}

TEST_P(StepSaving, OutsideOfItsIntervalThereIsNoGuidance) {
  Case c(GetParam());
  const json none{{"guidance_scale", std::string(GetParam()).ends_with("t2v") && c.pipeline->family() == "pyramid-flow"
                                         ? json(0.0)
                                         : json(1.0)}};
  EXPECT_TRUE(test::same(result_of(c.denoised({{"guidance_stop", 0.0}})), result_of(c.denoised(none))));
  // Every call is counted by a cache that spares none.
  const auto calls = [&](json settings) {
    settings.update({{"cache", "first-block"}, {"cache_threshold", 0.0}});
    return pipelines::calls_of(c.denoised(settings))->whole;
  };
  const int64_t all = calls(json::object()), alone = calls(none);
  EXPECT_EQ(all, 2 * alone);
  EXPECT_EQ(calls({{"guidance_stop", 0.5}}) + calls({{"guidance_start", 0.5}}), all + alone);
  // Until it stops nothing is different.
  std::vector<Tensor> latents, until;
  pipelines::Monitor monitor;
  monitor.after_step = [&](const PipelineRun& run) { latents.push_back(run.latents.clone()); };
  const PipelineRun guided = c.denoised(json::object(), monitor);
  until.swap(latents);
  const PipelineRun half = c.denoised({{"guidance_stop", 0.5}}, monitor);
  const size_t first = c.pipeline->family() == "pyramid-flow" ? 6 : guided.steps / 2;  // of 12 in the first unit
  EXPECT_TRUE(test::same(until[first - 1], latents[first - 1]));
  EXPECT_FALSE(test::same(until[first], latents[first]));
  EXPECT_FALSE(test::same(result_of(guided), result_of(half)));
}

TEST_P(StepSaving, RefusesWhatCannotBe) {
  Case c(GetParam());
  for (const json& wrong : {json{{"cache", "teacup"}}, json{{"cache_threshold", 0.1}},
                            json{{"cache", "extrapolate"}, {"cache_threshold", -1.0}}, json{{"guidance_start", -0.1}},
                            json{{"guidance_stop", 1.1}}, json{{"guidance_start", 0.6}, {"guidance_stop", 0.5}}}) {
    Request request = c.request;
    request.arguments.update(wrong);
    try {
      c.pipeline->begin(request);
      ADD_FAILURE() << wrong.dump() << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage) << wrong.dump();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, StepSaving, testing::ValuesIn(families));

TEST(StepSaving, EveryClipOfABatchHasItsOwnCache) {
  for (const char* name : {"ltx_090_t2v", "mochi_t2v"}) {
    Case c(name);
    const json settings{{"cache", "first-block"}, {"cache_threshold", 0.7}};
    Request request = c.request;
    request.arguments.update(settings);
    request.arguments["num_videos_per_prompt"] = 2;
    PipelineRun both = c.pipeline->begin(request);
    const Tensor begun = both.latents.clone();
    c.pipeline->denoise(both, {});
    request.arguments["num_videos_per_prompt"] = 1;
    for (int64_t clip = 0; clip < 2; ++clip) {
      request.tensors["latents"] = begun.slice(clip, clip + 1);
      PipelineRun one = c.pipeline->begin(request);
      c.pipeline->denoise(one, {});
      EXPECT_TRUE(test::same(one.latents, both.latents.slice(clip, clip + 1))) << name << " clip " << clip;
    }
  }
}

TEST(StepSaving, WindowsOfALongVideoBeginAnew) {
  Case c("ltx_long_multi_prompt");
  const json settings{{"cache", "first-block"}, {"cache_threshold", 0.9}, {"guidance_scale", 3.0}};
  const PipelineRun whole = c.denoised(settings);
  EXPECT_GT(pipelines::calls_of(whole)->spared, 0);
  Request request = c.request;
  request.arguments.update(settings);
  for (int64_t stop = 1; stop < whole.steps; ++stop) {
    PipelineRun run = test::stopped_run(*c.pipeline, request, stop);
    c.pipeline->denoise(run, {});
    EXPECT_TRUE(test::same(run.state.at("whole"), whole.state.at("whole"))) << "from step " << stop;
  }
}

TEST(StepSaving, HistoryOfPyramidFlowChangesNoBit) {
  Case c("flux_t2v");
  json settings{{"cache", "first-block"}, {"cache_threshold", 0.9}, {"temp", 4}};
  const PipelineRun remembered = c.denoised(settings);
  settings["history_memory"] = 0.0;
  EXPECT_GT(pipelines::calls_of(remembered)->spared, 0);
  EXPECT_TRUE(test::same(result_of(remembered), result_of(c.denoised(settings))));
}

TEST(StepSaving, ARunWithAnothersLatentsIsRefused) {
  Case c("ltx_090_t2v");
  Request request = c.request;
  request.arguments.update({{"cache", "first-block"}, {"cache_threshold", 0.0}});
  const PipelineRun saved = test::stopped_run(*c.pipeline, request, 2);
  const auto refuses = [&](const std::string& name, const Tensor& tensor) {
    PipelineRun run = saved;
    run.state[name] = tensor;
    try {
      c.pipeline->denoise(run, {});
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << name;
    }
  };
  const Tensor own = saved.state.at("cache.0.1");
  refuses("cache.0.1", Tensor::zeros({1, 2}));
  refuses("cache.0.5", own);
  refuses("cache.7.1", own);
  refuses("cache.", own);
  refuses("cache.x", own);
  refuses("cache.0", own);
  refuses("cache.0.", own);
  refuses("denoiser_calls", own);
}

}  // namespace
}  // namespace prax
