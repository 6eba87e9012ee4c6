#pragma once

#include <cstdint>
#include <functional>

#include "kernels/kernels.h"
#include "tensor/tensor.h"

namespace prax::kernels {

//! A weight matrix W [n, k] in the layout of the ISA's kernel: panels of `columns` rows of W, each cut along k into
//! groups whose panel stays in L1. Packed for the ISA in use when it was made.
class PackedMatrix {
public:
  PackedMatrix() = default;
  //! From W [n, k], f32 or bf16 (other floating dtypes are converted), to `dtype` (f32 or bf16).
  static PackedMatrix pack(const Tensor& w, DType dtype);
  //! From rows of f32 or bf16 that are `stride` elements apart.
  static PackedMatrix pack(const void* rows, DType rows_dtype, int64_t stride, int64_t n, int64_t k, DType dtype);
  //! A matrix [n, groups * segments * depth] whose columns are made when they are packed: `fill` writes one row's
  //! group, [segments][depth] of `dtype`, for convolutions. It is called by several threads.
  using FillGroup = std::function<void(int64_t row, int64_t group, void* out)>;
  static PackedMatrix pack_groups(int64_t n, DType dtype, int64_t groups, int64_t segments, int64_t depth,
                                  const FillGroup& fill);

  bool defined() const { return n_ > 0; }
  int64_t rows() const { return n_; }
  int64_t depth() const { return k_; }
  DType dtype() const { return dtype_; }
  size_t bytes() const { return data_.bytes(); }
  //! Of what pack() packed: whether nothing in it is infinite or not a number.
  bool finite() const { return finite_; }
  const MatmulKernel& kernel() const { return dtype_ == DType::f32 ? kernels().f32 : kernels().bf16; }
  int64_t groups() const { return groups_; }
  int64_t segments() const { return segments_; }
  int64_t group_depth(int64_t group) const;   //!< real k in a group (of one segment, with taps)
  int64_t padded_depth(int64_t group) const;  //!< rounded up to the kernel's multiple
  const void* panel(int64_t panel, int64_t group) const;

private:
  int64_t n_ = 0, k_ = 0, groups_ = 0, segments_ = 1, depth_ = 0, panel_bytes_ = 0;
  DType dtype_ = DType::f32;
  bool finite_ = true;
  Tensor data_;
};

//! A second product into the same sums, A2 [m, r] and W2 [n, r]: the low-rank change of a weight, for one. It enters
//! before the epilogue without a matrix [m, n] in between, at the cost of r more columns of depth.
struct Addend {
  const void* a;
  DType a_dtype;
  int64_t a_stride;
  const PackedMatrix* w;  //!< of the dtype of the first product
};

//! out = epilogue(A W^T + addend), A [m, k] row-major with a_stride elements a row, of f32 or bf16. In the epilogue,
//! pointers are those of the whole matrix. Deterministic: the result does not depend on the number of threads.
void matmul(const void* a, DType a_dtype, int64_t m, int64_t a_stride, const PackedMatrix& w, const Epilogue& e,
            const Addend* addend = nullptr);

//! The same, to the bit, without a packed copy of W [n, k]: its rows are read where they lie, in a mapped file say. For
//! weights that are used once (text encoders), or that do not fit in memory packed. Returns whether all sums are
//! finite, as no row's are whose weights are not: reading W once more to see that would take as long as reading it.
bool matmul_streamed(const void* a, DType a_dtype, int64_t m, int64_t a_stride, const Tensor& w, DType dtype,
                     const Epilogue& e, const Addend* addend = nullptr);

}  // namespace prax::kernels
