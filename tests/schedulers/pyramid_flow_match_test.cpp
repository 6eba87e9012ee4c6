#include "schedulers/pyramid_flow_match.h"

#include <cstdlib>

#include "support/golden.h"

namespace prax::pyramid_flow_match_test {
namespace {

using schedulers::halve_resolution;
using schedulers::PyramidFlowMatchOptions;
using schedulers::PyramidFlowMatchScheduler;

//! See tests/models/pyramid_flow.h.
test::Golden golden(const std::string& name) {
  const char* other = std::getenv("PRAX_PYRAMID_FLOW_CASES");
  const std::filesystem::path folder = other ? other : std::filesystem::path(PRAX_TEST_DATA) / "cases" / "pyramid_flow";
  return test::Golden((folder / name).string());
}

PyramidFlowMatchOptions options_of(const nlohmann::json& j) {
  return {j.at("num_train_timesteps").get<int64_t>(), j.at("shift").get<double>(), j.at("stages").get<int64_t>(),
          j.at("stage_range").get<std::vector<double>>(), j.at("gamma").get<double>()};
}

TEST(PyramidFlowMatch, HasTheReferencesStagesAndSteps) {
  const auto g = golden("scheduler");
  for (const auto& entry : g.json["schedulers"]) {
    const PyramidFlowMatchScheduler scheduler(options_of(entry["options"]));
    for (int64_t i = 0; i < scheduler.stages(); ++i) {
      const auto& s = scheduler.stage(i);
      const size_t at = static_cast<size_t>(i);
      EXPECT_DOUBLE_EQ(s.start_sigma, entry["start_sigmas"][at].get<double>());
      EXPECT_DOUBLE_EQ(s.end_sigma, entry["end_sigmas"][at].get<double>());
      EXPECT_DOUBLE_EQ(s.original_start_sigma, entry["ori_start_sigmas"][at].get<double>());
      EXPECT_DOUBLE_EQ(s.ratio_begin, entry["timestep_ratios"][at][0].get<double>());
      EXPECT_DOUBLE_EQ(s.ratio_end, entry["timestep_ratios"][at][1].get<double>());
    }
    for (const auto& run : entry["runs"]) {
      const auto steps = scheduler.steps(run["stage"].get<int64_t>(), run["steps"].get<int64_t>());
      EXPECT_EQ(steps.timesteps, run["timesteps"].get<std::vector<double>>()) << run;
      EXPECT_EQ(steps.sigmas, run["sigmas"].get<std::vector<double>>()) << run;
    }
  }
}

TEST(PyramidFlowMatch, StepsAsTheReference) {
  const auto g = golden("scheduler");
  for (size_t n = 0; n < g.json["schedulers"].size(); ++n) {
    const PyramidFlowMatchScheduler scheduler(options_of(g.json["schedulers"][n]["options"]));
    const std::string name = "s" + std::to_string(n);
    const Tensor sigmas = g[name + ".sigmas"];
    ASSERT_EQ(static_cast<size_t>(sigmas.numel()), scheduler.sigmas().size());
    EXPECT_TRUE(std::equal(scheduler.sigmas().begin(), scheduler.sigmas().end(), sigmas.data<float>()));
    for (int64_t stage = 0; stage < scheduler.stages(); ++stage) {
      const std::string prefix = name + ".stage" + std::to_string(stage) + ".step";
      const auto steps = scheduler.steps(stage, 3);
      Tensor sample = g[prefix + ".sample"];
      for (int64_t k = 0; k < 3; ++k) {
        const std::string step = prefix + std::to_string(k);
        sample = PyramidFlowMatchScheduler::step(steps, k, g[step + ".model_output"], sample);
        EXPECT_EQ(test::relative_error(sample, g[step + ".sample"]), 0) << step;
      }
    }
  }
}

TEST(PyramidFlowMatch, DrawsTheReferencesBlockNoise) {
  const auto g = golden("random");
  Generator generator(g.json["seed"].get<uint64_t>());
  EXPECT_EQ(test::relative_error(generator.randn({1, 4, 2, 4, 6}), g["randn_192"]), 0);
  generator.randn({35});
  EXPECT_LT(test::relative_error(generator.randn({3, 5}), g["randn_15"]), 1e-6);
  const PyramidFlowMatchScheduler scheduler;
  EXPECT_LT(test::relative_error(scheduler.block_noise({1, 2, 1, 4, 6}, generator), g["block_noise"]), 1e-6);
  EXPECT_EQ(test::relative_error(generator.randn({4, 4}), g["randn_after"]), 0);
  const Tensor factor = g["factor"];
  for (size_t i = 0; i < 4; ++i)
    for (size_t j = 0; j < 4; ++j) EXPECT_FLOAT_EQ(scheduler.block_factor()[i][j], factor.data<float>()[i * 4 + j]);
}

TEST(PyramidFlowMatch, EntersAStageAsTheReference) {
  for (const char* name : {"flux_t2v", "mmdit_t2v"}) {
    const auto g = golden(name);
    const PyramidFlowMatchScheduler scheduler;
    for (int64_t stage = 1; stage < scheduler.stages(); ++stage) {
      const int64_t last = g.json["num_inference_steps"][static_cast<size_t>(stage - 1)].get<int64_t>() - 1;
      const Tensor before = g["unit0.stage" + std::to_string(stage - 1) + ".step" + std::to_string(last) + ".latents"];
      const std::string here = "unit0.stage" + std::to_string(stage);
      const Tensor got = scheduler.enter_stage(stage, before, g[here + ".block_noise"]), want = g[here + ".start"];
      ASSERT_EQ(got.shape(), want.shape());
      EXPECT_LT(test::relative_error(got, want), 1e-6) << name;
    }
  }
  EXPECT_THROW(PyramidFlowMatchScheduler().enter_stage(1, Tensor::zeros({1, 2, 2}), Tensor::zeros({1, 2, 2})), Error);
}

TEST(PyramidFlowMatch, HalvesAsTheReferenceDoes) {
  const auto g = golden("flux_t2v");
  const Tensor small = halve_resolution(halve_resolution(g["initial_noise"], 2), 2), want = g["unit0.start_noise"];
  // Unit 0 begins from the first frame.
  const int64_t plane = small.dim(3) * small.dim(4), frames = small.dim(2);
  double error = 0;
  for (int64_t c = 0; c < small.dim(1); ++c)
    for (int64_t i = 0; i < plane; ++i)
      error = std::max<double>(
          error, std::abs(small.data<float>()[c * frames * plane + i] - want.data<float>()[c * plane + i]));
  EXPECT_LT(error, 1e-6);
  EXPECT_THROW(halve_resolution(Tensor::zeros({1, 3, 4})), Error);
}

TEST(PyramidFlowMatch, RefusesOptionsWithoutStages) {
  EXPECT_THROW(PyramidFlowMatchScheduler({.num_train_timesteps = 0}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler({.stages = 2}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler({.stage_range = {0, 0.5, 0.5, 1}}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler({.gamma = 0}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler({.gamma = 0.5}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler({.shift = -1}), Error);
  EXPECT_THROW(PyramidFlowMatchScheduler().steps(0, 0), Error);
}

}  // namespace
}  // namespace prax::pyramid_flow_match_test
