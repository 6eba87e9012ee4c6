#include "jobs/progress_estimate.h"

#include <gtest/gtest.h>

namespace prax::jobs::test {
namespace {

using namespace std::chrono_literals;

TEST(ProgressEstimate, PercentGrowsOverAllStages) {
  StageTimes times;
  ProgressEstimate estimate("nano", 1000, times);
  auto now = ProgressEstimate::Clock::now();
  int before = 0;
  const auto go = [&](const char* stage, int64_t step, int64_t steps) {
    estimate.update({stage, step, steps}, now += 1s);
    EXPECT_GE(estimate.job_progress().percent, before);
    before = estimate.job_progress().percent;
  };
  go("load", 0, 1);
  go("load", 1, 1);
  go("text", 1, 1);
  for (int64_t i = 0; i <= 10; ++i) go("denoise", i, 10);
  EXPECT_EQ(before, 85);
  for (int64_t i = 0; i <= 3; ++i) go("decode", i, 3);
  go("denoise", 2, 10);  // a family that decodes between its steps
  EXPECT_EQ(before, 98);
  go("publish", 0, 1);
  EXPECT_LT(before, 100);
}

TEST(ProgressEstimate, TimeLeftCountsStagesToCome) {
  StageTimes times;
  auto now = ProgressEstimate::Clock::now();
  const auto run = [&](const auto& look) {
    ProgressEstimate estimate("nano", 1000, times);
    for (int64_t i = 0; i <= 10; ++i) {
      estimate.update({"denoise", i, 10}, now += 1s);
      look(i, estimate.job_progress().seconds_left);
    }
    for (int64_t i = 0; i <= 4; ++i) estimate.update({"decode", i, 4}, now += i == 0 ? 0s : 5s);
    estimate.update({"publish", 0, 1}, now);
    estimate.update({"", 0, 0}, now);
  };
  run([](int64_t step, const std::optional<double>& left) {
    if (step == 0) {
      EXPECT_FALSE(left) << "nothing is known before the first step";
    } else {
      EXPECT_GE(left.value(), static_cast<double>(10 - step));
    }
  });
  run([](int64_t step, const std::optional<double>& left) {
    // Ten steps of a second, then decoding, which took twenty the last time.
    EXPECT_NEAR(left.value(), static_cast<double>(10 - step) + 20, 2.5) << step;
  });
}

}  // namespace
}  // namespace prax::jobs::test
