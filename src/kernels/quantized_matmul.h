#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace prax::kernels {

//! A weight matrix W [n, k] as int8 in the layout of the ISA's kernel: each row (output channel) has a scale of its
//! own, w = scale q with q in -127..127.
class QuantizedMatrix {
public:
  QuantizedMatrix() = default;
  //! From weights [n_i, k] of any floating dtype, stacked.
  static QuantizedMatrix pack(std::span<const Tensor> weights);

  bool defined() const { return n_ > 0; }
  int64_t rows() const { return n_; }
  int64_t depth() const { return k_; }
  //! Root mean square of what rounding takes away, over that of the weights.
  double error() const { return error_; }
  const float* scales() const { return scales_.data<float>(); }
  const void* panel(int64_t panel, int64_t group) const;

private:
  int64_t n_ = 0, k_ = 0, panel_bytes_ = 0;
  double error_ = 0;
  Tensor data_, scales_;
};

//! Rows of an activation as int8, each with a scale of its own.
class QuantizedActivation {
public:
  //! From x [m, k], f32 or bf16, x_stride elements from row to row.
  QuantizedActivation(const void* x, DType x_dtype, int64_t m, int64_t x_stride, int64_t k);

  int64_t depth() const { return k_; }
  //! As for weights, of one row: it tells whether a few large values leave nothing of the others.
  double error(int64_t row) const;
  const void* row(int64_t row) const;
  int64_t pitch() const { return pitch_; }  //!< elements from row to row
  const QuantizedRow* facts() const { return facts_.data(); }

private:
  int64_t k_, pitch_;
  Tensor data_;
  std::vector<QuantizedRow> facts_;
};

//! out = epilogue(A W^T) of rows [first, first + count) of A, with exact integer sums; row 0 of the epilogue is row
//! `first`. A row's result depends neither on the others nor on the number of threads.
void matmul(const QuantizedActivation& a, int64_t first, int64_t count, const QuantizedMatrix& w, const Epilogue& e);

}  // namespace prax::kernels
