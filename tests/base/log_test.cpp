#include "base/log.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace prax {
namespace {

TEST(Log, GoesToTheScopesSinkAndBackToTheOneBefore) {
  std::vector<std::pair<LogLevel, std::string>> outer, inner;
  ScopedLogSink a([&](LogLevel level, std::string_view text) { outer.emplace_back(level, text); });
  {
    ScopedLogSink b([&](LogLevel level, std::string_view text) { inner.emplace_back(level, text); });
    log_warning("first");
  }
  log_info("second");
  ASSERT_EQ(inner.size(), 1u);
  EXPECT_EQ(inner[0], std::make_pair(LogLevel::warning, std::string("first")));
  ASSERT_EQ(outer.size(), 1u);
  EXPECT_EQ(outer[0], std::make_pair(LogLevel::info, std::string("second")));
}

TEST(Log, WarningsReachStderrWithoutASink) {
  LogSink before = set_log_sink({});
  testing::internal::CaptureStderr();
  log_info("quiet");
  log_warning("loud");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "warning: loud\n");
  set_log_sink(std::move(before));
}

}  // namespace
}  // namespace prax
