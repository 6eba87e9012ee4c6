#pragma once

#include "kernels/kernels.h"
#include "nn/linear.h"
#include "tensor/tensor.h"

namespace prax::nn {

//! y = activation(norm(x) * weight + bias) * (1 + scale) + shift, row by row over the last dimension. The statistics
//! are f32. Pointers may be null; scale and shift are [channels], or one row a row of x with modulation_stride.
struct Norm {
  bool rms = true;  //!< x / sqrt(mean(x^2) + eps), else (x - mean) / sqrt(var + eps)
  float eps = 1e-6f;
  const float* weight = nullptr;
  const float* bias = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  int64_t modulation_stride = 0;
  kernels::Activation activation = kernels::Activation::none;
};

//! x [rows, channels] -> [rows, channels] of out_dtype.
Tensor normalize(const Tensor& x, const Norm& norm, DType out_dtype, RowLayout layout = RowLayout::dense);

//! Query or key rows ready for attention, in place: rms norm over all heads with a weight, then (with tables) rotary
//! positions on pairs: x' = x cos + (-x_odd, x_even) sin. Rows are `stride` elements apart.
//! cos, sin [rows, channels] f32, or null.
void norm_rotate(void* x, DType dtype, int64_t rows, int64_t channels, int64_t stride, float eps, const float* weight,
                 const float* cos, const float* sin);

}  // namespace prax::nn
