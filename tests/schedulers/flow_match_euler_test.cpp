#include "schedulers/flow_match_euler.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "support/errors.h"
#include "tensor/parallel.h"

namespace prax::schedulers::flow_match_euler_test {
namespace {

using nlohmann::json;
using Floats = std::vector<float>;

FlowMatchEulerScheduler scheduler_of(const json& config) {
  return FlowMatchEulerScheduler(FlowMatchEulerOptions::from_config(
      checkpoint::Config(config.is_null() ? json::object() : config, "the test's config")));
}

FlowMatchEulerScheduler scheduler_of(const json& config, const TimestepRequest& request) {
  FlowMatchEulerScheduler scheduler = scheduler_of(config);
  scheduler.set_timesteps(request);
  return scheduler;
}

TimestepRequest steps(int64_t count, std::optional<double> mu = {}) { return {count, {}, {}, mu}; }

Floats values(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f32);
  return {wide.span<float>().begin(), wide.span<float>().end()};
}

//! Equal to the last bit, but for `slack` relative (a power or logarithm of another mathematical library).
void expect_floats(const Floats& got, const Floats& wanted, const std::string& name, float slack = 0) {
  ASSERT_EQ(got.size(), wanted.size()) << name;
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], slack * std::abs(wanted[i])) << name << " at " << i;
}

constexpr float one_ulp = 1.2e-7f;

const Floats sample_values{0.5f, -1, 2, 0.25f, -0.75f, 1.5f, 1, 2, 3, 4, -5, 0.125f};
const Floats velocity_values{0.1f, 0.2f, -0.3f, 0.4f, 0.5f, -0.6f, 1.7f, -0.8f, 0.9f, 1.1f, -1.2f, 1.3f};

Tensor sample() { return Tensor::from<float>({2, 3, 2}, sample_values); }
Tensor velocity() { return Tensor::from<float>({2, 3, 2}, velocity_values); }

TEST(FlowMatchEuler, SchedulesAndStepsAreThoseOfTheReferenceCases) {
  const auto golden = checkpoint::SafetensorsFile::open(PRAX_TEST_DATA "/cases/schedulers/tensors.safetensors");
  std::ifstream file(PRAX_TEST_DATA "/cases/schedulers/case.json");
  const json schedulers = json::parse(file).at("schedulers");
  int cases = 0;
  for (const auto& [name, entry] : schedulers.items()) {
    if (!name.starts_with("flow_match_euler.")) continue;
    ++cases;
    const int64_t count = entry.at("steps");
    TimestepRequest request;
    request.sigmas = linspace(1.0, 1.0 / static_cast<double>(count), count);
    if (entry.contains("mu")) request.mu = entry["mu"].get<double>();
    const FlowMatchEulerScheduler scheduler = scheduler_of(entry.at("config"), request);
    const float slack = test::contains(name, "karras") || test::contains(name, "exponential") ? one_ulp : 0;
    expect_floats(scheduler.timesteps(), values(golden->tensor(name + ".timesteps")), name, slack);
    expect_floats(scheduler.sigmas(), values(golden->tensor(name + ".sigmas")), name, slack);
    Generator generator(entry.at("step_generator_seed").get<uint64_t>());
    const Tensor next = scheduler.step(golden->tensor(name + ".step.model_output"), 1,
                                       golden->tensor(name + ".step.sample"), &generator);
    const Tensor wanted = golden->tensor(name + ".step.prev_sample");
    EXPECT_EQ(next.shape(), wanted.shape());
    expect_floats(values(next), values(wanted), name + ".step", slack);
  }
  EXPECT_EQ(cases, 24);
}

// The numbers below were computed with diffusers 0.42.1, torch 2.13 and scipy 1.17.1.

TEST(FlowMatchEuler, BeginsWithTheScheduleOfTraining) {
  const FlowMatchEulerScheduler scheduler = scheduler_of({{"shift", 3}});
  const Floats &sigmas = scheduler.sigmas(), &timesteps = scheduler.timesteps();
  ASSERT_EQ(sigmas.size(), 1000u);
  ASSERT_EQ(timesteps.size(), 1000u);
  expect_floats({sigmas[0], sigmas[1], sigmas[500], sigmas[999]}, {1, 0.999666393f, 0.75f, 0.00299401209f}, "sigmas");
  expect_floats({timesteps[0], timesteps[1], timesteps[500], timesteps[999]}, {1000, 999.666382f, 750, 2.99401212f},
                "timesteps");
  EXPECT_EQ(scheduler_of({{"shift", 3}, {"use_dynamic_shifting", true}}).sigmas()[500], 0.5f);
}

