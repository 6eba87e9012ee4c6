// Products of 16-bit integers with exact sums of 32 bits: pairs of k multiplied and added (PMADDWD). Bytes are widened.

#pragma once

#include "kernels/common/vector.inl"

namespace {

#if defined(__AVX512BW__)
typedef __m512i Sums;
inline Sums pairs_of(const int8_t* b) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)b)); }
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm512_set1_epi32(pair); }
#elif defined(__AVX2__)
typedef __m256i Sums;
inline Sums pairs_of(const int8_t* b) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)b)); }
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm256_set1_epi32(pair); }
#else
typedef Ints Sums;
inline Sums pairs_of(const int8_t* b) {  // two bytes a lane, widened
  Sums v;
  for (int i = 0; i < LANES; ++i) v[i] = (b[2 * i] & 0xffff) | b[2 * i + 1] << 16;
  return v;
}
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) {
  const Sums low = (a << 16 >> 16) * (b << 16 >> 16), high = (a >> 16) * (b >> 16);
  return sum + low + high;
}
inline Sums splat_pair(int32_t pair) { return pair - Sums{}; }
#endif

inline Sums pairs_of(const int16_t* b) {
  Sums v;
  std::memcpy(&v, b, sizeof v);
  return v;
}

//! sums += pair of A times pairs
template <int VECTORS>
inline void multiply_add(const int16_t* a, const Sums (&pairs)[VECTORS], Sums (&sums)[VECTORS]) {
  int32_t pair;
  std::memcpy(&pair, a, sizeof pair);
  const Sums row = splat_pair(pair);
#pragma GCC unroll 4
  for (int v = 0; v < VECTORS; ++v) sums[v] = multiply_pairs(sums[v], row, pairs[v]);
}

//! ROWS x (VECTORS * LANES) products of i16 rows with panels of B, i8 or i16, in pairs of k.
template <int ROWS, int VECTORS, typename B>
void tile_pairs(const void* a_raw, int64_t a_stride, int64_t depth, const void* b_raw, int32_t* c, int64_t c_stride,
                bool accumulate) {
  Sums sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      sums[r][v] = Sums{};
      if (accumulate) std::memcpy(&sums[r][v], c + r * c_stride + v * LANES, sizeof(Sums));
    }
  const auto* a = static_cast<const int16_t*>(a_raw);
  const auto* lower = a + ROWS / 2 * a_stride;  // a second pointer, so that addresses need few registers
  const B* b = static_cast<const B*>(b_raw);
  for (int64_t k = 0; k < depth; k += 2, a += 2, lower += 2, b += 2 * VECTORS * LANES) {
    Sums pairs[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) pairs[v] = pairs_of(b + 2 * v * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
      multiply_add(r < ROWS / 2 ? a + r * a_stride : lower + (r - ROWS / 2) * a_stride, pairs, sums[r]);
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) std::memcpy(c + r * c_stride + v * LANES, &sums[r][v], sizeof(Sums));
}

//! To the nearest integer, of values below 2^22.
inline Ints rounded(Floats v) {
  return (Ints)(v + 12582912.0f) - static_cast<int32_t>(0x4b400000);  // 1.5 * 2^23: adding it rounds
}

inline Floats magnitude(Floats v) { return (Floats)((Ints)v & static_cast<int32_t>(0x7fffffff)); }

template <typename T>
void store_integers(T* out, Ints v) {
  typedef T Narrow __attribute__((vector_size(LANES * sizeof(T))));
  const Narrow narrow = __builtin_convertvector(v, Narrow);
  std::memcpy(out, &narrow, sizeof narrow);
}

}  // namespace
