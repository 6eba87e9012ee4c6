#pragma once

#include "kernels/kernels.h"
#include "nn/norm.h"
#include "tensor/tensor.h"

namespace prax::nn {

//! One frame of a video inside a convolutional network: f32, channels last. Rows are two pixels wider than the
//! picture, so that a 3x3 convolution over a padded plane (see Plane) is a product over consecutive pixels; what the
//! two extra columns hold is undefined.
struct Frame {
  static constexpr int64_t extra_columns = 2;

  int64_t height = 0, width = 0, channels = 0;
  Tensor data;  //!< [height * (width + 2), channels]

  static Frame empty(int64_t height, int64_t width, int64_t channels);
  bool defined() const { return data.defined(); }
  int64_t row_pixels() const { return width + extra_columns; }
  float* pixel(int64_t y, int64_t x) { return data.data<float>() + (y * row_pixels() + x) * channels; }
  const float* pixel(int64_t y, int64_t x) const { return data.data<float>() + (y * row_pixels() + x) * channels; }
};

//! One frame made ready as a convolution's input: a border of one zero pixel, in the kernel's dtype, channels padded
//! to `pitch`, and readable slack behind the end.
struct Plane {
  //! Pixels readable behind the end of a plane with rows of so many: the kernels look at whole tiles of pixels, and a
  //! row too far.
  static constexpr int64_t slack(int64_t row_pixels) { return 64 + row_pixels; }

  int64_t height = 0, width = 0, pitch = 0;
  Tensor data;  //!< [(height + 2) * (width + 2) + slack(width + 2), pitch]

  static Plane zeros(int64_t height, int64_t width, int64_t pitch, DType dtype);
  int64_t row_pixels() const { return width + 2; }
  //! Elements from the start to the pixel (x, y) of the bordered picture.
  int64_t offset(int64_t y, int64_t x) const { return (y * row_pixels() + x) * pitch; }
};

//! A copy of `from` in another dtype, by all threads.
void convert(const Tensor& from, Tensor& to);

//! Writes a frame into the inside of a plane: through a norm (with its modulation and activation), or as it is.
void fill_plane(const Frame& frame, const Norm* norm, Plane& plane);

//! frame += noise[pixel] * scale[channel]; noise [height, width], scale [channels].
void add_noise(Frame& frame, const Tensor& noise, const float* scale);

//! Pixels of [height, width, channels] packed f32 data, and back.
Frame frame_from(const float* pixels, int64_t height, int64_t width, int64_t channels);

}  // namespace prax::nn
