// The f32 micro-kernel on vectors of any width, and the packing of weight panels.

#pragma once

#include "kernels/common/vector.inl"
#if defined(__AVX512F__)
#include "kernels/common/transpose.inl"
#endif

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
  for (int64_t d = 0; d < depth; ++d)
    for (int64_t c = 0; c < COLUMNS; ++c)
      put(out + d * COLUMNS + c, c < n && d < k ? element(w, dtype, c * w_stride + d) : 0.0f);
}

//! [depth / 2][COLUMNS][2] bf16: pairs of k side by side, as VDPBF16PS and the AMX tiles take them.
template <int COLUMNS>
void pack_pairs(const void* w, prax::DType dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  uint32_t* out = static_cast<uint32_t*>(panel);
  int64_t whole = 0;  // of k
#if defined(__AVX512F__)
  if (dtype == prax::DType::bf16) {
    // 16 columns and 32 of k at a time: weights that are streamed are packed as often as they are used.
    const uint16_t* from = static_cast<const uint16_t*>(w);
    whole = k / 32 * 32;
    for (int64_t c = 0; c < COLUMNS; c += 16)
      for (int64_t d = 0; d < whole; d += 32) {
        __m512i rows[16];
        for (int64_t i = 0; i < 16; ++i)
          rows[i] = c + i < n ? _mm512_loadu_si512(from + (c + i) * w_stride + d) : _mm512_setzero_si512();
        transpose(rows);
        for (int64_t i = 0; i < 16; ++i) _mm512_storeu_si512(out + (d / 2 + i) * COLUMNS + c, rows[i]);
      }
  }
#endif
  const auto value = [&](int64_t c, int64_t d) -> uint32_t {
    return c < n && d < k ? round_to_bf16(element(w, dtype, c * w_stride + d)) : 0;
  };
  for (int64_t d = whole; d < depth; d += 2)
    for (int64_t c = 0; c < COLUMNS; ++c) out[d / 2 * COLUMNS + c] = value(c, d) | value(c, d + 1) << 16;
}

}  // namespace
