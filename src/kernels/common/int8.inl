// Products of int8 for ISAs without byte products of their own: A widened to 16 bits, pairs of k multiplied and added
// (PMADDWD). And what all ISAs share: packing, quantising a row, turning exact sums back into f32.

#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cmath>

#include "kernels/common/vector.inl"

namespace {

using prax::DType;
using prax::kernels::QuantizedRow;

//! [depth / GROUP][COLUMNS][GROUP]
template <int COLUMNS, int GROUP, int OFFSET>
void pack_bytes(const int8_t* w, int64_t w_stride, int64_t n, int64_t k, int64_t depth, void* panel) {
  auto* out = static_cast<uint8_t*>(panel);
  for (int64_t d = 0; d < depth; d += GROUP)
    for (int64_t c = 0; c < COLUMNS; ++c, out += GROUP)
      for (int64_t i = 0; i < GROUP; ++i) {
        const int value = c < n && d + i < k ? w[c * w_stride + d + i] : 0;
        out[i] = static_cast<uint8_t>(value + OFFSET);
      }
}

#if defined(__AVX512BW__)
typedef __m512i Sums;
inline Sums pairs_of(const void* b) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256(static_cast<const __m256i*>(b))); }
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm512_set1_epi32(pair); }
#elif defined(__AVX2__)
typedef __m256i Sums;
inline Sums pairs_of(const void* b) { return _mm256_cvtepi8_epi16(_mm_loadu_si128(static_cast<const __m128i*>(b))); }
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
inline Sums splat_pair(int32_t pair) { return _mm256_set1_epi32(pair); }
#else
typedef Ints Sums;
inline Sums pairs_of(const void* b) {  // two bytes a lane, widened
  const auto* bytes = static_cast<const int8_t*>(b);
  Sums v;
  for (int i = 0; i < LANES; ++i) v[i] = (bytes[2 * i] & 0xffff) | bytes[2 * i + 1] << 16;
  return v;
}
inline Sums multiply_pairs(Sums sum, Sums a, Sums b) {
  const Sums low = (a << 16 >> 16) * (b << 16 >> 16), high = (a >> 16) * (b >> 16);
  return sum + low + high;
}
inline Sums splat_pair(int32_t pair) { return pair - Sums{}; }
#endif

//! ROWS x (VECTORS * LANES) products of i16 rows with i8 panels in pairs of k.
template <int ROWS, int VECTORS>
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
  const char* b = static_cast<const char*>(b_raw);
  for (int64_t k = 0; k < depth; k += 2, b += int64_t{2} * VECTORS * LANES) {
    Sums columns[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) columns[v] = pairs_of(b + 2 * v * LANES);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      int32_t pair;
      std::memcpy(&pair, a + r * a_stride + k, 4);
      const Sums row = splat_pair(pair);
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; ++v) sums[r][v] = multiply_pairs(sums[r][v], row, columns[v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; ++v) std::memcpy(c + r * c_stride + v * LANES, &sums[r][v], sizeof(Sums));
}

template <int ROWS, int VECTORS>
constexpr prax::kernels::ByteKernel byte_kernel_of_pairs{
    ROWS,
    VECTORS * LANES,
    2,
    512,
    DType::i16,
    0,
    tile_pairs<ROWS, VECTORS>,
    pack_bytes<VECTORS * LANES, 2, 0>};

template <typename T>
void store_integers(T* out, Ints v) {
  typedef T Narrow __attribute__((vector_size(LANES * sizeof(T))));
  const Narrow narrow = __builtin_convertvector(v, Narrow);
  std::memcpy(out, &narrow, sizeof narrow);
}

template <typename In, typename Out>
QuantizedRow quantize_row(const In* x, int64_t count, Out* out) {
  constexpr float most = 127.0f;
  const Ints magnitude = static_cast<int32_t>(0x7fffffff) - Ints{};
  Floats largest{}, squares{};
  const auto look = [&](Floats v) {
    const Floats size = (Floats)((Ints)v & magnitude);
    largest = select_less(largest, size, size, largest);
    squares += v * v;
  };
  for_vectors(
      count, [&](int64_t i) { look(load(x + i)); }, [&](int64_t i, int64_t n) { look(load_some(x + i, n)); });
  float peak = 0;
  for (int i = 0; i < LANES; ++i) peak = largest[i] > peak ? largest[i] : peak;
  QuantizedRow row{peak / most, 0, sum(squares)};
  if (!std::isfinite(row.squares)) {  // the scale makes every product of the row show it
    std::memset(out, 0, static_cast<size_t>(count) * sizeof(Out));
    return {NAN, 0, row.squares};
  }
  const float inverse = peak > 0 ? most / peak : 0;
  const Floats magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
  Ints sums{};
  const auto rounded = [&](Floats v) {
    return (Ints)(v * inverse + magic) - static_cast<int32_t>(0x4b400000);
  };
  for_vectors(
      count,
      [&](int64_t i) {
        const Ints q = rounded(load(x + i));
        sums += q;
        store_integers(out + i, q);
      },
      [&](int64_t i, int64_t n) {
        const Ints q = rounded(load_some(x + i, n));
        sums += q;
        for (int64_t j = 0; j < n; ++j) out[i + j] = static_cast<Out>(q[j]);
      });
  for (int i = 0; i < LANES; ++i) row.sum += sums[i];
  return row;
}

QuantizedRow quantize(const void* x, DType x_dtype, int64_t count, void* out, DType out_dtype) {
  const auto from = [&](auto* in) {
    if (out_dtype == DType::i8) return quantize_row(in, count, static_cast<int8_t*>(out));
    return quantize_row(in, count, static_cast<int16_t*>(out));
  };
  if (x_dtype == DType::f32) return from(static_cast<const float*>(x));
  return from(static_cast<const uint16_t*>(x));
}

void dequantize(int32_t* c, int64_t c_stride, int64_t rows, int64_t columns, const QuantizedRow* a, int b_offset,
                const float* column_scale) {
  for (int64_t r = 0; r < rows; ++r) {
    int32_t* row = c + r * c_stride;
    const int32_t correction = b_offset * a[r].sum;
    const float scale = a[r].scale;
    for_vectors(
        columns,
        [&](int64_t i) {
          Ints v;
          std::memcpy(&v, row + i, sizeof v);
          const Floats f = __builtin_convertvector(v - correction, Floats) * scale * load(column_scale + i);
          std::memcpy(row + i, &f, sizeof f);
        },
        [&](int64_t i, int64_t n) {
          for (int64_t j = i; j < i + n; ++j) {
            const float f = static_cast<float>(row[j] - correction) * scale * column_scale[j];
            std::memcpy(row + j, &f, sizeof f);
          }
        });
  }
}

}  // namespace
