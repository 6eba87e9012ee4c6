// The transforms of Winograd's minimal filtering F(2x2, 3x3) (see convolution.h).

#pragma once

#include <algorithm>

#include "kernels/common/vector.inl"

namespace {

//! B^T (d0 d1 d2 d3) = (d0 - d2, d1 + d2, d2 - d1, d1 - d3)
struct Filtered {
  Floats v[4];
};

inline Filtered filtered(Floats d0, Floats d1, Floats d2, Floats d3) { return {{d0 - d2, d1 + d2, d2 - d1, d1 - d3}}; }

//! One channel vector of a run of patches: patches overlap by two columns, whose vertical part is kept. `read(y, x)`
//! gives a pixel's vector, `write(tap, patch, v)` takes a result.
template <typename Read, typename Write>
inline void filter_run(int64_t patches, Read&& read, Write&& write) {
  const auto column = [&](int64_t x) { return filtered(read(0, x), read(1, x), read(2, x), read(3, x)); };
  Filtered a = column(0), b = column(1);
  for (int64_t patch = 0; patch < patches; ++patch) {
    const Filtered c = column(2 * patch + 2), d = column(2 * patch + 3);
#pragma GCC unroll 4
    for (int y = 0; y < 4; ++y) {
      const Filtered row = filtered(a.v[y], b.v[y], c.v[y], d.v[y]);
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) write(y * 4 + x, patch, row.v[x]);
    }
    a = c;
    b = d;
  }
}

template <typename In, typename Out>
void patches_in(const In* pixels, int64_t pixel_stride, int64_t row_stride, int64_t patches, int64_t channels,
                int64_t depth, Out* out, int64_t patch_stride, int64_t tap_stride) {
  const auto place = [&](int64_t tap, int64_t patch) { return out + tap * tap_stride + patch * patch_stride; };
  int64_t c = 0;
  for (; c + LANES <= channels; c += LANES)
    filter_run(
        patches, [&](int64_t y, int64_t x) { return load(pixels + y * row_stride + x * pixel_stride + c); },
        [&](int64_t tap, int64_t patch, Floats v) { store(place(tap, patch) + c, v); });
  if (c < channels)
    filter_run(
        patches,
        [&](int64_t y, int64_t x) { return load_some(pixels + y * row_stride + x * pixel_stride + c, channels - c); },
        [&](int64_t tap, int64_t patch, Floats v) { store_some(place(tap, patch) + c, v, channels - c); });
  if (depth > channels)
    for (int64_t tap = 0; tap < 16; ++tap)
      for (int64_t patch = 0; patch < patches; ++patch)
        std::fill(place(tap, patch) + channels, place(tap, patch) + depth, Out{});
}

void winograd_in(const void* pixels, DType dtype, int64_t pixel_stride, int64_t row_stride, int64_t patches,
                 int64_t channels, int64_t depth, void* out, DType out_dtype, int64_t patch_stride,
                 int64_t tap_stride) {
  const auto to = [&](const auto* in, auto* values) {
    patches_in(in, pixel_stride, row_stride, patches, channels, depth, values, patch_stride, tap_stride);
  };
  if (dtype == DType::f32) return to(static_cast<const float*>(pixels), static_cast<float*>(out));
  const auto* rounded = static_cast<const uint16_t*>(pixels);
  if (out_dtype == DType::f32) return to(rounded, static_cast<float*>(out));
  to(rounded, static_cast<uint16_t*>(out));
}

//! A^T (m0 m1 m2 m3) = (m0 + m1 + m2, m1 - m2 - m3)
template <typename Product, typename Finish>
inline void pixels_of(Product&& product, Finish&& finish) {
  Floats top[4], bottom[4];
#pragma GCC unroll 4
  for (int x = 0; x < 4; ++x) {
    const Floats m1 = product(4 + x), m2 = product(8 + x);
    top[x] = product(x) + m1 + m2;
    bottom[x] = m1 - m2 - product(12 + x);
  }
  finish(0, 0, top[0] + top[1] + top[2]);
  finish(0, 1, top[1] - top[2] - top[3]);
  finish(1, 0, bottom[0] + bottom[1] + bottom[2]);
  finish(1, 1, bottom[1] - bottom[2] - bottom[3]);
}

template <typename Residual>
void patch_out(const float* products, int64_t tap_stride, int64_t columns, const float* bias, const Residual* residual,
               int64_t height, int64_t width, float* out, int64_t out_pixel, int64_t out_row) {
  for_vectors(
      columns,
      [&](int64_t i) {
        pixels_of([&](int64_t tap) { return load(products + tap * tap_stride + i); },
                  [&](int64_t y, int64_t x, Floats v) {
                    if (y >= height || x >= width) return;
                    const int64_t at = y * out_row + x * out_pixel + i;
                    if (bias) v += load(bias + i);
                    if (residual) v += load(residual + at);
                    store(out + at, v);
                  });
      },
      [&](int64_t i, int64_t n) {
        pixels_of([&](int64_t tap) { return load_some(products + tap * tap_stride + i, n); },
                  [&](int64_t y, int64_t x, Floats v) {
                    if (y >= height || x >= width) return;
                    const int64_t at = y * out_row + x * out_pixel + i;
                    if (bias) v += load_some(bias + i, n);
                    if (residual) v += load_some(residual + at, n);
                    store_some(out + at, v, n);
                  });
      });
}

void winograd_out(const float* products, int64_t tap_stride, int64_t columns, const float* bias, const void* residual,
                  DType residual_dtype, int64_t height, int64_t width, float* out, int64_t out_pixel, int64_t out_row) {
  if (residual_dtype == DType::f32)
    return patch_out(products, tap_stride, columns, bias, static_cast<const float*>(residual), height, width, out,
                     out_pixel, out_row);
  patch_out(products, tap_stride, columns, bias, static_cast<const uint16_t*>(residual), height, width, out, out_pixel,
            out_row);
}

}  // namespace
