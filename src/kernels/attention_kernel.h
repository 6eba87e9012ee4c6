#pragma once

#include <cstdint>

#include "tensor/dtype.h"

//! What attention.cpp asks of one ISA. The kernels see one head at a time and one thread.
namespace prax::kernels {

//! Attention by integers takes heads of so many channels at most.
constexpr int64_t most_integer_channels = 256;

//! One head of one batch element; strides in elements from token to token.
struct AttentionHead {
  DType dtype = DType::f32;
  int64_t query_tokens = 0, key_tokens = 0, head_dim = 0;
  const void* query = nullptr;
  const void* key = nullptr;
  const void* value = nullptr;
  int64_t query_stride = 0, key_stride = 0, value_stride = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
  float scale = 1;
  const float* key_bias = nullptr;    //!< [key_tokens]
  const float* score_bias = nullptr;  //!< [query_tokens, score_bias_stride]
  int64_t score_bias_stride = 0;
  void* packed_keys = nullptr;
  void* packed_values = nullptr;
};

struct AttentionKernel {
  int64_t query_block;  //!< queries that run() wants at once
  int64_t key_block;    //!< keys that pack() packs at once
  //! Bytes of packed_keys, and of packed_values, for this many keys.
  int64_t (*packed_bytes)(int64_t key_tokens, int64_t head_dim);
  int64_t (*scratch_bytes)(int64_t head_dim);
  //! Packs the keys and values of one key block.
  void (*pack)(const AttentionHead& head, int64_t block);
  //! Queries [begin, end), at most query_block of them, against all packed keys (at least one).
  void (*run)(const AttentionHead& head, int64_t begin, int64_t end, void* scratch);
};

}  // namespace prax::kernels
