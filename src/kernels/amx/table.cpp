#include <immintrin.h>

#include "kernels/amx/tiles.h"
#include "kernels/common/int8.inl"
#include "kernels/common/matmul.inl"
#include "kernels/common/rowwise.inl"

namespace prax::kernels::amx {

namespace {

constexpr int columns = 2 * LANES;

//! 32 x 32 products in four accumulator tiles; per 32 of k two tiles of A, two of B, four TDPBF16PS.
void tile_bf16(const void* a_raw, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
               const void* b_raw, float* c, int64_t c_stride, bool accumulate) {
  ensure_tiles();
  const int64_t c_bytes = c_stride * 4, a_bytes = a_stride * 2;
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, c + 16 * c_stride, c_bytes);
    _tile_loadd(3, c + 16 * c_stride + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const char* b = static_cast<const char*>(b_raw);
  for (int s = 0; s < segments; ++s) {
    const char* a = static_cast<const char*>(a_raw) + segment_offset[s] * 2;
    for (int64_t k = 0; k < depth; k += 32, a += 64, b += 16 * 128) {
      _tile_loadd(4, a, a_bytes);
      _tile_loadd(6, b, 128);
      _tile_loadd(7, b + 64, 128);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, a + 16 * a_bytes, a_bytes);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, c + 16 * c_stride, c_bytes);
  _tile_stored(3, c + 16 * c_stride + 16, c_bytes);
}

//! The same for int8 and TDPBSSD, 64 of k at a time.
void tile_int8(const void* a_raw, int64_t a_stride, int64_t depth, const void* b_raw, int32_t* c, int64_t c_stride,
               bool accumulate) {
  ensure_tiles();
  const int64_t c_bytes = c_stride * 4;
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 16, c_bytes);
    _tile_loadd(2, c + 16 * c_stride, c_bytes);
    _tile_loadd(3, c + 16 * c_stride + 16, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const char* a = static_cast<const char*>(a_raw);
  const char* b = static_cast<const char*>(b_raw);
  for (int64_t k = 0; k < depth; k += 64, a += 64, b += 16 * 128) {
    _tile_loadd(4, a, a_stride);
    _tile_loadd(6, b, 128);
    _tile_loadd(7, b + 64, 128);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(5, a + 16 * a_stride, a_stride);
    _tile_dpbssd(1, 4, 7);
    _tile_dpbssd(2, 5, 6);
    _tile_dpbssd(3, 5, 7);
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 16, c_bytes);
  _tile_stored(2, c + 16 * c_stride, c_bytes);
  _tile_stored(3, c + 16 * c_stride + 16, c_bytes);
}

const KernelTable kernel_table{
    Isa::amx,
    {14, columns, 1, 256, DType::f32, DType::f32, tile_f32<14, 2, float>, pack_rows<columns, float>},
    {32, columns, 32, 256, DType::bf16, DType::bf16, tile_bf16, pack_pairs<columns>},
    {32, columns, 64, 512, DType::i8, 0, tile_int8, pack_bytes<columns, 4, 0>},
    epilogue,
    norm,
    rotate,
    activate,
    convert,
    add,
    quantize,
    dequantize};

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::amx
