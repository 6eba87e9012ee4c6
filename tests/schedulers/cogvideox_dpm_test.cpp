#include "schedulers/cogvideox_dpm.h"

#include "schedulers/cogvideox_support.h"

namespace prax::schedulers::cogvideox_dpm_test {
namespace {

using namespace prax::test;

Tensor half_of(const Tensor& x) {
  Tensor half = x.clone();
  for (float& v : half.span<float>()) v *= 0.5f;
  return half;
}

// The numbers were computed with diffusers 0.42.1 and torch 2.13: steps from randn of seed 5, where the model answers
// with half of its input and the noise comes from the same generator.

TEST(CogVideoXDPM, RunsAreThoseOfTheReference) {
  const std::vector<std::vector<float>> wanted{
      {-0.0149581628f, -0.161172435f, 0.0668556467f, 0.285827309f, 0.160011947f},
      {-0.07786984f, -0.854973555f, 0.785204291f, 0.917191982f, -0.63577503f},
      {0.451081038f, -0.080223918f, 0.16834642f, 0.618363261f, 0.459939212f},
      {0.580104351f, -0.17454952f, 0.688731492f, 0.670459926f, -0.740347505f},
      {0.897389889f, -0.23050949f, 0.820996583f, 0.642748117f, -0.834663689f},
      {3.78478003f, -0.464402944f, 2.54314566f, 3.79431272f, -1.44727111f},
      {-0.203064129f, -0.96896857f, 0.438416988f, -0.39984268f, -0.670935094f},
      {-0.393716216f, -0.777895808f, 0.15800935f, 1.9583075f, 0.979478836f}};
  for (size_t r = 0; r < runs().size(); ++r) {
    const ReferenceRun& run = runs()[r];
    const auto scheduler = scheduler_of<CogVideoXDPMScheduler>(run.changes, run.steps);
    Generator generator(5);
    Tensor x = generator.randn({2, 3, 4}), before;
    for (int64_t i = 0; i < run.steps; ++i) {
      auto step = scheduler.step(half_of(x), before, i, x, generator);
      x = step.sample;
      before = step.original;
    }
    expect_close(some_of(x), wanted[r], run.name, run.slack);
  }
}

TEST(CogVideoXDPM, GoesOnFromAnyStep) {
  const auto scheduler = scheduler_of<CogVideoXDPMScheduler>(json::object(), 6);
  const auto steps = [&](Tensor x, Tensor before, Generator& generator, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto step = scheduler.step(half_of(x), before, i, x, generator);
      x = step.sample;
      before = step.original;
    }
    return std::pair(x, before);
  };
  Generator one(3), first(3);
  const Tensor start = Generator(1).randn({24});
  const auto [whole, unused] = steps(start, {}, one, 0, 6);
  const auto [x, before] = steps(start, {}, first, 0, 3);
  Generator second = Generator::from_state(first.state());
  const auto [resumed, also_unused] = steps(x, before, second, 3, 6);
  EXPECT_TRUE(std::equal(whole.span<float>().begin(), whole.span<float>().end(), resumed.span<float>().begin()));
}

TEST(CogVideoXDPM, RefusesStepsThatCannotBe) {
  const auto scheduler = scheduler_of<CogVideoXDPMScheduler>(json::object(), 4);
  const Tensor x = Tensor::zeros({2, 3}), y = Tensor::zeros({3, 2});
  Generator g(1);
  error_of(ErrorKind::internal, [&] { scheduler.step(x, {}, 4, x, g); });
  error_of(ErrorKind::internal, [&] { scheduler.step(y, {}, 0, x, g); });
  error_of(ErrorKind::internal, [&] { scheduler.step(x, y, 1, x, g); });
  error_of(ErrorKind::internal, [&] { scheduler.step(x, x, 0, x, g); });
  const auto epsilon = scheduler_of<CogVideoXDPMScheduler>({{"prediction_type", "epsilon"}}, 4);
  EXPECT_TRUE(contains(error_of(ErrorKind::checkpoint, [&] { epsilon.step(x, {}, 0, x, g); }), "no finite step"));
}

}  // namespace
}  // namespace prax::schedulers::cogvideox_dpm_test
