#include "schedulers/cogvideox_schedule.h"

#include <fstream>

#include "checkpoint/safetensors.h"
#include "schedulers/cogvideox_ddim.h"
#include "schedulers/cogvideox_dpm.h"
#include "schedulers/cogvideox_support.h"

namespace prax::schedulers::cogvideox_schedule_test {
namespace {

using namespace prax::test;
using Steps = std::vector<int64_t>;

TEST(CogVideoXSchedule, TablesAreThoseOfTheReferenceCases) {
  const auto golden = checkpoint::SafetensorsFile::open(PRAX_TEST_DATA "/cases/schedulers/tensors.safetensors");
  std::ifstream file(PRAX_TEST_DATA "/cases/schedulers/case.json");
  const json schedulers = json::parse(file).at("schedulers");
  int cases = 0;
  for (const auto& [name, entry] : schedulers.items()) {
    if (!name.starts_with("cogvideox_")) continue;
    ++cases;
    const json changes{{"snr_shift_scale", entry.at("snr_shift_scale")},
                       {"timestep_spacing", entry.at("timestep_spacing")}};
    const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>(changes, entry.at("steps"));
    const Tensor timesteps = golden->tensor(name + ".timesteps").to(DType::i64);
    EXPECT_EQ(scheduler.timesteps(), Steps(timesteps.span<int64_t>().begin(), timesteps.span<int64_t>().end())) << name;
    const Tensor alphas = golden->tensor(name.substr(0, name.find('.', name.find('.') + 1)) + ".alphas_cumprod");
    ASSERT_EQ(scheduler.alphas_cumprod().size(), static_cast<size_t>(alphas.numel()));
    for (size_t i = 0; i < scheduler.alphas_cumprod().size(); ++i)
      EXPECT_FLOAT_EQ(static_cast<float>(scheduler.alphas_cumprod()[i]), alphas.span<float>()[i])
          << name << " at " << i;
  }
  EXPECT_EQ(cases, 36);
}

TEST(CogVideoXSchedule, BeginsWithTheTimestepsOfTraining) {
  const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>({{"num_train_timesteps", 3}});
  EXPECT_EQ(scheduler.timesteps(), (Steps{2, 1, 0}));
}

TEST(CogVideoXSchedule, SpreadsStepsAsNumpyDoes) {
  const auto steps = [](const json& changes, int64_t count) {
    return scheduler_of<CogVideoXDDIMScheduler>(changes, count).timesteps();
  };
  EXPECT_EQ(steps({{"timestep_spacing", "trailing"}}, 3), (Steps{999, 666, 332}));
  EXPECT_EQ(steps({{"timestep_spacing", "linspace"}}, 3), (Steps{999, 500, 0}));
  EXPECT_EQ(steps({{"timestep_spacing", "linspace"}}, 1), (Steps{0}));
  EXPECT_EQ(steps({{"timestep_spacing", "leading"}, {"steps_offset", 1}}, 3), (Steps{667, 334, 1}));
  // numpy.arange(1000, 0, -1000 / 61) has 62 values.
  const Steps many = steps({{"timestep_spacing", "trailing"}}, 61);
  EXPECT_EQ(many.size(), 62u);
  EXPECT_EQ(Steps(many.end() - 3, many.end()), (Steps{32, 15, -1}));
}

TEST(CogVideoXSchedule, AddsNoise) {
  const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>(json::object(), 5);
  Tensor x = Tensor::empty({8}), noise = Tensor::empty({8});
  for (int i = 0; i < 8; ++i) {
    x.data<float>()[i] = static_cast<float>(i) / 4 - 1;
    noise.data<float>()[i] = static_cast<float>(8 - i) / 3;
  }
  const Tensor noisy = scheduler.add_noise(x, noise, 2);
  expect_close({noisy.span<float>().begin(), noisy.span<float>().end()},
               {2.38953924f, 2.1177032f, 1.8458674f, 1.57403147f, 1.30219555f, 1.03035963f, 0.758523762f, 0.486687869f},
               "noisy");
}

TEST(CogVideoXSchedule, RefusesCountsOfStepsThatCannotBe) {
  auto scheduler = scheduler_of<CogVideoXDDIMScheduler>(json::object());
  EXPECT_TRUE(contains(error_of(ErrorKind::usage, [&] { scheduler.set_timesteps(0); }), "num_inference_steps is 0"));
  EXPECT_TRUE(contains(error_of(ErrorKind::usage, [&] { scheduler.set_timesteps(1001); }), "1001"));
}

TEST(CogVideoXSchedule, TheConfigNamesTheSolver) {
  const auto make = [](const json& config) { return make_cogvideox_scheduler(checkpoint::Config(config, "config")); };
  EXPECT_TRUE(dynamic_cast<CogVideoXDDIMScheduler*>(make({{"_class_name", "CogVideoXDDIMScheduler"}}).get()));
  EXPECT_TRUE(dynamic_cast<CogVideoXDPMScheduler*>(make({{"_class_name", "CogVideoXDPMScheduler"}}).get()));
  EXPECT_TRUE(contains(error_of(ErrorKind::checkpoint, [&] { make({{"_class_name", "DDIMScheduler"}}); }), "DDIM"));
}

TEST(CogVideoXSchedule, RefusesConfigsThatItCannotFollow) {
  const auto refused = [](const json& changes) {
    return error_of(ErrorKind::checkpoint, [&] { scheduler_of<CogVideoXDDIMScheduler>(changes); });
  };
  EXPECT_TRUE(contains(refused({{"_class_name", "DDIMScheduler"}}), "DDIMScheduler"));
  EXPECT_TRUE(contains(refused({{"beta_schedule", "sigmoid"}}), "sigmoid"));
  EXPECT_TRUE(contains(refused({{"prediction_type", "flow"}}), "flow"));
  EXPECT_TRUE(contains(refused({{"timestep_spacing", "karras"}}), "karras"));
  EXPECT_TRUE(contains(refused({{"num_train_timesteps", 0}}), "num_train_timesteps"));
  EXPECT_TRUE(contains(refused({{"trained_betas", {0.1, 0.2}}}), "2 trained_betas"));
  EXPECT_TRUE(contains(refused({{"beta_end", 7}}), "noise levels"));
  EXPECT_TRUE(contains(refused({{"beta_start", "NaN"}}), "noise levels"));
  EXPECT_TRUE(contains(refused({{"snr_shift_scale", "three"}}), "snr_shift_scale"));
}

}  // namespace
}  // namespace prax::schedulers::cogvideox_schedule_test