TEST(FlowMatchEuler, ANumberOfStepsSpreadsThemEvenly) {
  const auto shifted = scheduler_of({{"shift", 3.0}}, steps(5));
  expect_floats(shifted.sigmas(), {1, 0.900359094f, 0.751121104f, 0.50298506f, 0.00892857183f, 0}, "sigmas");
  expect_floats(shifted.timesteps(), {1000, 900.35907f, 751.121094f, 502.985046f, 8.9285717f}, "timesteps");
  const auto dynamic = scheduler_of({{"use_dynamic_shifting", true}, {"shift_terminal", 0.1}}, steps(4, 1.37));
  expect_floats(dynamic.sigmas(), {1, 0.898278236f, 0.696142673f, 0.100000001f, 0}, "dynamic sigmas");
  expect_floats(dynamic.timesteps(), {1000, 898.278259f, 696.1427f, 100}, "dynamic timesteps");
}

TEST(FlowMatchEuler, BetaSigmas) {
  const auto plain = scheduler_of({{"use_beta_sigmas", true}}, steps(5));
  expect_floats(plain.sigmas(), {1, 0.824495316f, 0.500500023f, 0.176504701f, 0.00100000005f, 0}, "sigmas", one_ulp);
  expect_floats(plain.timesteps(), {1000, 824.4953f, 500.500031f, 176.5047f, 1}, "timesteps", one_ulp);
  TimestepRequest request;
  request.sigmas = {1, 0.8, 0.6, 0.3};
  const auto inverted = scheduler_of({{"use_beta_sigmas", true}, {"shift", 2.5}, {"invert_sigmas", true}}, request);
  expect_floats(inverted.sigmas(), {0, 0.132958174f, 0.349800467f, 0.482758641f, 1}, "inverted", 4 * one_ulp);
  expect_floats(inverted.timesteps(), {0, 132.958176f, 349.800476f, 482.758636f}, "inverted", 4 * one_ulp);
}

TEST(FlowMatchEuler, KarrasAndExponentialSigmasTakeTheirEndsFromTheConfig) {
  expect_floats(scheduler_of({{"use_karras_sigmas", true}}, steps(4)).sigmas(),
                {1, 0.1936097f, 0.0225747451f, 0.00100000005f, 0}, "karras", one_ulp);
  const json config{{"use_exponential_sigmas", true}, {"sigma_min", 0.02}, {"sigma_max", 0.9}};
  expect_floats(scheduler_of(config, steps(4)).sigmas(), {0.899999976f, 0.253029794f, 0.0711378679f, 0.0199999996f, 0},
                "exponential", one_ulp);
}

TEST(FlowMatchEuler, CustomTimestepsAreKeptAndTheirSigmasShifted) {
  TimestepRequest request;
  request.timesteps = {1000, 993.5, 750, 250.25};
  const auto scheduler = scheduler_of({{"shift", 2.0}}, request);
  expect_floats(scheduler.timesteps(), {1000, 993.5f, 750, 250.25f}, "timesteps");
  expect_floats(scheduler.sigmas(), {1, 0.996739388f, 0.857142866f, 0.400319964f, 0}, "sigmas");
}

TEST(FlowMatchEuler, CustomTimestepsAndSigmasTogether) {
  TimestepRequest request{3, {1, 0.7, 0.2}, {1000, 750, 250}, {}};
  const auto scheduler = scheduler_of({{"shift", 2.0}}, request);
  expect_floats(scheduler.timesteps(), {1000, 750, 250}, "timesteps");
  expect_floats(scheduler.sigmas(), {1, 0.823529363f, 0.333333313f, 0}, "sigmas");
  // Inverted sigmas decide the timesteps, custom ones or not.
  const auto inverted = scheduler_of({{"shift", 2.0}, {"invert_sigmas", true}}, request);
  expect_floats(inverted.timesteps(), {0, 176.470642f, 666.666687f}, "inverted timesteps");
  expect_floats(inverted.sigmas(), {0, 0.176470637f, 0.666666687f, 1}, "inverted sigmas");
}

