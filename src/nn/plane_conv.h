#pragma once

#include <span>
#include <string>

#include "checkpoint/weights.h"
#include "kernels/convolution.h"
#include "nn/frame.h"

namespace prax::nn {

//! A convolution with a 3x3 kernel over one picture, or 3x3x3 over three pictures in a row. Its inputs are planes, so
//! that nothing is copied for it; the weights are packed at first use. What comes before the first picture and behind
//! the last is the caller's choice. f32 products are taken tap by tap; others by Winograd's minimal filtering where
//! that is fewer.
class PlaneConv {
public:
  PlaneConv() = default;
  //! Reads "weight" [out, in, 3, 3], or [out, in, 3, 3, 3] where `pictures` is 3, and "bias" [out].
  PlaneConv(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t pictures, DType dtype);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  //! bf16 where products are not f32, on every ISA: planes are most of what decoding takes.
  DType plane_dtype() const { return dtype_ == DType::f32 ? DType::f32 : DType::bf16; }
  //! Elements from pixel to pixel of a plane.
  int64_t pitch() const;
  //! An input of that size. Only what lies between the pixels' channels and around the picture is zero.
  Plane plane(int64_t height, int64_t width) const;

  //! Pixel (y, x) of `out` is the sum over the kernel's taps (i, j) of pixel (stride y + first + i, stride x + first +
  //! j) of the bordered planes, plus the bias, plus the pixel of `residual` if there is one: the data of a frame like
  //! `out` (it may be that of `out` itself), or the same as bf16.
  //! stride 1, first 0: as large as the input; stride 2, first 1: half of it, with zeros to the right and below alone.
  void operator()(std::span<const Plane* const> planes, Frame& out, const Tensor* residual = nullptr,
                  int64_t stride = 1, int64_t first = 0) const;

  //! Drops the packed copies; the next use packs again.
  void release();

private:
  const kernels::MatmulKernel& kernel() const;
  int64_t chunks() const;
  int64_t chunk() const;
  bool by_winograd(int64_t height, int64_t width, int64_t stride) const;
  void pack_taps() const;
  void tap_by_tap(std::span<const Plane* const> planes, Frame& out, const Tensor* residual, int64_t stride,
                  int64_t first) const;

  int64_t in_ = 0, out_ = 0, pictures_ = 1;
  DType dtype_ = DType::f32;
  Tensor weight_, bias_;
  std::string name_;
  mutable kernels::PackedMatrix taps_;
  mutable kernels::WinogradWeights winograd_;
};

}  // namespace prax::nn
