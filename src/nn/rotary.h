#pragma once

#include "nn/norm.h"
#include "tensor/tensor.h"

//! What queries and keys go through between their projection and attention.
namespace prax::nn {

//! Rotary positions of tokens (Su et al. 2021, arXiv:2104.09864) on pairs of channels:
//! x' = x cos + (-x_odd, x_even) sin. Tables [tokens, channels] f32, each angle twice: of one head, the same for all,
//! or of all heads.
struct Rotary {
  Tensor cos, sin;
  bool defined() const { return cos.defined(); }
};

//! Queries or keys: `heads` times `channels` of each row, rows `stride` elements apart. One head of all channels is
//! what a norm over all heads sees.
struct HeadRows {
  void* data;
  DType dtype;
  int64_t rows, stride, heads, channels;
};

//! Makes rows ready for attention, in place, in one pass with f32 in between: each head's norm, then positions. Either
//! may be null. Row 0 stands at position `first`.
void norm_rotate(const HeadRows& x, const Norm* norm, const Rotary* rotary, int64_t first = 0);

}  // namespace prax::nn