TEST(FlowMatchEuler, AScheduleCanBeSetAgain) {
  FlowMatchEulerScheduler scheduler = scheduler_of({{"shift", 3.0}}, steps(50));
  scheduler.set_timesteps(steps(5));
  expect_floats(scheduler.sigmas(), scheduler_of({{"shift", 3.0}}, steps(5)).sigmas(), "sigmas");
}

TEST(FlowMatchEuler, TokensStepFromTimestepsOfTheirOwn) {
  const Floats times{1000, 500, 0, 760, 250, 33};
  const Tensor timesteps = Tensor::from<float>({2, 3}, times);
  const auto plain = scheduler_of({}, steps(4));
  expect_floats(values(plain.step(velocity(), 0, sample(), nullptr, &timesteps)),
                {0.533299983f, -0.933399975f, 1.95019996f, 0.316399992f, -0.75f, 1.5f, 1.15810001f, 1.92560005f,
                 3.22410011f, 4.27390003f, -5.03840017f, 0.166600004f},
                "plain");
  Generator generator(3);
  const auto stochastic = scheduler_of({{"stochastic_sampling", true}}, steps(4));
  expect_floats(values(stochastic.step(velocity(), 0, sample(), &generator, &timesteps)),
                {0.668985128f, -0.282986164f, 1.46161866f, -0.171681821f, -0.75f, 1.5f, 0.127873197f, 1.54287839f,
                 2.77078986f, 3.72225237f, -4.95491743f, 0.08325582f},
                "stochastic", one_ulp);
}

TEST(FlowMatchEuler, OneRowOfTokenTimestepsServesTheBatch) {
  const Floats row{900, 400, 20}, both{900, 400, 20, 900, 400, 20};
  const Tensor one = Tensor::from<float>({1, 3}, row), two = Tensor::from<float>({2, 3}, both);
  const auto scheduler = scheduler_of({}, steps(4));
  expect_floats(values(scheduler.step(velocity(), 0, sample(), nullptr, &one)),
                values(scheduler.step(velocity(), 0, sample(), nullptr, &two)), "rows");
}

TEST(FlowMatchEuler, AStepKeepsTheModelsDtype) {
  const auto scheduler = scheduler_of({}, steps(7));
  const Tensor bf16 = scheduler.step(velocity().to(DType::bf16), 2, sample());
  EXPECT_EQ(bf16.dtype(), DType::bf16);
  expect_floats(values(bf16),
                {0.484375f, -1.03125f, 2.046875f, 0.18359375f, -0.83203125f, 1.6015625f, 0.71875f, 2.125f, 2.84375f,
                 3.8125f, -4.8125f, -0.08984375f},
                "bf16");
  const Tensor f16 = scheduler.step(velocity().to(DType::f16), 2, sample());
  EXPECT_EQ(f16.dtype(), DType::f16);
  expect_floats(values(f16),
                {0.483398438f, -1.03320312f, 2.05078125f, 0.183349609f, -0.833007812f, 1.59960938f, 0.716796875f,
                 2.1328125f, 2.84960938f, 3.81640625f, -4.80078125f, -0.0914306641f},
                "f16");
}

TEST(FlowMatchEuler, AStepLeavesItsArgumentsAlone) {
  const auto scheduler = scheduler_of({}, steps(4));
  const Tensor x = sample(), v = velocity();
  scheduler.step(v, 0, x);
  scheduler.scale_noise(x, 0, v);
  expect_floats(values(x), sample_values, "sample");
  expect_floats(values(v), velocity_values, "model_output");
}

