#include "schedulers/ltx_euler_ancestral_rf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace prax::schedulers::ltx_euler_ancestral_rf_test {
namespace {

using nlohmann::json;
using Floats = std::vector<float>;

LtxEulerAncestralRfScheduler scheduler_of(const json& config) {
  return LtxEulerAncestralRfScheduler(
      LtxEulerAncestralRfOptions::from_config(checkpoint::Config(config, "the test's config")));
}

Floats values(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f32);
  return {wide.span<float>().begin(), wide.span<float>().end()};
}

//! Equal to the last bit, but for `slack` relative to what is above 1 (a power, logarithm or square root of another
//! mathematical library).
void expect_floats(const Floats& got, const Floats& wanted, float slack = 0) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], wanted[i], slack * std::max(1.0f, std::abs(wanted[i]))) << "at " << i;
}

const std::vector<double> custom{1.0, 0.9937, 0.9875, 0.725, 0.4219, 0.0};
const Floats sample_values{0.5f, -1, 2, 0.25f, -0.75f, 1.5f, 1, 2, 3, 4, -5, 0.125f};
const Floats velocity_values{0.1f, 0.2f, -0.3f, 0.4f, 0.5f, -0.6f, 1.7f, -0.8f, 0.9f, 1.1f, -1.2f, 1.3f};

Tensor sample() { return Tensor::from<float>({2, 3, 2}, sample_values); }
Tensor velocity() { return Tensor::from<float>({2, 3, 2}, velocity_values); }

// The numbers below were computed with diffusers 0.42.1 and torch 2.13.

TEST(LtxEulerAncestralRf, TakesItsScheduleFromTheFlowMatchOptionsOfTheConfig) {
  struct Case {
    json config;
    Floats sigmas, timesteps;
    std::optional<double> mu = {};
  };
  for (const Case& c : {
           Case{json::object(), {1, 0.666999996f, 0.333999991f, 0.00100000005f, 0}, {1000, 667, 334, 1}},
           Case{{{"shift", 3.0}, {"num_train_timesteps", 500}, {"_class_name", "FlowMatchEulerDiscreteScheduler"}},
                {1, 0.858238637f, 0.60428232f, 0.0177165363f, 0},
                {500, 429.119324f, 302.141174f, 8.85826778f}},
           Case{{{"use_karras_sigmas", true}, {"shift", 2.0}, {"_class_name", "LTXEulerAncestralRFScheduler"}},
                {1, 0.245203272f, 0.0421551801f, 0.00398803595f, 0},
                {1000, 245.203278f, 42.1551819f, 3.98803592f}},
           Case{{{"use_dynamic_shifting", true}, {"shift_terminal", 0.1}},
                {1, 0.898278236f, 0.696142673f, 0.100000001f, 0},
                {1000, 898.278259f, 696.1427f, 100},
                1.37},
           Case{{{"invert_sigmas", true}}, {0, 0.333000004f, 0.666000009f, 0.999000013f, 1}, {0, 333, 666, 999}},
       }) {
    SCOPED_TRACE(c.config.dump());
    LtxEulerAncestralRfScheduler scheduler = scheduler_of(c.config);
    scheduler.set_timesteps({4, {}, {}, c.mu});
    const float slack = c.config.contains("use_karras_sigmas") ? 1.2e-7f : 0;
    expect_floats(scheduler.sigmas(), c.sigmas, slack);
    expect_floats(scheduler.timesteps(), c.timesteps, slack);
    EXPECT_EQ(scheduler.num_inference_steps(), 4);
  }
}

TEST(LtxEulerAncestralRf, TakesCustomSigmasAsTheyAre) {
  LtxEulerAncestralRfScheduler scheduler = scheduler_of({{"num_train_timesteps", 500}, {"shift", 3.0}});
  scheduler.set_timesteps({17, custom, {3, 2, 1}, {}});
  expect_floats(scheduler.sigmas(), {1, 0.9937f, 0.9875f, 0.725f, 0.4219f, 0});
  expect_floats(scheduler.timesteps(), {500, 496.850006f, 493.75f, 362.5f, 210.949997f, 0});
  EXPECT_EQ(scheduler.num_inference_steps(), 5);
  EXPECT_EQ(scheduler.index_for_timestep(362.5f), 3);
  // Timesteps alone are sigmas, too.
  scheduler.set_timesteps({{}, {}, {1, 0.5, 0.5, 0}, {}});
  expect_floats(scheduler.sigmas(), {1, 0.5f, 0.5f, 0});
  expect_floats(scheduler.timesteps(), {500, 250, 250, 0});
  EXPECT_EQ(scheduler.index_for_timestep(250), 2);
}

