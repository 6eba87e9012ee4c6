#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace prax::kernels {

struct AttentionShape {
  int64_t batch = 0, heads = 0, query_tokens = 0, key_tokens = 0, head_dim = 0;
};

//! Where the vector of (batch, token, head) starts; strides in elements. The head_dim channels are contiguous.
struct AttentionOperand {
  const void* data = nullptr;
  int64_t batch_stride = 0, token_stride = 0, head_stride = 0;
};

struct AttentionArguments {
  AttentionShape shape;
  DType dtype = DType::f32;  //!< of query, key, value and out: f32 or bf16
  AttentionOperand query, key, value;
  void* out = nullptr;  //!< must not overlap the operands
  int64_t out_batch_stride = 0, out_token_stride = 0, out_head_stride = 0;
  float scale = 1;
  //! Products of integers may serve where the ISA has none of bf16: for networks whose weights are int8.
  bool integers = false;
  //! [batch, key_tokens], added to the scores: 0, or -10000 or -infinity for masked keys. May be null.
  const float* key_bias = nullptr;
  //! [heads, query_tokens, key_tokens], added to the scores (T5's relative positions). May be null.
  const float* score_bias = nullptr;
};

//! O = softmax(scale * Q K^T + key_bias + score_bias) V for every head, without ever writing the score matrix: blocks
//! of keys are folded into a running maximum, sum and output (Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et
//! al. 2022, arXiv:2205.14135).
//!
//! f32: every product and the softmax in f32. bf16: products of bf16 summed in f32, the softmax in f32, probabilities
//! rounded to bf16 before they meet V where the ISA multiplies bf16, the result rounded to bf16. Integers have 13 bits
//! of each query, key (11 where heads have 256 channels) and, beside the largest of 128 keys, probability, and 12 of
//! each channel of 128 values; their sums are exact and the softmax is f32.
//! A query all of whose keys are masked with -infinity gives zeros, as do no keys at all. The result does not depend
//! on the number of threads. Throws Error(internal) for another dtype, missing operands or negative extents.
void attention(const AttentionArguments& arguments);

}  // namespace prax::kernels
