#include "kernels/common/peak.inl"

namespace prax::kernels::avx2 {

namespace {

//! VPMADDUBSW, VPMADDWD and an addition: four products of bytes to a lane (see pairs.inl).
void int8_loop(int64_t iterations) {
  const __m256i x = unknown(_mm256_set1_epi8(3)), ones = unknown(_mm256_set1_epi16(1));
  const __m256i y = unknown(_mm256_set1_epi32(-2));
  __m256i sums[sums_in_registers];
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) sums[i] = unknown(_mm256_set1_epi32(i));
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < sums_in_registers; ++i)
      sums[i] = _mm256_add_epi32(_mm256_madd_epi16(_mm256_maddubs_epi16(sums[i], x), ones), y);
  }
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) unknown(sums[i]);
}

}  // namespace

PeakLoops peak_loops() { return {f32_peak, {}, {2 * 4 * LANES * sums_in_registers, int8_loop}}; }

}  // namespace prax::kernels::avx2
