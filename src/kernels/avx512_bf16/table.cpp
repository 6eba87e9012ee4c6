#include <immintrin.h>

#include "kernels/common/table.inl"

namespace prax::kernels::avx512_bf16 {

namespace {

constexpr int rows = 14, vectors = 2, columns = vectors * LANES;

//! VDPBF16PS: each lane adds the products of a pair of k.
void tile_bf16(const void* a_raw, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
               const void* b_raw, float* c, int64_t c_stride, bool accumulate) {
  __m512 sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      sums[r][v] = accumulate ? _mm512_loadu_ps(c + r * c_stride + v * LANES) : _mm512_setzero_ps();
  const char* b = static_cast<const char*>(b_raw);
  for (int s = 0; s < segments; ++s) {
    const uint16_t* a = static_cast<const uint16_t*>(a_raw) + segment_offset[s];
    for (int64_t k = 0; k < depth; k += 2, b += columns * 4) {
      const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
      const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + 64);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        int32_t pair;
        std::memcpy(&pair, a + r * a_stride + k, 4);
        const __m512bh row = (__m512bh)_mm512_set1_epi32(pair);
        sums[r][0] = _mm512_dpbf16_ps(sums[r][0], row, b0);
        sums[r][1] = _mm512_dpbf16_ps(sums[r][1], row, b1);
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(c + r * c_stride + v * LANES, sums[r][v]);
}

//! VPDPBUSD: each lane adds four products of unsigned bytes of W (128 too large) with signed ones of A.
void tile_int8(const void* a_raw, int64_t a_stride, int64_t depth, const void* b_raw, int32_t* c, int64_t c_stride,
               bool accumulate) {
  __m512i sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v)
      sums[r][v] = accumulate ? _mm512_loadu_si512(c + r * c_stride + v * LANES) : _mm512_setzero_si512();
  const auto* a = static_cast<const int8_t*>(a_raw);
  const char* b = static_cast<const char*>(b_raw);
  for (int64_t k = 0; k < depth; k += 4, b += columns * 4) {
    const __m512i b0 = _mm512_loadu_si512(b), b1 = _mm512_loadu_si512(b + 64);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      int32_t four;
      std::memcpy(&four, a + r * a_stride + k, 4);
      const __m512i row = _mm512_set1_epi32(four);
      sums[r][0] = _mm512_dpbusd_epi32(sums[r][0], b0, row);
      sums[r][1] = _mm512_dpbusd_epi32(sums[r][1], b1, row);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) _mm512_storeu_si512(c + r * c_stride + v * LANES, sums[r][v]);
}

constexpr MatmulKernel bf16_kernel{rows, columns, 32, 256, DType::bf16, DType::bf16, tile_bf16, pack_pairs<columns>};
constexpr ByteKernel byte_kernel{rows, columns, 4, 512, DType::i8, 127, 128, tile_int8, pack_bytes<columns, 4, 128>};

constexpr KernelTable kernel_table = table_of(Isa::avx512_bf16, f32_kernel<rows, vectors>, bf16_kernel, byte_kernel);

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::avx512_bf16
