// First the one that quiets GCC about its intrinsics.
#include "kernels/common/attention_bf16.inl"
//
#include "kernels/amx/tiles.h"

namespace prax::kernels::amx {

namespace {

// Groups of `rows` queries meet blocks of `keys` keys: S = Q K^T by tiles into a small buffer, the softmax in place,
// O += P V by tiles. A task takes several groups, so that a block is fetched once for all of them. Mixing the vector
// work of one group with the tile work of another was tried and measured no faster (Xeon of model 207).
constexpr int64_t rows = 32, groups = 4, queries = rows * groups, keys = 128, stride = keys + 16;
constexpr int64_t stride_bytes = stride * 4, panel_bytes = PANEL * 4;

//! C (four tiles, 32 x 32) += A (32 rows) B (a panel), 32 deep.
inline void products(const char* a, int64_t a_bytes, const char* b) {
  asm volatile("" ::: "memory");  // the tile intrinsics do not tell the compiler what they read
  _tile_loadd(4, a, a_bytes);
  _tile_loadd(6, b, panel_bytes);
  _tile_dpbf16ps(0, 4, 6);
  _tile_loadd(7, b + 64, panel_bytes);
  _tile_dpbf16ps(1, 4, 7);
  _tile_loadd(5, a + 16 * a_bytes, a_bytes);
  _tile_dpbf16ps(2, 5, 6);
  _tile_dpbf16ps(3, 5, 7);
}

inline void clear() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

inline void read(const float* c, int64_t bytes) {
  asm volatile("" ::: "memory");
  const char* low = reinterpret_cast<const char*>(c) + 16 * bytes;
  _tile_loadd(0, c, bytes);
  _tile_loadd(1, c + 16, bytes);
  _tile_loadd(2, low, bytes);
  _tile_loadd(3, low + 64, bytes);
}

inline void write(float* c, int64_t bytes) {
  char* low = reinterpret_cast<char*>(c) + 16 * bytes;
  _tile_stored(0, c, bytes);
  _tile_stored(1, c + 16, bytes);
  _tile_stored(2, low, bytes);
  _tile_stored(3, low + 64, bytes);
  asm volatile("" ::: "memory");
}

//! S = Q K^T for 32 queries and `count` keys. STEPS is the padded head_dim / 32, or 0 for any.
template <int STEPS>
inline void scores_of(const uint16_t* q, const uint16_t* packed_keys, int64_t wide, int64_t count, float* scores) {
  const int64_t steps = STEPS ? STEPS : wide / 32;
  const char* k = reinterpret_cast<const char*>(packed_keys);
  for (int64_t at = 0; at < count; at += PANEL) {
    clear();
#pragma GCC unroll 4
    for (int64_t i = 0; i < steps; ++i, k += 16 * panel_bytes)
      products(reinterpret_cast<const char*>(q) + i * 64, wide * 2, k);
    write(scores + at, stride_bytes);
  }
}

//! O += P V for 32 queries and `count` keys, or O = P V.
inline void output_of(const float* probabilities, const uint16_t* packed_values, int64_t wide, int64_t count,
                      float* outputs, bool accumulate) {
  for (int64_t c = 0; c < wide; c += PANEL) {
    const char* v = reinterpret_cast<const char*>(packed_values + c * keys);
    if (accumulate) {
      read(outputs + c, wide * 4);
    } else {
      clear();
    }
    for (int64_t k = 0; k < count; k += 32, v += 16 * panel_bytes)
      products(reinterpret_cast<const char*>(probabilities) + k * 2, stride_bytes, v);
    write(outputs + c, wide * 4);
  }
}

int64_t packed_bytes(int64_t key_tokens, int64_t head_dim) {
  return (key_tokens + keys - 1) / keys * keys * padded_channels(head_dim) * 2;
}

int64_t scratch_bytes(int64_t head_dim) {
  return queries * (static_cast<int64_t>(sizeof(RowState)) + padded_channels(head_dim) * 6) + rows * stride_bytes;
}

void pack(const AttentionHead& h, int64_t block) {
  const int64_t first = block * keys, count = h.key_tokens - first < keys ? h.key_tokens - first : keys;
  const int64_t offset = first * padded_channels(h.head_dim);
  pack_keys(h, first, count, static_cast<uint16_t*>(h.packed_keys) + offset);
  pack_values(h, first, count, keys, static_cast<uint16_t*>(h.packed_values) + offset);
}

template <int STEPS>
void run_steps(const AttentionHead& h, int64_t begin, int64_t end, void* scratch) {
  ensure_tiles();
  const int64_t wide = STEPS ? STEPS * 32 : padded_channels(h.head_dim);
  const int64_t group_rows = (end - begin + rows - 1) / rows * rows;
  RowState* state = static_cast<RowState*>(scratch);                    // [queries]
  float* scores = reinterpret_cast<float*>(state + queries);            // [rows][stride], then probabilities
  float* outputs = scores + rows * stride;                              // [queries][wide]
  uint16_t* q = reinterpret_cast<uint16_t*>(outputs + queries * wide);  // [queries][wide]
  copy_queries(h, begin, end, group_rows, q);
  for (int64_t r = 0; r < group_rows; ++r) reset(state[r]);
  for (int64_t first = 0; first < h.key_tokens; first += keys) {
    const int64_t count = h.key_tokens - first < keys ? h.key_tokens - first : keys;
    const uint16_t* packed_keys = static_cast<const uint16_t*>(h.packed_keys) + first * wide;
    const uint16_t* packed_values = static_cast<const uint16_t*>(h.packed_values) + first * wide;
    for (int64_t row = 0; row < end - begin; row += rows) {
      const int64_t used = end - begin - row < rows ? end - begin - row : rows;
      float* o = outputs + row * wide;
      scores_of<STEPS>(q + row * wide, packed_keys, wide, count, scores);
      if (softmax_rows<keys>(h, begin + row, used, first, count, scores, stride, state + row))
        apply_factors(state + row, used, wide, o);
      output_of(scores, packed_values, wide, count, o, first > 0);
    }
  }
  for (int64_t r = 0; r < end - begin; ++r) write_row(h, begin + r, outputs + r * wide, state[r]);
}

void run(const AttentionHead& h, int64_t begin, int64_t end, void* scratch) {
  switch (padded_channels(h.head_dim) / 32) {
    case 1:
      return run_steps<1>(h, begin, end, scratch);
    case 2:
      return run_steps<2>(h, begin, end, scratch);
    case 3:
      return run_steps<3>(h, begin, end, scratch);
    case 4:
      return run_steps<4>(h, begin, end, scratch);
    default:
      return run_steps<0>(h, begin, end, scratch);
  }
}

const AttentionKernel kernel{queries, keys, packed_bytes, scratch_bytes, pack, run};

}  // namespace

const AttentionKernel& attention_kernel() { return kernel; }

}  // namespace prax::kernels::amx
