// The f32 micro-kernel on vectors of any width, and the packing of weight panels.

#pragma once

#include "kernels/common/vector.inl"
#if defined(__AVX2__)
#include "kernels/common/transpose.inl"
#endif

namespace {

//! sums += a weights
template <int VECTORS>
inline void multiply_add(const float* a, const Floats (&weights)[VECTORS], Floats (&sums)[VECTORS]) {
  const Floats row = splat(*a);
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v) sums[v] += row * weights[v];
}

#if defined(__AVX2__) && !defined(__AVX512F__)
//! The same in three instructions: of 16 registers the sums take 12, and GCC, left alone, copies some of them about.
inline void multiply_add(const float* a, const Floats (&weights)[2], Floats (&sums)[2]) {
  Floats row;
  asm volatile(
      "vbroadcastss %[a], %[row]\n\t"
      "vfmadd231ps %[w0], %[row], %[s0]\n\t"
      "vfmadd231ps %[w1], %[row], %[s1]"
      : [s0] "+x"(sums[0]), [s1] "+x"(sums[1]), [row] "=&x"(row)
      : [a] "m"(*a), [w0] "x"(weights[0]), [w1] "x"(weights[1]));
}
//! Of k, between two jumps: instructions count where two threads share a core.
constexpr int unrolled = 8;
#else
constexpr int unrolled = 1;
#endif

//! ROWS x (VECTORS * LANES) products; B is [k][columns].
template <int ROWS, int VECTORS>
void tile_f32(const void* a_raw, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
              const void* b_raw, float* c, int64_t c_stride, bool accumulate) {
  constexpr int columns = VECTORS * LANES, line_floats = 16;
  // C lies beyond L1, and is not needed before the end.
  if (accumulate)
    for (int r = 0; r < ROWS; ++r)
      for (int i = 0; i < columns; i += line_floats) __builtin_prefetch(c + r * c_stride + i, 1);
  Floats sums[ROWS][VECTORS] = {};
  const float* b = static_cast<const float*>(b_raw);
  for (int s = 0; s < segments; ++s) {
    const float* a = static_cast<const float*>(a_raw) + segment_offset[s];
    const float* lower = a + ROWS / 2 * a_stride;  // a second pointer, so that addresses need few registers
    const auto step = [&](int i) __attribute__((always_inline)) {
      Floats weights[VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) weights[v] = load(b + i * columns + v * LANES);
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r)
        multiply_add((r < ROWS / 2 ? a + r * a_stride : lower + (r - ROWS / 2) * a_stride) + i, weights, sums[r]);
    };
    const auto advance = [&](int count) __attribute__((always_inline)) {
      a += count;
      lower += count;
      b += count * columns;
    };
    int64_t k = 0;
    for (; k + unrolled <= depth; k += unrolled) {
#pragma GCC unroll 8
      for (int i = 0; i < unrolled; ++i) step(i);
      advance(unrolled);
    }
    if constexpr (unrolled > 1)
      for (; k < depth; ++k) {
        step(0);
        advance(1);
      }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      float* to = c + r * c_stride + v * LANES;
      store(to, accumulate ? load(to) + sums[r][v] : sums[r][v]);
    }
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

#if defined(__AVX2__)
//! Words of 32 bits of rows become a panel's columns, LANES x LANES at a time: load(row, word) gives LANES words of one
//! of `rows` rows; columns behind them become zero.
template <typename Load>
inline void into_columns(int64_t rows, int64_t words, int64_t columns, void* panel, Load&& load) {
  for (int64_t c = 0; c < columns; c += LANES)
    for (int64_t d = 0; d < words; d += LANES) {
      WideRow square[LANES];
      for (int64_t i = 0; i < LANES; ++i) square[i] = c + i < rows ? load(c + i, d) : WideRow{};
      transpose(square);
      for (int64_t i = 0; i < LANES; ++i)
        std::memcpy(static_cast<uint32_t*>(panel) + (d + i) * columns + c, &square[i], sizeof(WideRow));
    }
}

