// Vectors of LANES floats through GCC's vector extension: the same source becomes SSE2, AVX2 or AVX-512 code by the
// flags of the folder that includes it. Everything has internal linkage, so that no ISA's code leaks into another's.

#pragma once

#if defined(__AVX2__)
// GCC 12 takes _mm512_undefined_ps() inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#endif

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "kernels/kernels.h"

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Floats __attribute__((vector_size(LANES * 4)));
typedef uint32_t Words __attribute__((vector_size(LANES * 4)));
typedef int32_t Ints __attribute__((vector_size(LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(LANES * 2)));

// v - 0 is v, which the compiler knows (0 + v it would compute, for the sake of -0): a plain broadcast.
inline Floats splat(float v) { return v - Floats{}; }

inline Floats load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

inline Floats load(const uint16_t* p) {  // bf16
  Halves h;
  std::memcpy(&h, p, sizeof h);
  const Words w = __builtin_convertvector(h, Words) << 16;
  return (Floats)w;
}

inline void store(float* p, Floats v) { std::memcpy(p, &v, sizeof v); }

inline void store(uint16_t* p, Floats v) {  // bf16, to nearest even
#if defined(__AVX512BF16__)
  const __m256bh h = _mm512_cvtneps_pbh((__m512)v);
#else
  const Words w = (Words)v;
  const Words rounded = (w + 0x7fffu + ((w >> 16) & 1u)) >> 16;
  const Halves h = __builtin_convertvector(rounded, Halves);
#endif
  std::memcpy(p, &h, sizeof h);
}

template <typename T>
inline Floats load_some(const T* p, int64_t count) {
  T buffer[LANES] = {};
  std::memcpy(buffer, p, static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

template <typename T>
inline void store_some(T* p, Floats v, int64_t count) {
  T buffer[LANES];
  store(buffer, v);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(T));
}

inline float sum(Floats v) {
  float total = 0;
  for (int i = 0; i < LANES; ++i) total += v[i];
  return total;
}

inline Floats select_less(Floats a, Floats b, Floats yes, Floats no) {
  const Ints mask = a < b;
  return (Floats)(((Ints)yes & mask) | ((Ints)no & ~mask));
}

//! The larger of each lane; that of `a` where either is not a number.
inline Floats larger(Floats a, Floats b) {
#if defined(__AVX2__) && !defined(__AVX512F__)  // from the comparison, GCC makes two instructions
  return (Floats)_mm256_max_ps((__m256)b, (__m256)a);
#else
  return select_less(a, b, b, a);
#endif
}

//! The largest lane.
inline float largest(Floats v) {
  float lanes[LANES];
  store(lanes, v);
  for (int step = LANES / 2; step > 0; step /= 2)
    for (int i = 0; i < step; ++i) lanes[i] = lanes[i] < lanes[i + step] ? lanes[i + step] : lanes[i];
  return lanes[0];
}

//! e^x to about 1 ulp: x = n ln 2 + r, a polynomial for e^r (Cephes expf), then the exponent.
inline Floats exp(Floats x) {
  x = larger(x, splat(-87.3f));
  x = select_less(splat(88.3f), x, splat(88.3f), x);
  const Floats magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  const Floats n = (x * 1.44269504088896341f + magic) - magic;
  const Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
  Floats p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
  return p * (Floats)exponent;
}

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp(-x)); }

//! erfc(z) for z >= 0, to 1.2e-7 of itself (Press et al., Numerical Recipes, section 6.2: a Chebyshev fit).
inline Floats erfc(Floats z) {
  const Floats t = 1.0f / (1.0f + 0.5f * z);
  Floats p = splat(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  return t * exp(p - z * z);
}

//! x Phi(x), Phi(x) = erfc(-x / sqrt(2)) / 2
inline Floats gelu(Floats x) {
  const Floats tail = 0.5f * erfc(larger(x, -x) * 0.70710678118654752f);
  return x * select_less(x, splat(0), tail, 1.0f - tail);
}

//! x tanh(log(1 + e^x)) = x n / (n + 2), n = e^x (e^x + 2); from 20 on the quotient is 1.
inline Floats mish(Floats x) {
  const Floats e = exp(select_less(splat(20), x, splat(20), x)), n = e * (e + 2.0f);
  return x * (n / (n + 2.0f));
}

//! Those that large products rarely have.
inline bool is_rare(prax::kernels::Activation a) { return a > prax::kernels::Activation::gelu_tanh; }

//! A call, so that loops stay small.
[[gnu::noinline, maybe_unused]] Floats rare_activation_of(prax::kernels::Activation a, Floats x) {
  switch (a) {
    case prax::kernels::Activation::gelu:
      return gelu(x);
    case prax::kernels::Activation::quick_gelu:
      return x * sigmoid(1.702f * x);
    case prax::kernels::Activation::mish:
      return mish(x);
    default:
      return select_less(x, splat(0), splat(0), x);  // relu
  }
}

//! gelu_tanh(x) = x/2 (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
template <bool RARE>
inline Floats activation_of(prax::kernels::Activation a, Floats x) {
  if constexpr (RARE) return rare_activation_of(a, x);
  switch (a) {
    case prax::kernels::Activation::silu:
      return x * sigmoid(x);
    case prax::kernels::Activation::gelu_tanh:
      return x * sigmoid(1.5957691216057308f * (x + 0.044715f * x * x * x));
    default:
      return x;
  }
}

//! Calls fn with what activation_of has to be told, so that loops in it make no call but for rare ones.
template <typename Fn>
inline void by_rarity(prax::kernels::Activation a, Fn&& fn) {
  if (is_rare(a)) return fn(std::true_type());
  fn(std::false_type());
}

//! Calls fn(offset, count) for whole vectors (count LANES, known at compile time when inlined) and one rest.
template <typename Whole, typename Rest>
inline void for_vectors(int64_t count, Whole&& whole, Rest&& rest) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES) whole(i);
  if (i < count) rest(i, count - i);
}

}  // namespace
