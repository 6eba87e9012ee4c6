#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "base/error.h"
#include "kernels/attention_kernel.h"
#include "kernels/isa.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

namespace prax::kernels {

namespace portable {
const AttentionKernel& attention_kernel();
}
#if defined(__x86_64__)
namespace avx2 {
const AttentionKernel& attention_kernel();
const AttentionKernel& integer_attention_kernel();
}  // namespace avx2
namespace avx512 {
const AttentionKernel& attention_kernel();
const AttentionKernel& integer_attention_kernel();
}  // namespace avx512
namespace avx512_bf16 {
const AttentionKernel& attention_kernel();
}
namespace amx {
const AttentionKernel& attention_kernel();
}
#endif

namespace {

//! Packed keys and values of the heads in work together stay below this (one head always goes).
constexpr int64_t packed_limit = int64_t{64} << 20;

const AttentionKernel& kernel_for(const AttentionArguments& a) {
  [[maybe_unused]] const DType dtype = a.dtype;
  [[maybe_unused]] const bool integers = a.integers && a.shape.head_dim <= most_integer_channels;
  switch (isa()) {
#if defined(__x86_64__)
    case Isa::avx2:
      return integers ? avx2::integer_attention_kernel() : avx2::attention_kernel();
    case Isa::avx512:
      return integers ? avx512::integer_attention_kernel() : avx512::attention_kernel();
    case Isa::avx512_bf16:
      return dtype == DType::bf16 ? avx512_bf16::attention_kernel() : avx512::attention_kernel();
    case Isa::amx:
      return dtype == DType::bf16 ? amx::attention_kernel() : avx512::attention_kernel();
#endif
    default:
      return portable::attention_kernel();
  }
}

void check(const AttentionArguments& a) {
  const auto& s = a.shape;
  if (a.dtype != DType::f32 && a.dtype != DType::bf16)
    throw Error(ErrorKind::internal, "attention does not compute in " + std::string(name_of(a.dtype)),
                "convert query, key and value to f32 or bf16");
  if (s.batch < 0 || s.heads < 0 || s.query_tokens < 0 || s.key_tokens < 0 || s.head_dim < 0)
    throw Error(ErrorKind::internal, "attention was given a negative extent", "report this as a bug");
  const bool empty = s.batch * s.heads * s.query_tokens * s.head_dim == 0;
  if (!empty && (!a.out || (s.key_tokens > 0 && (!a.query.data || !a.key.data || !a.value.data))))
    throw Error(ErrorKind::internal, "attention was called without query, key, value or out", "report this as a bug");
}

const void* offset(const void* data, DType dtype, int64_t elements) {
  return static_cast<const char*>(data) + elements * static_cast<int64_t>(size_of(dtype));
}

//! Keys up to the last one that is not masked with -infinity: those behind it weigh nothing.
int64_t used_keys(const AttentionArguments& a, int64_t batch) {
  int64_t count = a.shape.key_tokens;
  if (!a.key_bias) return count;
  const float* bias = a.key_bias + batch * a.shape.key_tokens;
  while (count > 0 && bias[count - 1] == -INFINITY) --count;
  return count;
}

AttentionHead head_of(const AttentionArguments& a, int64_t batch, int64_t head) {
  const auto start = [&](const AttentionOperand& o) {
    return offset(o.data, a.dtype, batch * o.batch_stride + head * o.head_stride);
  };
  AttentionHead h;
  h.dtype = a.dtype;
  h.query_tokens = a.shape.query_tokens;
  h.key_tokens = used_keys(a, batch);
  h.head_dim = a.shape.head_dim;
  h.query = start(a.query);
  h.key = start(a.key);
  h.value = start(a.value);
  h.query_stride = a.query.token_stride;
  h.key_stride = a.key.token_stride;
  h.value_stride = a.value.token_stride;
  h.out = const_cast<void*>(offset(a.out, a.dtype, batch * a.out_batch_stride + head * a.out_head_stride));
  h.out_stride = a.out_token_stride;
  h.scale = a.scale;
  if (a.key_bias) h.key_bias = a.key_bias + batch * a.shape.key_tokens;
  if (a.score_bias) h.score_bias = a.score_bias + head * a.shape.query_tokens * a.shape.key_tokens;
  h.score_bias_stride = a.shape.key_tokens;
  return h;
}

void write_zeros(const AttentionHead& h, int64_t begin, int64_t end) {
  for (int64_t t = begin; t < end; ++t)
    std::memset(const_cast<void*>(offset(h.out, h.dtype, t * h.out_stride)), 0,
                static_cast<size_t>(h.head_dim) * size_of(h.dtype));
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void attention(const AttentionArguments& arguments) {
  check(arguments);
  const AttentionShape& shape = arguments.shape;
  const int64_t heads = shape.batch * shape.heads;
  if (heads == 0 || shape.query_tokens == 0 || shape.head_dim == 0) return;

  // Heads go through in rounds: their keys and values are packed once, then all their query blocks use them while
  // they are in the cache. A round is as many heads as it takes to keep all threads busy.
  const AttentionKernel& kernel = kernel_for(arguments);
  const int64_t query_blocks = ceil_div(shape.query_tokens, kernel.query_block);
  const int64_t key_blocks = ceil_div(shape.key_tokens, kernel.key_block);
  const int64_t bytes = kernel.packed_bytes(shape.key_tokens, shape.head_dim);
  const int64_t busy = ceil_div(int64_t{32} * thread_count(), query_blocks);
  const int64_t room = std::max<int64_t>(1, packed_limit / std::max<int64_t>(1, 2 * bytes));
  const int64_t round = std::min({heads, busy, room});
  const std::shared_ptr<void> packed = allocate(static_cast<size_t>(2 * bytes * round));
  const size_t scratch_bytes = static_cast<size_t>(kernel.scratch_bytes(shape.head_dim));

  std::vector<AttentionHead> working;
  for (int64_t first = 0; first < heads; first += round) {
    const int64_t count = std::min(round, heads - first);
    working.clear();
    for (int64_t i = 0; i < count; ++i) {
      AttentionHead h = head_of(arguments, (first + i) / shape.heads, (first + i) % shape.heads);
      h.packed_keys = static_cast<char*>(packed.get()) + 2 * i * bytes;
      h.packed_values = static_cast<char*>(h.packed_keys) + bytes;
      working.push_back(h);
    }
    parallel_for(count * key_blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const AttentionHead& h = working[static_cast<size_t>(i / key_blocks)];
        const int64_t block = i % key_blocks;
        if (block * kernel.key_block < h.key_tokens) kernel.pack(h, block);
      }
    });
    parallel_for(count * query_blocks, 1, [&](int64_t begin, int64_t end) {
      const std::shared_ptr<void> scratch = allocate(scratch_bytes);
      for (int64_t i = begin; i < end; ++i) {
        const AttentionHead& h = working[static_cast<size_t>(i / query_blocks)];
        const int64_t from = i % query_blocks * kernel.query_block;
        const int64_t to = std::min(h.query_tokens, from + kernel.query_block);
        if (h.key_tokens == 0) {
          write_zeros(h, from, to);
        } else {
          kernel.run(h, from, to, scratch.get());
        }
      }
    });
  }
}

}  // namespace prax::kernels