TEST(FlowMatchEuler, LargeStepsDoNotDependOnTheThreads) {
  const auto scheduler = scheduler_of({}, steps(4));
  const Tensor x = Generator(1).randn({2, 5000, 16}), v = Generator(2).randn({2, 5000, 16});
  Tensor times = Generator(3).rand({2, 5000});
  for (float& t : times.span<float>()) t *= 1000;
  set_thread_count(1);
  const Floats plain = values(scheduler.step(v, 1, x)), tokens = values(scheduler.step(v, 1, x, nullptr, &times));
  set_thread_count(3);
  expect_floats(values(scheduler.step(v, 1, x)), plain, "plain");
  expect_floats(values(scheduler.step(v, 1, x, nullptr, &times)), tokens, "tokens");
  set_thread_count(0);
}

TEST(FlowMatchEuler, ScaleNoise) {
  const auto scheduler = scheduler_of({{"shift", 3.0}}, steps(5));
  const int64_t indices[] = {1, 3};
  expect_floats(values(scheduler.scale_noise(sample(), indices, velocity())),
                {0.139856368f, 0.08043091f, -0.0708259344f, 0.385053873f, 0.375448883f, -0.390754133f, 1.35208964f,
                 0.591641784f, 1.94373131f, 2.54134321f, -3.0886569f, 0.716007411f},
                "two steps");
  expect_floats(values(scheduler.scale_noise(sample(), 2, velocity())),
                {0.199551553f, -0.0986546725f, 0.272421449f, 0.362668157f, 0.18890138f, -0.0773543417f, 1.52578473f,
                 -0.103139102f, 1.42264569f, 1.82174873f, -2.14574003f, 1.00756729f},
                "one step");
  const Tensor bf16 = scheduler.scale_noise(sample().to(DType::bf16), indices, velocity().to(DType::bf16));
  EXPECT_EQ(bf16.dtype(), DType::bf16);
  expect_floats(values(bf16),
                {0.140625f, 0.078125f, -0.06640625f, 0.384765625f, 0.373046875f, -0.38671875f, 1.359375f, 0.5859375f,
                 1.9375f, 2.53125f, -3.09375f, 0.71484375f},
                "bf16");
}

TEST(FlowMatchEuler, FindsTheStepOfATimestep) {
  TimestepRequest request;
  request.timesteps = {1000, 750, 750, 750, 20};
  const auto scheduler = scheduler_of({}, request);
  EXPECT_EQ(scheduler.index_for_timestep(1000), 0);
  EXPECT_EQ(scheduler.index_for_timestep(750), 2);
  EXPECT_EQ(scheduler.index_for_timestep(20), 4);
  EXPECT_TRUE(test::contains(test::error_of(ErrorKind::usage, [&] { scheduler.index_for_timestep(21); }), "21"));
}

TEST(FlowMatchEuler, ReadsEveryKeyOfTheConfig) {
  const FlowMatchEulerOptions defaults = FlowMatchEulerOptions::from_config(checkpoint::Config(json::object()));
  EXPECT_EQ(defaults.num_train_timesteps, 1000);
  EXPECT_EQ(defaults.max_shift, 1.15);
  EXPECT_FALSE(defaults.shift_terminal.has_value());
  EXPECT_EQ(defaults.time_shift_type, FlowMatchEulerOptions::TimeShift::exponential);
  const FlowMatchEulerOptions o = scheduler_of({{"_class_name", "FlowMatchEulerDiscreteScheduler"},
                                                {"num_train_timesteps", 500},
                                                {"shift", 2.5},
                                                {"use_dynamic_shifting", true},
                                                {"base_shift", 0.95},
                                                {"max_shift", 2.05},
                                                {"base_image_seq_len", 1024},
                                                {"max_image_seq_len", 8192},
                                                {"invert_sigmas", true},
                                                {"shift_terminal", 0.1},
                                                {"use_karras_sigmas", true},
                                                {"time_shift_type", "linear"},
                                                {"stochastic_sampling", true}})
                                      .options();
  EXPECT_EQ(o.num_train_timesteps, 500);
  EXPECT_EQ(o.shift, 2.5);
  EXPECT_TRUE(o.use_dynamic_shifting && o.invert_sigmas && o.use_karras_sigmas && o.stochastic_sampling);
  EXPECT_EQ(o.base_shift, 0.95);
  EXPECT_EQ(o.max_shift, 2.05);
  EXPECT_EQ(o.base_image_seq_len, 1024);
  EXPECT_EQ(o.max_image_seq_len, 8192);
  EXPECT_EQ(o.shift_terminal, 0.1);
  EXPECT_EQ(o.time_shift_type, FlowMatchEulerOptions::TimeShift::linear);
}

