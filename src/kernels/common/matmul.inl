// The f32 micro-kernel on vectors of any width, and the packing of weight panels.

#pragma once

#include "kernels/common/vector.inl"

namespace {

//! ROWS x (VECTORS * LANES) products; B panels are [k][columns], f32 or bf16.
template <int ROWS, int VECTORS, typename B>
void tile_f32(const void* a_raw, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
              const void* b_raw, float* c, int64_t c_stride, bool accumulate) {
  Floats sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) sums[r][v] = accumulate ? load(c + r * c_stride + v * LANES) : Floats{};
  const B* b = static_cast<const B*>(b_raw);
  for (int s = 0; s < segments; ++s) {
    const float* a = static_cast<const float*>(a_raw) + segment_offset[s];
    for (int64_t k = 0; k < depth; ++k, b += VECTORS * LANES) {
      Floats columns[VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) columns[v] = load(b + v * LANES);
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r) {
        const Floats row = splat(a[r * a_stride + k]);
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; ++v) sums[r][v] += row * columns[v];
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) store(c + r * c_stride + v * LANES, sums[r][v]);
}

inline float element(const void* w, prax::DType dtype, int64_t i) {
  if (dtype == prax::DType::f32) return static_cast<const float*>(w)[i];
  const uint32_t bits = static_cast<uint32_t>(static_cast<const uint16_t*>(w)[i]) << 16;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

inline uint16_t round_to_bf16(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

inline void put(float* to, float v) { *to = v; }
inline void put(uint16_t* to, float v) { *to = round_to_bf16(v); }

//! [depth][COLUMNS]
template <int COLUMNS, typename T>
void pack_rows(const void* w, prax::DType dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  T* out = static_cast<T*>(panel);
  for (int64_t c = 0; c < COLUMNS; ++c)
    for (int64_t d = 0; d < depth; ++d)
      put(out + d * COLUMNS + c, c < n && d < k ? element(w, dtype, c * w_stride + d) : 0.0f);
}

//! [depth / 2][COLUMNS][2] bf16: pairs of k side by side, as VDPBF16PS and the AMX tiles take them.
template <int COLUMNS>
void pack_pairs(const void* w, prax::DType dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  uint32_t* out = static_cast<uint32_t*>(panel);
  const bool plain = dtype == prax::DType::bf16;
  for (int64_t c = 0; c < COLUMNS; ++c) {
    const uint16_t* row = static_cast<const uint16_t*>(w) + c * w_stride;
    int64_t d = 0;
    if (plain && c < n)
      for (; d + 1 < k; d += 2) {
        uint32_t pair;
        std::memcpy(&pair, row + d, 4);
        out[d / 2 * COLUMNS + c] = pair;
      }
    for (; d < depth; d += 2) {
      const uint32_t low = c < n && d < k ? round_to_bf16(element(w, dtype, c * w_stride + d)) : 0;
      const uint32_t high = c < n && d + 1 < k ? round_to_bf16(element(w, dtype, c * w_stride + d + 1)) : 0;
      out[d / 2 * COLUMNS + c] = low | high << 16;
    }
  }
}

}  // namespace