inline WideRow load_words(const void* p) {
  WideRow v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline WideRow load_pairs(const float* p) {
  uint16_t pairs[2 * LANES];
  store(pairs, load(p));
  store(pairs + LANES, load(p + LANES));
  return load_words(pairs);
}
#endif

//! [depth][COLUMNS] f32, as tile_f32 takes them.
template <int COLUMNS>
void pack_rows(const void* w, prax::DType dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  float* out = static_cast<float*>(panel);
  int64_t whole = 0;  // of k
#if defined(__AVX2__)
  if (dtype == prax::DType::f32) {
    const float* from = static_cast<const float*>(w);
    whole = k / LANES * LANES;
    into_columns(n, whole, COLUMNS, panel, [&](int64_t c, int64_t d) { return load_words(from + c * w_stride + d); });
  }
#endif
  for (int64_t d = whole; d < depth; ++d)
    for (int64_t c = 0; c < COLUMNS; ++c)
      out[d * COLUMNS + c] = c < n && d < k ? element(w, dtype, c * w_stride + d) : 0.0f;
}

//! [depth / 2][COLUMNS][2] bf16: pairs of k side by side, as VDPBF16PS and the AMX tiles take them.
template <int COLUMNS>
void pack_pairs(const void* w, prax::DType dtype, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  uint32_t* out = static_cast<uint32_t*>(panel);
  int64_t whole = 0;  // of k
#if defined(__AVX2__)
  whole = k / (2 * LANES) * (2 * LANES);
  if (dtype == prax::DType::bf16) {
    const uint16_t* from = static_cast<const uint16_t*>(w);
    into_columns(n, whole / 2, COLUMNS, panel,
                 [&](int64_t c, int64_t d) { return load_words(from + c * w_stride + 2 * d); });
  } else {
    const float* from = static_cast<const float*>(w);
    into_columns(n, whole / 2, COLUMNS, panel,
                 [&](int64_t c, int64_t d) { return load_pairs(from + c * w_stride + 2 * d); });
  }
#endif
  const auto value = [&](int64_t c, int64_t d) -> uint32_t {
    return c < n && d < k ? round_to_bf16(element(w, dtype, c * w_stride + d)) : 0;
  };
  for (int64_t d = whole; d < depth; d += 2)
    for (int64_t c = 0; c < COLUMNS; ++c) out[d / 2 * COLUMNS + c] = value(c, d) | value(c, d + 1) << 16;
}

//! What pack_pairs made, as pack_rows would have: a pair's first half moves up, its second is a float once the other is
//! gone.
template <int COLUMNS>
void widen_pairs(const void* panel, int64_t depth, float* out) {
  const auto* pairs = static_cast<const uint32_t*>(panel);
  for (int64_t d = 0; d < depth; d += 2, pairs += COLUMNS, out += 2 * COLUMNS)
#pragma GCC unroll 4
    for (int64_t c = 0; c < COLUMNS; c += LANES) {
      Words pair;
      std::memcpy(&pair, pairs + c, sizeof pair);
      store(out + c, (Floats)(pair << 16));
      store(out + COLUMNS + c, (Floats)(pair & 0xffff0000u));
    }
}

template <int ROWS, int VECTORS>
constexpr prax::kernels::MatmulKernel f32_kernel{
    ROWS, VECTORS * LANES, 1, 256, prax::DType::f32, prax::DType::f32, tile_f32<ROWS, VECTORS>,
    pack_rows<VECTORS * LANES>};

//! bf16 where the ISA does not multiply it.
template <int ROWS, int VECTORS>
constexpr prax::kernels::MatmulKernel widened_kernel{
    ROWS, VECTORS * LANES, 2, 256, prax::DType::f32, prax::DType::bf16, tile_f32<ROWS, VECTORS>,
    pack_pairs<VECTORS * LANES>, widen_pairs<VECTORS * LANES>};

}  // namespace
