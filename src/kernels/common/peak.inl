// Multiply-adds of f32 and, with AVX-512, of int8 that need nothing but registers. Enough independent sums to hide the
// latency of each (4 cycles, two a cycle), few enough to stay in registers.

#pragma once

#include "kernels/common/vector.inl"
#include "kernels/peak_loops.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int sums_in_registers = 24;
#else
constexpr int sums_in_registers = 12;
#endif

//! Keeps the compiler from computing the loop beforehand, or not at all.
template <typename V>
inline V unknown(V v) {
  asm volatile("" : "+v"(v));
  return v;
}

//! s = s x + y, which tends to y / (1 - x): no infinities, no denormal numbers.
inline void f32_loop(int64_t iterations) {
  const Floats x = unknown(splat(0.5f)), y = unknown(splat(0.75f));
  Floats sums[sums_in_registers];
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) sums[i] = unknown(splat(static_cast<float>(i)));
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < sums_in_registers; ++i) sums[i] = sums[i] * x + y;
  }
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) unknown(sums[i]);
}

constexpr prax::kernels::PeakLoop f32_peak{2 * LANES * sums_in_registers, f32_loop};

#if defined(__AVX512F__)
//! VPDPBUSD: each lane adds four products of bytes.
__attribute__((target("avx512vnni"))) inline void vnni_loop(int64_t iterations) {
  const __m512i x = unknown(_mm512_set1_epi8(3)), y = unknown(_mm512_set1_epi8(-2));
  __m512i sums[sums_in_registers];
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) sums[i] = unknown(_mm512_set1_epi32(i));
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < sums_in_registers; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
  }
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) unknown(sums[i]);
}

inline prax::kernels::PeakLoop vnni_peak() {
  if (!__builtin_cpu_supports("avx512vnni")) return {};
  return {2 * 4 * LANES * sums_in_registers, vnni_loop};
}
#endif

}  // namespace
