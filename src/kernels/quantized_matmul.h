#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace prax::kernels {

//! What rounding took from rows that were put together, in their order.
struct QuantizationLoss {
  double error = 0, squares = 0;  //!< expected sum of squares of what is gone, and of the values
  void add(const QuantizedRow& row, int64_t count);
  //! Root mean square of what is gone, over that of the values.
  double relative() const;
};

//! A weight matrix [n, k] as int8 in the order of its rows: w = scale q.
struct QuantizedRows {
  Tensor bytes, scales;  //!< [n, k] i8, [n] f32
};
//! From W [n, k] of any floating dtype: the numbers that QuantizedMatrix::pack makes. Adds up what is lost.
QuantizedRows quantize_rows(const Tensor& w, QuantizationLoss& loss);
//! Back to numbers, [n, k] f32.
Tensor dequantize_rows(const Tensor& bytes, const Tensor& scales);

//! A weight matrix W [n, k] as int8 in the layout of the ISA's kernel: each row (output channel) has a scale of its
//! own, w = scale q with q in -127..127, or in a smaller range where the kernel wants it (ByteKernel::b_most).
class QuantizedMatrix {
public:
  QuantizedMatrix() = default;
  //! From weights [n_i, k] of any floating dtype, stacked. Those of i8 are taken as they are, with their `scales` (of
  //! the same index, [n_i] f32).
  static QuantizedMatrix pack(std::span<const Tensor> weights, std::span<const Tensor> scales = {});

  bool defined() const { return n_ > 0; }
  int64_t rows() const { return n_; }
  int64_t depth() const { return k_; }
  //! Root mean square of what rounding took away here, over that of the weights; 0 for i8 that is taken as it is.
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