TEST(LtxEulerAncestralRf, StepsLikeTheReference) {
  struct Case {
    json config;
    Floats after_1, after_3;  //!< steps of the custom sigmas
    Floats end, end_bf16;
  };
  const Case cases[] = {
      {json::object(),
       {0.18322894f, 0.292429f, 2.25041127f, 0.428631365f, 2.51422215f, 0.144526735f, 1.9153955f, 2.88582277f,
        2.38752413f, -0.317003548f, -1.81894433f, -0.431504786f},
       {0.715925395f, -0.356151283f, 2.06582236f, -0.686307609f, 0.940307498f, 1.75555897f, -0.584414721f, 2.05859232f,
        0.10793215f, -1.16725397f, -0.102333285f, -1.12786937f},
       {0.67373538f, -0.440531284f, 2.19239235f, -0.855067611f, 0.729357481f, 2.00869894f, -1.3016448f, 2.39611244f,
        -0.271777838f, -1.63134396f, 0.403946728f, -1.67633939f},
       {0.671875f, -0.439453125f, 2.1875f, -0.85546875f, 0.734375f, 2.015625f, -1.3046875f, 2.40625f, -0.267578125f,
        -1.625f, 0.40625f, -1.671875f}},
      {{{"eta", 0.3}, {"s_noise", 0.7}},
       {0.324309856f, -0.28690806f, 2.18919253f, 0.190857708f, 0.977844179f, 0.736685574f, 1.34861887f, 2.52119923f,
        2.66298008f, 1.70558572f, -3.37377572f, -0.128217831f},
       {0.598182261f, -0.572729588f, 2.36218882f, -0.428016126f, 0.608813286f, 1.6594069f, -0.196156994f, 2.49845648f,
        1.22597909f, 0.396588057f, -1.87015605f, -0.905773044f},
       {0.555992246f, -0.657109618f, 2.4887588f, -0.596776128f, 0.397863269f, 1.91254687f, -0.913387001f, 2.8359766f,
        0.846269131f, -0.0675019622f, -1.3638761f, -1.45424294f},
       {0.5546875f, -0.66015625f, 2.484375f, -0.59765625f, 0.39453125f, 1.9140625f, -0.9140625f, 2.84375f, 0.83984375f,
        -0.064453125f, -1.359375f, -1.453125f}},
      {{{"eta", 0.0}},
       {0.498750001f, -1.00250006f, 2.00374985f, 0.245000005f, -0.756250024f, 1.50750005f, 0.97875005f, 2.00999999f,
        2.98874998f, 3.98625016f, -4.98500013f, 0.108750053f},
       {0.442189991f, -1.11562014f, 2.17342997f, 0.0187599808f, -1.03904998f, 1.84685993f, 0.0172300339f, 2.46248007f,
        2.4797101f, 3.3640902f, -4.30628014f, -0.626529932f},
       {0.399999976f, -1.20000017f, 2.29999995f, -0.150000021f, -1.25f, 2.0999999f, -0.699999988f, 2.80000019f,
        2.10000014f, 2.9000001f, -3.80000019f, -1.17499995f},
       {0.400390625f, -1.203125f, 2.296875f, -0.151367188f, -1.25f, 2.09375f, -0.703125f, 2.796875f, 2.125f, 2.90625f,
        -3.8125f, -1.171875f}},
      {{{"s_noise", 0.0}},
       {0.49750784f, -1.00498438f, 2.00747633f, 0.240031347f, -0.762460828f, 1.51495302f, 0.957633257f, 2.01993728f,
        2.97757077f, 3.97258615f, -4.97009373f, 0.0926019102f},
       {0.404037416f, -1.19192541f, 2.28788805f, -0.133850589f, -1.22981322f, 2.0757761f, -0.631365001f, 2.76770115f,
        2.13633633f, 2.94441104f, -3.84844804f, -1.12251425f},
       {0.361847401f, -1.27630544f, 2.41445804f, -0.302610576f, -1.44076324f, 2.32891607f, -1.34859502f, 3.10522127f,
        1.75662637f, 2.48032093f, -3.34216809f, -1.67098427f},
       {0.359375f, -1.2734375f, 2.40625f, -0.302734375f, -1.4453125f, 2.328125f, -1.3515625f, 3.125f, 1.7421875f,
        2.46875f, -3.359375f, -1.6640625f}},
      {{{"eta", 1.6}},
       {0.144263238f, 0.383053422f, 2.06923389f, 0.584730923f, 2.70513725f, 0.038673684f, 2.0274663f, 2.74034619f,
        2.17053294f, -0.768822134f, -1.27777791f, -0.516920865f},
       {0.642183006f, -0.323818028f, 1.64705527f, -0.70655334f, 0.548018813f, 1.67555833f, -0.817737699f, 1.66112101f,
        -0.246375591f, -1.20904326f, 0.331505179f, -1.13799703f},
       {0.59999299f, -0.408198029f, 1.77362525f, -0.875313342f, 0.337068796f, 1.9286983f, -1.53496766f, 1.99864101f,
        -0.626085579f, -1.67313325f, 0.837785184f, -1.68646693f},
       {0.59765625f, -0.408203125f, 1.765625f, -0.875f, 0.3359375f, 1.921875f, -1.5390625f, 1.9921875f, -0.625f,
        -1.671875f, 0.83984375f, -1.6796875f}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.config.dump());
    constexpr float slack = 4e-7f;
    LtxEulerAncestralRfScheduler scheduler = scheduler_of(c.config);
    scheduler.set_timesteps({{}, custom, {}, {}});
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Generator generator(7);
      Tensor x = sample().to(dtype);
      for (int64_t i = 0; i < scheduler.num_inference_steps(); ++i) {
        x = scheduler.step(velocity().to(dtype), i, x, &generator);
        EXPECT_EQ(x.dtype(), dtype);
        if (dtype == DType::f32 && i == 1) expect_floats(values(x), c.after_1, slack);
        if (dtype == DType::f32 && i == 3) expect_floats(values(x), c.after_3, slack);
      }
      expect_floats(values(x), dtype == DType::f32 ? c.end : c.end_bf16, dtype == DType::f32 ? slack : 0);
      // At the last level nothing happens any more.
      expect_floats(values(scheduler.step(velocity().to(dtype), 5, x, &generator)), values(x));
    }
  }
}

