#include "kernels/common/int8.inl"
#include "kernels/common/matmul.inl"
#include "kernels/common/rowwise.inl"
#include "kernels/common/winograd.inl"

namespace prax::kernels::avx2 {

namespace {

constexpr int rows = 6, vectors = 2, columns = vectors * LANES;

//! VPMADDUBSW: two products of unsigned bytes of W (64 too large, so at most 128) with signed ones of A have a sum of
//! 16 bits; VPMADDWD adds two of these. In assembly, as the sums take 12 of 16 registers.
void tile_int8(const void* a_raw, int64_t a_stride, int64_t depth, const void* b_raw, int32_t* c, int64_t c_stride,
               bool accumulate) {
  static const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[rows][vectors];
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      sums[r][v] = __m256i{};
      if (accumulate) std::memcpy(&sums[r][v], c + r * c_stride + v * LANES, sizeof(__m256i));
    }
  const auto* a = static_cast<const int8_t*>(a_raw);
  const auto* lower = a + rows / 2 * a_stride;  // a second pointer, so that addresses need few registers
  const auto* b = static_cast<const char*>(b_raw);
  const auto steps = [&](int count) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i, b += columns * 4) {
      const auto* weights = reinterpret_cast<const __m256i*>(b);
      const __m256i w0 = _mm256_loadu_si256(weights), w1 = _mm256_loadu_si256(weights + 1);
#pragma GCC unroll 16
      for (int r = 0; r < rows; ++r) {
        const int8_t* four = (r < rows / 2 ? a + r * a_stride : lower + (r - rows / 2) * a_stride) + 4 * i;
        __m256i row, pairs;
        asm volatile(
            "vpbroadcastd %[four], %[row]\n\t"
            "vpmaddubsw %[row], %[w0], %[pairs]\n\t"
            "vpmaddubsw %[row], %[w1], %[row]\n\t"
            "vpmaddwd %[ones], %[pairs], %[pairs]\n\t"
            "vpmaddwd %[ones], %[row], %[row]\n\t"
            "vpaddd %[pairs], %[s0], %[s0]\n\t"
            "vpaddd %[row], %[s1], %[s1]"
            : [s0] "+x"(sums[r][0]), [s1] "+x"(sums[r][1]), [row] "=&x"(row), [pairs] "=&x"(pairs)
            : [four] "m"(*reinterpret_cast<const int8_t(*)[4]>(four)), [ones] "m"(ones), [w0] "x"(w0), [w1] "x"(w1));
      }
    }
    a += 4 * count;
    lower += 4 * count;
  };
  int64_t k = 0;
  for (; k + 16 <= depth; k += 16) steps(4);
  for (; k < depth; k += 4) steps(1);
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) std::memcpy(c + r * c_stride + v * LANES, &sums[r][v], sizeof(__m256i));
}

const KernelTable kernel_table{
    Isa::avx2,
    {rows, columns, 1, 256, DType::f32, DType::f32, tile_f32<rows, vectors, float>, pack_rows<columns, float>},
    {rows, columns, unrolled, 256, DType::f32, DType::bf16, tile_f32<rows, vectors, BfloatPair>, pack_pairs<columns>},
    {rows, columns, 4, 1024, DType::i8, 64, 64, tile_int8, pack_bytes<columns, 4, 64>},
    epilogue,
    norm,
    affine,
    channel_sums,
    rotate,
    activate,
    convert,
    add,
    quantize,
    dequantize,
    winograd_in,
    winograd_out};

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::avx2
