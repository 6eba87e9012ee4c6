#include "server/rate_limiter.h"

#include <gtest/gtest.h>

namespace prax::server {
namespace {

using namespace std::chrono_literals;

const RateLimiter::Clock::time_point begin{1h};

TEST(RateLimiter, LetsAMinutesWorthPassAndThenOneAfterAnother) {
  RateLimiter limiter;
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(limiter.take("a", 6, begin).allowed) << i;
  const auto refused = limiter.take("a", 6, begin);
  EXPECT_FALSE(refused.allowed);
  EXPECT_DOUBLE_EQ(refused.retry_seconds, 10);
  EXPECT_TRUE(limiter.take("b", 6, begin).allowed);
  EXPECT_FALSE(limiter.take("a", 6, begin + 9s).allowed);
  EXPECT_TRUE(limiter.take("a", 6, begin + 10s).allowed);
  EXPECT_FALSE(limiter.take("a", 6, begin + 10s).allowed);
}

TEST(RateLimiter, WhatIsGivenBackDoesNotCount) {
  RateLimiter limiter;
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(limiter.take("a", 2, begin).allowed) << i;
    limiter.give_back("a");
  }
  EXPECT_TRUE(limiter.take("a", 2, begin).allowed);
  EXPECT_TRUE(limiter.take("a", 2, begin).allowed);
  EXPECT_FALSE(limiter.take("a", 2, begin).allowed);
  limiter.give_back("nobody");
}

TEST(RateLimiter, ForgetsWhoComesNoMore) {
  RateLimiter limiter;
  for (int i = 0; i < 100'000; ++i) limiter.take(std::to_string(i), 10, begin + i * 100ms);
  EXPECT_LT(limiter.size(), 5000u);
  for (int i = 0; i < 10; ++i) limiter.take("a", 10, begin);
  for (int i = 0; i < 5000; ++i) limiter.take(std::to_string(i), 10, begin);
  EXPECT_FALSE(limiter.take("a", 10, begin).allowed) << "who is over the limit is remembered";
}

}  // namespace
}  // namespace prax::server
