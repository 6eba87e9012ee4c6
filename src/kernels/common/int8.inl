// int8: packing, quantising a row, turning exact sums back into f32; and the products of ISAs that have none of bytes.

#pragma once

#include <cmath>

#include "kernels/common/pairs.inl"

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

template <int ROWS, int VECTORS>
constexpr prax::kernels::ByteKernel byte_kernel_of_pairs{
    ROWS,
    VECTORS * LANES,
    2,
    512,
    DType::i16,
    127,
    0,
    tile_integers<ROWS, VECTORS, int16_t, int8_t>,
    pack_bytes<VECTORS * LANES, 2, 0>};

template <typename In, typename Out>
QuantizedRow quantize_row(const In* x, int64_t count, Out* out) {
  constexpr float most = 127.0f;
  Floats sizes{}, squares{};
  const auto look = [&](Floats v) {
    sizes = larger(sizes, magnitude(v));
    squares += v * v;
  };
  for_vectors(
      count, [&](int64_t i) { look(load(x + i)); }, [&](int64_t i, int64_t n) { look(load_some(x + i, n)); });
  const float peak = largest(sizes);
  QuantizedRow row{peak / most, 0, sum(squares)};
  if (!std::isfinite(row.squares)) {  // the scale makes every product of the row show it
    std::memset(out, 0, static_cast<size_t>(count) * sizeof(Out));
    return {NAN, 0, row.squares};
  }
  const float inverse = peak > 0 ? most / peak : 0;
  Ints sums{};
  for_vectors(
      count,
      [&](int64_t i) {
        const Ints q = rounded(load(x + i) * inverse);
        sums += q;
        store_integers(out + i, q);
      },
      [&](int64_t i, int64_t n) {
        const Ints q = rounded(load_some(x + i, n) * inverse);
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
