#include "progress_bar.h"

#include <gtest/gtest.h>

namespace prax::app {
namespace {

using namespace std::chrono_literals;
using Clock = ProgressBar::Clock;

TEST(ProgressBar, SaysNothingOfTheTimeBeforeAStepIsDone) {
  ProgressBar bar(ProgressBar::Mode::quiet);
  const Clock::time_point start{};
  bar.update({"denoise", 0, 20}, start);
  EXPECT_LT(bar.seconds_left(), 0);
  EXPECT_EQ(bar.line(80), "denoise [------------------------------]  0/20");
}

TEST(ProgressBar, EstimatesFromSmoothedSteps) {
  ProgressBar bar(ProgressBar::Mode::quiet);
  const Clock::time_point start{};
  bar.update({"denoise", 0, 10}, start);
  bar.update({"denoise", 1, 10}, start + 2s);
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 18);
  bar.update({"denoise", 2, 10}, start + 6s);  // a slow one moves the estimate only in part: 0.3 * 4 + 0.7 * 2
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 8 * 2.6);
  bar.update({"denoise", 4, 10}, start + 6s + 5200ms);  // two steps at once count by their mean
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 6 * 2.6);
  bar.update({"denoise", 10, 10}, start + 30s);
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 0);
}

TEST(ProgressBar, ANewStageBeginsAnew) {
  ProgressBar bar(ProgressBar::Mode::quiet);
  const Clock::time_point start{};
  bar.update({"text", 0, 2}, start);
  bar.update({"text", 2, 2}, start + 1s);
  bar.update({"denoise", 0, 4}, start + 3s);
  EXPECT_LT(bar.seconds_left(), 0);
  bar.update({"denoise", 4, 4}, start + 8s);
  bar.update({"decode", 0, 4}, start + 8s);
  bar.update({"decode", 4, 4}, start + 9s);
  bar.update({"decode", 0, 4}, start + 9s);  // the second clip
  bar.update({"decode", 4, 4}, start + 11s);
  bar.finish(start + 12s);
  EXPECT_DOUBLE_EQ(bar.seconds().at("text"), 3);
  EXPECT_DOUBLE_EQ(bar.seconds().at("denoise"), 5);
  EXPECT_DOUBLE_EQ(bar.seconds().at("decode"), 4);
}

TEST(ProgressBar, AStageThatGoesOnKeepsItsEstimate) {
  ProgressBar bar(ProgressBar::Mode::quiet);
  const Clock::time_point start{};
  bar.update({"denoise", 0, 4}, start);
  bar.update({"denoise", 1, 4}, start + 2s);
  bar.update({"decode", 0, 2}, start + 2s);
  bar.update({"decode", 1, 2}, start + 7s);
  bar.update({"denoise", 1, 4}, start + 7s);
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 6);
  bar.update({"denoise", 2, 4}, start + 9s);
  EXPECT_DOUBLE_EQ(bar.seconds_left(), 4);
  bar.finish(start + 9s);
  EXPECT_DOUBLE_EQ(bar.seconds().at("denoise"), 4);
  EXPECT_DOUBLE_EQ(bar.seconds().at("decode"), 5);
}

TEST(ProgressBar, FitsAnyTerminal) {
  ProgressBar bar(ProgressBar::Mode::quiet);
  const Clock::time_point start{};
  bar.update({"denoise", 0, 30}, start);
  bar.update({"denoise", 15, 30}, start + 30s);
  EXPECT_EQ(bar.line(80), "denoise [###############---------------]  15/30  30 s left");
  for (int width = 0; width < 100; ++width) EXPECT_LE(bar.line(width).size(), static_cast<size_t>(width)) << width;
}

TEST(ProgressBar, JsonLinesCarryTheNumbers) {
  ProgressBar bar(ProgressBar::Mode::json);
  const Clock::time_point start{};
  testing::internal::CaptureStdout();
  bar.update({"denoise", 0, 4}, start);
  bar.update({"denoise", 1, 4}, start + 2s);
  EXPECT_EQ(testing::internal::GetCapturedStdout(),
            "{\"seconds_left\":null,\"stage\":\"denoise\",\"step\":0,\"steps\":4,\"type\":\"progress\"}\n"
            "{\"seconds_left\":6.0,\"stage\":\"denoise\",\"step\":1,\"steps\":4,\"type\":\"progress\"}\n");
}

TEST(ProgressBar, PlainLinesAreFew) {
  ProgressBar bar(ProgressBar::Mode::plain);
  const Clock::time_point start{};
  testing::internal::CaptureStderr();
  for (int step = 0; step <= 100; ++step) bar.update({"denoise", step, 100}, start + step * 100ms);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "denoise 50/100, 5.0 s left\n"
            "denoise 100/100\n");
}

}  // namespace
}  // namespace prax::app
