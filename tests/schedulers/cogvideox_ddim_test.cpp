#include "schedulers/cogvideox_ddim.h"

#include "schedulers/cogvideox_support.h"
#include "tensor/random.h"

namespace prax::schedulers::cogvideox_ddim_test {
namespace {

using namespace prax::test;

//! It needs nothing of the steps before, and no generator.
Tensor step(const CogVideoXDDIMScheduler& scheduler, const Tensor& model_output, int64_t index, const Tensor& sample) {
  Generator unused(0);
  return scheduler.step(model_output, {}, index, sample, unused).sample;
}

// The numbers were computed with diffusers 0.42.1 and torch 2.13: steps from randn of seed 5, where the model answers
// with half of its input.

TEST(CogVideoXDDIM, RunsAreThoseOfTheReference) {
  const std::vector<std::vector<float>> wanted{
      {0.375764906f, 0.105833136f, -0.0131660346f, 0.0463506058f, -0.0132035036f},
      {0.645279169f, 0.181741089f, -0.0226092637f, 0.0795951933f, -0.0226735994f},
      {0.388205647f, 0.109337062f, -0.0136019336f, 0.0478851683f, -0.0136406403f},
      {0.73264581f, 0.206347704f, -0.0256704222f, 0.090371877f, -0.0257434659f},
      {0.676344275f, 0.190490484f, -0.023697719f, 0.0834270641f, -0.023765156f},
      {8.72017384f, 2.4560132f, -0.305537105f, 1.07563341f, -0.306406528f},
      {0.982483089f, 0.276713639f, -0.0344242044f, 0.121189304f, -0.0345221683f},
      {4.78533888f, 1.34777761f, -0.167668507f, 0.590271592f, -0.168145642f}};
  for (size_t r = 0; r < runs().size(); ++r) {
    const ReferenceRun& run = runs()[r];
    const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>(run.changes, run.steps);
    Tensor x = Generator(5).randn({2, 3, 4});
    for (int64_t i = 0; i < run.steps; ++i) {
      Tensor half = x.clone();
      for (float& v : half.span<float>()) v *= 0.5f;
      x = step(scheduler, half, i, x);
    }
    expect_close(some_of(x), wanted[r], run.name, run.slack);
  }
}

TEST(CogVideoXDDIM, AStepLeavesItsArgumentsAlone) {
  for (const char* prediction : {"sample", "epsilon", "v_prediction"}) {
    const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>({{"prediction_type", prediction}}, 4);
    const Tensor x = Generator(1).randn({24}), v = Generator(2).randn({24});
    const Tensor x_before = x.clone(), v_before = v.clone();
    step(scheduler, v, 2, x);
    EXPECT_EQ(some_of(x), some_of(x_before));
    EXPECT_EQ(some_of(v), some_of(v_before));
  }
}

TEST(CogVideoXDDIM, RefusesStepsThatCannotBe) {
  const auto scheduler = scheduler_of<CogVideoXDDIMScheduler>(json::object(), 4);
  const Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({3, 2});
  error_of(ErrorKind::internal, [&] { step(scheduler, x, 4, x); });
  error_of(ErrorKind::internal, [&] { step(scheduler, x, -1, x); });
  error_of(ErrorKind::internal, [&] { step(scheduler, y, 0, x); });
  error_of(ErrorKind::internal, [&] { step(scheduler_of<CogVideoXDDIMScheduler>(json::object()), x, 0, x); });
  // Nothing of the latents is left at the last timestep, so noise alone does not say what they were.
  const auto epsilon = scheduler_of<CogVideoXDDIMScheduler>({{"prediction_type", "epsilon"}}, 4);
  EXPECT_TRUE(contains(error_of(ErrorKind::checkpoint, [&] { step(epsilon, x, 0, x); }), "no finite step"));
  EXPECT_NO_THROW(step(epsilon, x, 1, x));
  const auto beyond = scheduler_of<CogVideoXDDIMScheduler>({{"timestep_spacing", "leading"}, {"steps_offset", 300}}, 4);
  EXPECT_TRUE(contains(error_of(ErrorKind::checkpoint, [&] { step(beyond, x, 0, x); }), "1050"));
}

}  // namespace
}  // namespace prax::schedulers::cogvideox_ddim_test
