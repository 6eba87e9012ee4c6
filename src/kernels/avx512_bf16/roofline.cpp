#include "kernels/common/peak.inl"

namespace prax::kernels::avx512_bf16 {

namespace {

//! VDPBF16PS: each lane adds two products.
void bf16_loop(int64_t iterations) {
  const __m512bh x = (__m512bh)unknown(_mm512_set1_epi16(0x3f80)), y = (__m512bh)unknown(_mm512_set1_epi16(0x3c00));
  __m512 sums[sums_in_registers];
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) sums[i] = unknown(_mm512_set1_ps(static_cast<float>(i)));
  for (int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 24
    for (int i = 0; i < sums_in_registers; ++i) sums[i] = _mm512_dpbf16_ps(sums[i], x, y);
  }
#pragma GCC unroll 24
  for (int i = 0; i < sums_in_registers; ++i) unknown(sums[i]);
}

}  // namespace

PeakLoops peak_loops() { return {f32_peak, {2 * 2 * LANES * sums_in_registers, bf16_loop}, vnni_peak()}; }

}  // namespace prax::kernels::avx512_bf16
