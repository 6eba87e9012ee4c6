#include <immintrin.h>

#include "kernels/amx/tiles.h"
#include "kernels/common/table.inl"

namespace prax::kernels::amx {

namespace {

constexpr int columns = 2 * LANES;

//! 32 x 32 products in four accumulator tiles: for 64 bytes of k two tiles of A, two of B, four products of bf16
//! (C is f32) or int8 (C is int32).
template <bool INT8>
void tile(const void* a_begin, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
          const void* b_begin, void* c_begin, int64_t c_stride, bool accumulate) {
  ensure_tiles();
  constexpr int64_t element = INT8 ? 1 : 2;
  const int64_t a_bytes = a_stride * element, c_bytes = c_stride * 4;
  const char* b = static_cast<const char*>(b_begin);
  char* c = static_cast<char*>(c_begin);
  if (accumulate) {
    _tile_loadd(0, c, c_bytes);
    _tile_loadd(1, c + 64, c_bytes);
    _tile_loadd(2, c + 16 * c_bytes, c_bytes);
    _tile_loadd(3, c + 16 * c_bytes + 64, c_bytes);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int s = 0; s < segments; ++s) {
    const char* a = static_cast<const char*>(a_begin) + segment_offset[s] * element;
    for (int64_t k = 0; k < depth; k += 64 / element, a += 64, b += 16 * 128) {
      _tile_loadd(4, a, a_bytes);
      _tile_loadd(6, b, 128);
      _tile_loadd(7, b + 64, 128);
      if constexpr (INT8) {
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(5, a + 16 * a_bytes, a_bytes);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
      } else {
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, a + 16 * a_bytes, a_bytes);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
    }
  }
  _tile_stored(0, c, c_bytes);
  _tile_stored(1, c + 64, c_bytes);
  _tile_stored(2, c + 16 * c_bytes, c_bytes);
  _tile_stored(3, c + 16 * c_bytes + 64, c_bytes);
}

void tile_bf16(const void* a, int64_t a_stride, const int64_t* segment_offset, int segments, int64_t depth,
               const void* b, float* c, int64_t c_stride, bool accumulate) {
  tile<false>(a, a_stride, segment_offset, segments, depth, b, c, c_stride, accumulate);
}

void tile_int8(const void* a, int64_t a_stride, int64_t depth, const void* b, int32_t* c, int64_t c_stride,
               bool accumulate) {
  const int64_t offset = 0;
  tile<true>(a, a_stride, &offset, 1, depth, b, c, c_stride, accumulate);
}

constexpr MatmulKernel bf16_kernel{32, columns, 32, 256, DType::bf16, DType::bf16, tile_bf16, pack_pairs<columns>};
constexpr ByteKernel byte_kernel{32, columns, 64, 512, DType::i8, 127, 0, tile_int8, pack_bytes<columns, 4, 0>};

constexpr KernelTable kernel_table = table_of(Isa::amx, f32_kernel<14, 2>, bf16_kernel, byte_kernel);

}  // namespace

const KernelTable& table() { return kernel_table; }

}  // namespace prax::kernels::amx
