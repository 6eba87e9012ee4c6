// First the one that quiets GCC about its intrinsics.
#include "kernels/common/attention_bf16.inl"
//
#include "kernels/amx/tiles.h"

namespace prax::kernels::amx {

namespace {

// A unit of work is a group of `rows` queries against a block of `keys` keys.
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

//! S = Q K^T for 32 queries and `count` keys. Calls between() after every piece of four TDPBF16PS.
template <int STEPS, typename Between>
inline void scores_of(const uint16_t* q, const uint16_t* packed_keys, int64_t wide, int64_t count, float* scores,
                      Between&& between) {
  const int64_t steps = STEPS ? STEPS : wide / 32;
  const char* k = reinterpret_cast<const char*>(packed_keys);
  for (int64_t at = 0; at < count; at += PANEL) {
    clear();
#pragma GCC unroll 4
    for (int64_t i = 0; i < steps; ++i, k += 16 * panel_bytes) {
      products(reinterpret_cast<const char*>(q) + i * 64, wide * 2, k);
      if (i + 1 < steps) between();
    }
    write(scores + at, stride_bytes);
    between();
  }
}

//! O += P V for 32 queries and `count` keys, or O = P V.
template <int STEPS, typename Between>
inline void output_of(const float* probabilities, const uint16_t* packed_values, int64_t wide, int64_t count,
                      float* outputs, bool accumulate, Between&& between) {
  const int64_t channels = STEPS ? STEPS * 32 : wide;
  for (int64_t c = 0; c < channels; c += PANEL) {
    const char* v = reinterpret_cast<const char*>(packed_values + c * keys);
    if (accumulate) {
      read(outputs + c, channels * 4);
    } else {
      clear();
    }
    for (int64_t k = 0; k < count; k += 32, v += 16 * panel_bytes) {
      products(reinterpret_cast<const char*>(probabilities) + k * 2, stride_bytes, v);
      if (k + 32 < count) between();
    }
    write(outputs + c, channels * 4);
    between();
  }
}

int64_t packed_bytes(int64_t key_tokens, int64_t head_dim) {
  return (key_tokens + keys - 1) / keys * keys * padded_channels(head_dim) * 2;
}

int64_t scratch_bytes(int64_t head_dim) {
  return queries * (static_cast<int64_t>(sizeof(RowState)) + padded_channels(head_dim) * 6) + 2 * rows * stride_bytes;
}

void pack(const AttentionHead& h, int64_t block) {
  const int64_t first = block * keys, count = h.key_tokens - first < keys ? h.key_tokens - first : keys;
  const int64_t offset = first * padded_channels(h.head_dim);
  pack_keys(h, first, count, static_cast<uint16_t*>(h.packed_keys) + offset);
  pack_values(h, first, count, keys, static_cast<uint16_t*>(h.packed_values) + offset);
}

//! The softmax of one unit, a few rows at a time.
struct Softmax {
  const AttentionHead& head;
  RowState* state;
  float* scores;
  int64_t query, first, count;
  int64_t used;  //!< rows that are queries
  bool quick;
  float unit;
  int64_t row = 0;
  bool rescale = false;

  __attribute__((noinline)) void advance(int64_t end) {
    for (; row < end; ++row) {
      float* s = scores + row * stride;
      if (!(quick && softmax_row_quickly<keys>(unit, s, state[row])))
        rescale |= softmax_row(head, query + row, first, count, s, state[row]);
    }
  }
};

//! STEPS is the padded head_dim / 32, or 0 for any.
template <int STEPS>
void run_steps(const AttentionHead& h, int64_t begin, int64_t end, void* scratch) {
  ensure_tiles();
  const int64_t wide = STEPS ? STEPS * 32 : padded_channels(h.head_dim);
  const int64_t group_count = (end - begin + rows - 1) / rows;
  RowState* state = static_cast<RowState*>(scratch);                        // [queries]
  float* scores[2] = {reinterpret_cast<float*>(state + queries), nullptr};  // [rows][stride], then probabilities
  scores[1] = scores[0] + rows * stride;
  float* outputs = scores[1] + rows * stride;                           // [queries][wide]
  uint16_t* q = reinterpret_cast<uint16_t*>(outputs + queries * wide);  // [queries][wide]
  copy_queries(h, begin, end, group_count * rows, q);
  for (int64_t r = 0; r < group_count * rows; ++r) reset(state[r]);
  bool rescale[groups] = {};
  const bool plain = !h.key_bias && !h.score_bias && h.scale > 0;

  struct Unit {
    int64_t group, first, count;
  };
  const auto unit_at = [&](int64_t u) {
    const int64_t first = u / group_count * keys, left = h.key_tokens - first;
    return Unit{u % group_count, first, left < keys ? left : keys};
  };
  const auto add_scores = [&](int64_t u, auto&& between) {
    const Unit n = unit_at(u);
    scores_of<STEPS>(q + n.group * rows * wide, static_cast<const uint16_t*>(h.packed_keys) + n.first * wide, wide,
                     n.count, scores[u & 1], between);
  };
  // Step u: the softmax of unit u, a few rows after every few tile products of the unit before it (P V) and of the one
  // after it (Q K^T, into the buffer that P V has just freed), so that the core works on both at once.
  const int64_t units = (h.key_tokens + keys - 1) / keys * group_count;
  add_scores(0, [] {});
  for (int64_t u = 0; u <= units; ++u) {
    const Unit n = unit_at(u < units ? u : u - 1);
    const int64_t left = end - begin - n.group * rows, used = u == units ? 0 : left < rows ? left : rows;
    Softmax softmax{h,
                    state + n.group * rows,
                    scores[u & 1],
                    begin + n.group * rows,
                    n.first,
                    n.count,
                    used,
                    plain && n.first > 0 && n.count == keys,
                    h.scale * log2_e};
    const int64_t pieces = 2 * (wide / 32) * (keys / 32);
    int64_t done = 0;
    const auto between = [&] {
      ++done;
      const int64_t target = rows * done / pieces;
      softmax.advance(target < used ? target : used);
    };
    if (u > 0) {
      const Unit before = unit_at(u - 1);
      float* o = outputs + before.group * rows * wide;
      if (rescale[before.group]) apply_factors(state + before.group * rows, rows, wide, o);
      rescale[before.group] = false;
      output_of<STEPS>(scores[(u - 1) & 1], static_cast<const uint16_t*>(h.packed_values) + before.first * wide, wide,
                       before.count, o, before.first > 0, between);
    }
    if (u + 1 < units) add_scores(u + 1, between);
    softmax.advance(used);
    rescale[n.group] |= softmax.rescale;
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
