// Products of integers with exact sums of 32 bits: pairs of k of 16 bits multiplied and added (PMADDWD). Bytes are
// widened to these; on AVX2 four of them are multiplied as they are.

#pragma once

#include "kernels/common/vector.inl"

namespace {

#if defined(__AVX512BW__)
typedef __m512i Sums;
inline Sums groups_of(const int8_t* b) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)b)); }
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm512_set1_epi32(pair); }
#elif defined(__AVX2__)
typedef __m256i Sums;
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm256_set1_epi32(pair); }
#else
typedef Ints Sums;
inline Sums groups_of(const int8_t* b) {  // two bytes a lane, widened
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

inline Sums groups_of(const int16_t* b) {
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

#if defined(__AVX2__) && !defined(__AVX512F__)
//! The same in five instructions: GCC, left alone, adds products of several k to one another first and runs out of
//! registers.
inline void multiply_add(const int16_t* a, const Sums (&pairs)[2], Sums (&sums)[2]) {
  Sums row, product;
  asm volatile(
      "vpbroadcastd %[a], %[row]\n\t"
      "vpmaddwd %[p0], %[row], %[product]\n\t"
      "vpmaddwd %[p1], %[row], %[row]\n\t"
      "vpaddd %[product], %[s0], %[s0]\n\t"
      "vpaddd %[row], %[s1], %[s1]"
      : [s0] "+x"(sums[0]), [s1] "+x"(sums[1]), [row] "=&x"(row), [product] "=&x"(product)
      : [a] "m"(*reinterpret_cast<const int16_t(*)[2]>(a)), [p0] "x"(pairs[0]), [p1] "x"(pairs[1]));
}

alignas(32) constexpr int16_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

inline Sums groups_of(const uint8_t* b) { return _mm256_loadu_si256((const __m256i*)b); }

//! sums += four of A times fours. VPMADDUBSW: two products of unsigned bytes, 128 at most, with signed ones have a sum
//! of 16 bits; VPMADDWD adds two of these.
inline void multiply_add(const int8_t* a, const Sums (&fours)[2], Sums (&sums)[2]) {
  Sums row, pairs;
  asm volatile(
      "vpbroadcastd %[a], %[row]\n\t"
      "vpmaddubsw %[row], %[b0], %[pairs]\n\t"
      "vpmaddubsw %[row], %[b1], %[row]\n\t"
      "vpmaddwd %[ones], %[pairs], %[pairs]\n\t"
      "vpmaddwd %[ones], %[row], %[row]\n\t"
      "vpaddd %[pairs], %[s0], %[s0]\n\t"
      "vpaddd %[row], %[s1], %[s1]"
      : [s0] "+x"(sums[0]), [s1] "+x"(sums[1]), [row] "=&x"(row), [pairs] "=&x"(pairs)
      : [a] "m"(*reinterpret_cast<const int8_t(*)[4]>(a)), [b0] "x"(fours[0]), [b1] "x"(fours[1]), [ones] "m"(ones));
}
#endif

//! ROWS x (VECTORS * LANES) products of rows of A with panels of B: i16 in pairs of k, with i8 or i16, or on AVX2 i8 in
//! fours, with u8.
template <int ROWS, int VECTORS, typename A, typename B>
void tile_integers(const void* a_raw, int64_t a_stride, int64_t depth, const void* b_raw, int32_t* c, int64_t c_stride,
                   bool accumulate) {
  constexpr int group = 4 / sizeof(A), together = 4;  // of k in a lane; groups between two jumps
  Sums sums[ROWS][VECTORS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) {
      sums[r][v] = Sums{};
      if (accumulate) std::memcpy(&sums[r][v], c + r * c_stride + v * LANES, sizeof(Sums));
    }
  const A* a = static_cast<const A*>(a_raw);
  const A* lower = a + ROWS / 2 * a_stride;  // a second pointer, so that addresses need few registers
  const B* b = static_cast<const B*>(b_raw);
  const auto steps = [&](int count) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i, b += group * VECTORS * LANES) {
      Sums groups[VECTORS];
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) groups[v] = groups_of(b + group * v * LANES);
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r)
        multiply_add((r < ROWS / 2 ? a + r * a_stride : lower + (r - ROWS / 2) * a_stride) + i * group, groups,
                     sums[r]);
    }
    a += group * count;
    lower += group * count;
  };
  int64_t k = 0;
  for (; k + group * together <= depth; k += group * together) steps(together);
  for (; k < depth; k += group) steps(1);
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) std::memcpy(c + r * c_stride + v * LANES, &sums[r][v], sizeof(Sums));
}

//! To the nearest integer, of values below 2^22.
inline Ints rounded(Floats v) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return (Ints)_mm256_cvtps_epi32((__m256)v);
#else
  return (Ints)(v + 12582912.0f) - static_cast<int32_t>(0x4b400000);  // 1.5 * 2^23: adding it rounds
#endif
}

inline Floats magnitude(Floats v) { return (Floats)((Ints)v & static_cast<int32_t>(0x7fffffff)); }

template <typename T>
void store_integers(T* out, Ints v) {
  typedef T Narrow __attribute__((vector_size(LANES * sizeof(T))));
  const Narrow narrow = __builtin_convertvector(v, Narrow);
  std::memcpy(out, &narrow, sizeof narrow);
}

//! Two vectors, one behind the other.
inline void store_integers(int16_t* out, Ints first, Ints second) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i halves = _mm256_packs_epi32((__m256i)first, (__m256i)second);  // of both, and of both again
  _mm256_storeu_si256((__m256i*)out, _mm256_permute4x64_epi64(halves, 0xd8));
#else
  store_integers(out, first);
  store_integers(out + LANES, second);
#endif
}

}  // namespace
