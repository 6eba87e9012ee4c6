#include "kernels/common/attention_bf16.inl"
#include "kernels/kernels.h"

namespace prax::kernels::avx512_bf16 {

const KernelTable& table();

namespace {

// The products are those of this ISA's matrix product, 14 queries by 32 keys or channels.
constexpr int64_t rows_of_tile = 14, queries = 7 * rows_of_tile, keys = 128, stride = keys + 16;

int64_t packed_bytes(int64_t key_tokens, int64_t head_dim) {
  return (key_tokens + keys - 1) / keys * keys * padded_channels(head_dim) * 2;
}

int64_t scratch_bytes(int64_t head_dim) {
  return queries * (static_cast<int64_t>(sizeof(RowState)) + padded_channels(head_dim) * 6 + stride * 4);
}

void pack(const AttentionHead& h, int64_t block) {
  const int64_t first = block * keys, count = h.key_tokens - first < keys ? h.key_tokens - first : keys;
  const int64_t offset = first * padded_channels(h.head_dim);
  pack_keys(h, first, count, static_cast<uint16_t*>(h.packed_keys) + offset);
  pack_values(h, first, count, keys, static_cast<uint16_t*>(h.packed_values) + offset);
}

void run(const AttentionHead& h, int64_t begin, int64_t end, void* scratch) {
  const auto multiply = table().bf16.tile;
  const int64_t wide = padded_channels(h.head_dim), rows = end - begin;
  const int64_t strips = (rows + rows_of_tile - 1) / rows_of_tile, start = 0;
  RowState* state = static_cast<RowState*>(scratch);                     // [queries]
  float* outputs = reinterpret_cast<float*>(state + queries);            // [queries][wide]
  float* scores = outputs + queries * wide;                              // [queries][stride], then bf16 probabilities
  uint16_t* q = reinterpret_cast<uint16_t*>(scores + queries * stride);  // [queries][wide]
  copy_queries(h, begin, end, strips * rows_of_tile, q);
  for (int64_t r = 0; r < strips * rows_of_tile; ++r) reset(state[r]);
  for (int64_t first = 0; first < h.key_tokens; first += keys) {
    const int64_t count = h.key_tokens - first < keys ? h.key_tokens - first : keys;
    const uint16_t* k_panels = static_cast<const uint16_t*>(h.packed_keys) + first * wide;
    for (int64_t k = 0; k < count; k += PANEL)
      for (int64_t s = 0; s < strips; ++s)
        multiply(q + s * rows_of_tile * wide, wide, &start, 1, wide, k_panels + k * wide,
                 scores + s * rows_of_tile * stride + k, stride, false);
    if (softmax_rows<keys>(h, begin, rows, first, count, scores, stride, state))
      apply_factors(state, rows, wide, outputs);
    const uint16_t* v_panels = static_cast<const uint16_t*>(h.packed_values) + first * wide;
    const int64_t depth = (count + 31) / 32 * 32;
    for (int64_t c = 0; c < wide; c += PANEL)
      for (int64_t s = 0; s < strips; ++s)
        multiply(scores + s * rows_of_tile * stride, 2 * stride, &start, 1, depth, v_panels + c * keys,
                 outputs + s * rows_of_tile * wide + c, wide, first > 0);
  }
  for (int64_t r = 0; r < rows; ++r) write_row(h, begin + r, outputs + r * wide, state[r]);
}

const AttentionKernel kernel{queries, keys, packed_bytes, scratch_bytes, pack, run};

}  // namespace

const AttentionKernel& attention_kernel() { return kernel; }

}  // namespace prax::kernels::avx512_bf16
