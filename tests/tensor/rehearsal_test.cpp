#include "tensor/rehearsal.h"

#include <gtest/gtest.h>

#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tensor/tensor.h"

namespace prax {
namespace {

constexpr int64_t large = int64_t{256} << 20;

TEST(Rehearsal, CountsWhatItDoesNotTake) {
  const size_t before = anonymous_memory(), counted = memory_use().current;
  {
    const Rehearsal rehearsal;
    EXPECT_TRUE(rehearsing());
    EXPECT_EQ(memory_use().current, 0u);
    const Tensor a = Tensor::zeros({large / 4});
    const Tensor b = a.clone(), c = a.to(DType::bf16), d = Tensor::concat({a, b}, 0);
    EXPECT_GE(memory_use().peak, static_cast<size_t>(large) * 9 / 2);
    EXPECT_LT(anonymous_memory(), before + (size_t{32} << 20));
  }
  EXPECT_FALSE(rehearsing());
  EXPECT_EQ(memory_use().current, counted);
}

TEST(Rehearsal, LeavesParallelWorkOut) {
  int64_t done = 0;
  const auto work = [&] { parallel_for(1, 1, [&](int64_t, int64_t end) { done += end; }); };
  {
    const Rehearsal rehearsal;
    work();
  }
  EXPECT_EQ(done, 0);
  work();
  EXPECT_EQ(done, 1);
}

TEST(Rehearsal, BlocksMayOutliveIt) {
  Tensor kept;
  {
    const Rehearsal rehearsal;
    kept = Tensor::empty({large / 4});
  }
  kept = {};
  EXPECT_FALSE(kept.defined());
}

}  // namespace
}  // namespace prax
