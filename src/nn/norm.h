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

//! x / sqrt(mean(x^2) + eps) * weight, [channels] f32, which must outlive it.
inline Norm rms_norm(const Tensor& weight, float eps) { return {.eps = eps, .weight = weight.data<float>()}; }

//! x [rows, channels] -> [rows, channels] of out_dtype.
Tensor normalize(const Tensor& x, const Norm& norm, DType out_dtype, RowLayout layout = RowLayout::dense);

}  // namespace prax::nn