TEST(LtxEulerAncestralRf, DrawsOnlyWhereTheReferenceDoes) {
  const auto drawn = [](const json& config, int64_t index) {
    LtxEulerAncestralRfScheduler scheduler = scheduler_of(config);
    scheduler.set_timesteps({{}, custom, {}, {}});
    Generator generator(7);
    scheduler.step(velocity(), index, sample(), &generator);
    return generator.state() != Generator(7).state();
  };
  EXPECT_TRUE(drawn(json::object(), 0));
  EXPECT_FALSE(drawn(json::object(), 4));
  EXPECT_FALSE(drawn(json::object(), 5));
  EXPECT_FALSE(drawn({{"eta", 0.0}}, 0));
  EXPECT_FALSE(drawn({{"s_noise", -1.0}}, 0));
}

TEST(LtxEulerAncestralRf, RefusesWhatCannotBe) {
  EXPECT_THROW(scheduler_of({{"_class_name", "DDIMScheduler"}}), Error);
  EXPECT_THROW(scheduler_of({{"eta", "much"}}), Error);
  LtxEulerAncestralRfScheduler scheduler = scheduler_of(json::object());
  EXPECT_THROW(scheduler.step(velocity(), 0, sample(), nullptr), Error);  // no schedule yet
  EXPECT_THROW(scheduler.set_timesteps({}), Error);
  EXPECT_THROW(scheduler.set_timesteps({{}, {1, std::numeric_limits<double>::infinity(), 0}, {}, {}}), Error);
  scheduler.set_timesteps({{}, custom, {}, {}});
  EXPECT_THROW(scheduler.step(velocity(), 0, sample(), nullptr), Error);
  EXPECT_THROW(scheduler.index_for_timestep(12), Error);
  Generator generator(7);
  EXPECT_THROW(scheduler.step(velocity(), 6, sample(), &generator), Error);
  EXPECT_THROW(scheduler.step(velocity(), -1, sample(), &generator), Error);
  EXPECT_THROW(scheduler.step(Tensor::zeros({2, 3}), 0, sample(), &generator), Error);
}

}  // namespace
}  // namespace prax::schedulers::ltx_euler_ancestral_rf_test
