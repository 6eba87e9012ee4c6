#pragma once

#include <vector>

#include "checkpoint/lora.h"
#include "checkpoint/weights.h"
#include "kernels/matmul.h"
#include "tensor/tensor.h"

namespace prax::nn {

//! The low-rank changes of one weight [out, in] by all LoRA files: W + sum of scale B A.
class LowRank {
public:
  LowRank() = default;
  //! Asks the LoRA files that come with the weights, if any, for what they change in "weight" of that shape, [out, in]
  //! or [out, ...kernel].
  LowRank(const checkpoint::Weights& weights, const Shape& shape);

  bool empty() const { return changes_.empty(); }
  //! The changes of the outputs [begin, end).
  LowRank outputs(int64_t begin, int64_t end) const;

  bool has_bias() const;
  //! bias [out] f32 += sum of scale * bias
  void add_to_bias(Tensor& bias) const;
  //! W [out, in] f32 += sum of scale B A, in f32.
  void add_to_weight(Tensor& weight) const;

  //! (sum of scale B A) x as a second product: x A^T [rows, ranks], which goes into `projected`, with B. The matrices
  //! are packed at the first use. `dtype` (f32 or bf16) is that of the products.
  kernels::Addend addend(const Tensor& x, int64_t rows, int64_t stride, DType dtype, Tensor& projected) const;
  //! Drops the packed matrices.
  void release() const { down_ = up_ = {}; }

private:
  std::vector<checkpoint::LoraChange> changes_;
  mutable kernels::PackedMatrix down_, up_;  //!< all A below each other, all scale B side by side
};

}  // namespace prax::nn