TEST(FlowMatchEuler, RefusesConfigsThatItCannotFollow) {
  const auto refused = [](const json& config) {
    return test::error_of(ErrorKind::checkpoint, [&] { scheduler_of(config); });
  };
  EXPECT_TRUE(test::contains(refused({{"time_shift_type", "cubic"}}), "cubic"));
  EXPECT_TRUE(test::contains(refused({{"use_karras_sigmas", true}, {"use_beta_sigmas", true}}), "more than one"));
  EXPECT_TRUE(test::contains(refused({{"_class_name", "DDIMScheduler"}}), "DDIMScheduler"));
  EXPECT_TRUE(test::contains(refused({{"num_train_timesteps", 0}}), "num_train_timesteps"));
  EXPECT_TRUE(test::contains(refused({{"shift", "three"}}), "shift"));
}

TEST(FlowMatchEuler, RefusesRequestsThatMakeNoSchedule) {
  const auto refused = [](const json& config, const TimestepRequest& request) {
    return test::error_of(ErrorKind::usage, [&] { scheduler_of(config, request); });
  };
  EXPECT_TRUE(test::contains(refused({}, {}), "number of denoising steps"));
  EXPECT_TRUE(test::contains(refused({}, steps(0)), "num_inference_steps is 0"));
  EXPECT_TRUE(test::contains(refused({{"use_dynamic_shifting", true}}, steps(4)), "mu"));
  EXPECT_TRUE(test::contains(refused({}, {{}, {1, 0.5}, {1000}, {}}), "2 sigmas and 1 timesteps"));
  EXPECT_TRUE(test::contains(refused({}, {3, {1, 0.5}, {}, {}}), "2 sigmas"));
  EXPECT_TRUE(test::contains(refused({}, {3, {}, {1000}, {}}), "1 timesteps"));
  // One step from sigma 1 cannot be stretched to end at 0.1.
  EXPECT_TRUE(test::contains(refused({{"shift_terminal", 0.1}}, steps(1)), "finite"));
}

TEST(FlowMatchEuler, RefusesStepsThatDoNotFit) {
  const auto scheduler = scheduler_of({}, steps(4));
  const auto refused = [](auto&& fn) { test::error_of(ErrorKind::internal, fn); };
  refused([&] { scheduler.step(velocity(), 4, sample()); });
  refused([&] { scheduler.step(velocity(), -1, sample()); });
  refused([&] { scheduler.step(velocity().view({2, 2, 3}), 0, sample()); });
  const Tensor times = Tensor::zeros({2, 2});
  refused([&] { scheduler.step(velocity(), 0, sample(), nullptr, &times); });
  refused([&] { scheduler_of({{"stochastic_sampling", true}}, steps(4)).step(velocity(), 0, sample()); });
  refused([&] { scheduler.scale_noise(sample(), 5, velocity()); });
  const int64_t three[] = {0, 1, 2};
  refused([&] { scheduler.scale_noise(sample(), three, velocity()); });
}

TEST(FlowMatchEuler, CalculateShift) {
  EXPECT_EQ(calculate_shift(6144, 1024, 4096, 0.95, 2.05), 2.783333333333333);
  EXPECT_EQ(calculate_shift(1000), 0.6259375);
}

TEST(FlowMatchEuler, LinspaceIsNumpys) {
  const std::vector<double> seven{0x1p+0,
                                  0x1.b6db6db6db6dbp-1,
                                  0x1.6db6db6db6db6p-1,
                                  0x1.2492492492492p-1,
                                  0x1.b6db6db6db6dap-2,
                                  0x1.2492492492490p-2,
                                  0x1.2492492492492p-3};
  EXPECT_EQ(linspace(1, 1.0 / 7, 7), seven);
  EXPECT_EQ(linspace(3, 9, 1), std::vector<double>{3});
  EXPECT_TRUE(linspace(3, 9, 0).empty());
  EXPECT_EQ(linspace(2, 2, 3), (std::vector<double>{2, 2, 2}));
}

}  // namespace
}  // namespace prax::schedulers::flow_match_euler_test
