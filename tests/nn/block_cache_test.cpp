#include "nn/block_cache.h"

#include <gtest/gtest.h>

#include <cmath>

namespace prax::block_cache_test {
namespace {

using nn::BlockCache;
using nn::BlockReuse;

Tensor rows_of(float value) { return Tensor::full({3, 4}, value); }

//! A denoiser of two blocks that add these; the rows behind them.
float call(BlockCache& cache, int64_t step, float input, float first, float others, bool whole = false) {
  Tensor rows = rows_of(input);
  cache.next(step, whole);
  cache.before_first(rows);
  for (float& v : rows.span<float>()) v += first;
  if (cache.needs_others(rows))
    for (float& v : rows.span<float>()) v += others;
  cache.after_last(rows);
  for (float v : rows.span<float>()) EXPECT_EQ(v, *rows.data<float>());
  return *rows.data<float>();
}

TEST(BlockCache, TheFirstBlockSaysWhetherTheOthersRun) {
  BlockCache cache(BlockReuse::first_block, 0.25);
  EXPECT_EQ(call(cache, 0, 1, 2, 8), 11);
  EXPECT_TRUE(cache.ran_whole());
  // A fifth off: what the others add now is not asked for.
  EXPECT_EQ(call(cache, 1, 10, 2.5f, 100), 10 + 2.5f + 8);
  EXPECT_FALSE(cache.ran_whole());
  // It is compared with the last step that ran whole, not with the last one.
  EXPECT_EQ(call(cache, 2, 10, 3, 16), 10 + 3 + 16);
  EXPECT_TRUE(cache.ran_whole());
  EXPECT_EQ(call(cache, 3, 0, 3, 100), 3 + 16);
}

TEST(BlockCache, GoesOnInAStraightLine) {
  BlockCache cache(BlockReuse::extrapolate, 0.01);
  EXPECT_EQ(call(cache, 0, 0, 1, 10), 11);
  EXPECT_EQ(call(cache, 1, 0, 1, 10), 11);
  EXPECT_TRUE(cache.ran_whole()) << "a line has two points";
  EXPECT_EQ(call(cache, 2, 0, 1, 14, true), 15) << "asked to run whole";
  // From 10 to 14 in a step; the first block stays where it was.
  EXPECT_EQ(call(cache, 3, 0, 1, 100), 1 + 18);
  EXPECT_FALSE(cache.ran_whole());
  EXPECT_EQ(call(cache, 5, 0, 1, 100), 1 + 26);
  EXPECT_EQ(call(cache, 6, 0, 2, 100), 102) << "the first block left its line";
  // Now the line goes through steps 2 and 6, and the first block's rises by a quarter in each.
  EXPECT_FLOAT_EQ(call(cache, 7, 0, 2.25f, 0), 2.25f + 100 + 86 / 4.0f);
  EXPECT_FALSE(cache.ran_whole());
}

TEST(BlockCache, WhatIsNoNumberRunsAllBlocks) {
  BlockCache cache(BlockReuse::first_block, 10);
  call(cache, 0, 1, 2, 8);
  Tensor rows = rows_of(1);
  cache.next(1);
  cache.before_first(rows);
  rows.data<float>()[5] = NAN;
  EXPECT_TRUE(cache.needs_others(rows));
}

TEST(BlockCache, NothingAddedIsNothingDifferent) {
  BlockCache cache(BlockReuse::first_block, 0);
  EXPECT_EQ(call(cache, 0, 1, 0, 8), 9);
  EXPECT_EQ(call(cache, 1, 1, 0, 100), 9);
  EXPECT_EQ(call(cache, 2, 1, 1e-3f, 100), 1 + 1e-3f + 100) << "something where there was nothing";
}

TEST(BlockCache, OtherSizesBeginAnew) {
  BlockCache cache(BlockReuse::first_block, 10);
  call(cache, 0, 1, 2, 8);
  Tensor rows = Tensor::full({5, 4}, 1);
  cache.next(1);
  cache.before_first(rows);
  EXPECT_TRUE(cache.needs_others(rows));
}

}  // namespace
}  // namespace prax::block_cache_test
