#include "tensor/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

namespace prax {
namespace {

class Parallel : public testing::TestWithParam<int> {
protected:
  void SetUp() override { set_thread_count(GetParam()); }
  void TearDown() override { set_thread_count(0); }
};

TEST_P(Parallel, CoversEachIndexOnce) {
  EXPECT_EQ(thread_count(), GetParam());
  for (int64_t count : {0, 1, 7, 1000}) {
    std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
    parallel_for(count, 3, [&](int64_t begin, int64_t end) {
      ASSERT_LT(begin, end);
      for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
    });
    for (const auto& s : seen) EXPECT_EQ(s, 1);
  }
}

TEST_P(Parallel, NestedCallsRunInPlace) {
  std::atomic<int64_t> sum{0};
  parallel_for(20, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) parallel_for(10, 1, [&](int64_t b, int64_t e) { sum += e - b; });
  });
  EXPECT_EQ(sum, 200);
}

TEST_P(Parallel, RethrowsAndGoesOn) {
  EXPECT_THROW(parallel_for(100, 1,
                            [](int64_t begin, int64_t) {
                              if (begin >= 0) throw std::runtime_error("x");
                            }),
               std::runtime_error);
  std::atomic<int> calls{0};
  parallel_for(10, 1, [&](int64_t b, int64_t e) { calls += static_cast<int>(e - b); });
  EXPECT_EQ(calls, 10);
}

TEST_P(Parallel, ServesSeveralCallersAtOnce) {
  std::atomic<int64_t> sum{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) parallel_for(100, 5, [&](int64_t b, int64_t e) { sum += e - b; });
    });
  for (auto& t : callers) t.join();
  EXPECT_EQ(sum, 4 * 50 * 100);
}

INSTANTIATE_TEST_SUITE_P(Threads, Parallel, testing::Values(1, 2, 5));

TEST(UsableProcessors, IsAtLeastOne) { EXPECT_GE(usable_processors(), 1); }

}  // namespace
}  // namespace prax
