#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "tensor/tensor.h"

namespace prax::nn {

//! What stands in for the blocks of a denoiser that are not run.
enum class BlockReuse {
  first_block,  //!< what they added when they were last run
  extrapolate   //!< what they would add if it had gone on in a straight line since they were last run twice
};

//! Spares a denoiser the blocks behind its first one in steps where they would say nearly what they said before. The
//! first block is always run: how far what it adds lies from what was to be expected of it, relative to what it added
//! when the others were last run (mean magnitudes), says whether the others are run again. `first_block` is the first
//! block cache of ParaAttention, as in diffusers hooks/first_block_cache.py; `extrapolate` expects of the first block
//! and takes for the others the line through their last two runs (TaylorSeer of order 1,
//! https://arxiv.org/abs/2503.06923, with that measure in place of a fixed interval).
//!
//! For one prompt and one clip, whose calls must come in order; the results do not depend on the number of threads.
class BlockCache {
public:
  //! Above `threshold` the other blocks are run.
  BlockCache(BlockReuse reuse, double threshold) : reuse_(reuse), threshold_(threshold) {}

  //! Before the denoiser's call: the number of the step. `whole` runs all blocks.
  void next(int64_t step, bool whole = false);

  // What the denoiser says. `rows` [tokens, channels] f32 are those that go into its last layers.

  //! The first block is about to run.
  void before_first(const Tensor& rows);
  //! It has run. Whether the others have to; when they do not, `rows` are what they would have left.
  bool needs_others(Tensor& rows);
  //! The last block has run, or was spared.
  void after_last(const Tensor& rows);

  //! Whether the last call ran all blocks.
  bool ran_whole() const { return ran_whole_; }
  //! Runs of all blocks that it goes by.
  size_t memory() const { return reuse_ == BlockReuse::first_block ? 1 : 2; }

private:
  //! What blocks added when all were run.
  struct Point {
    int64_t step = 0;
    Tensor first, others;
  };
  //! How much each point counts at the step.
  std::vector<float> weights() const;
  //! How far `first` lies from what was expected.
  double distance(const Tensor& first, const std::vector<float>& weights) const;

  BlockReuse reuse_;
  double threshold_;
  int64_t step_ = 0;
  bool whole_ = false, ran_whole_ = false;
  std::vector<Point> points_;  //!< the newest first
  Tensor rows_;                //!< as they were before the blocks that run
};

}  // namespace prax::nn
