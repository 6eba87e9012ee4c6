#pragma once

#include <array>
#include <string>
#include <vector>

#include "checkpoint/weights.h"
#include "kernels/matmul.h"
#include "kernels/quantized_matmul.h"
#include "nn/lora.h"
#include "tensor/tensor.h"

namespace prax::nn {

//! How long a layer's weights stay in memory in the kernel's layout.
enum class Residency {
  packed,   //!< packed at the first use, kept until release()
  streamed  //!< read each time, straight from the file: for weights that a run uses once, or has no memory for
};

//! How the rows of an activation follow each other.
enum class RowLayout {
  dense,  //!< [rows, channels]
  spread  //!< [rows, spread_stride(channels)]: a little apart, so that rows do not fall into the same cache sets
};

//! Elements from row to row in RowLayout::spread.
inline int64_t spread_stride(int64_t channels) { return channels % 256 == 0 ? channels + 32 : channels; }
Tensor empty_rows(int64_t rows, int64_t channels, DType dtype, RowLayout layout);

//! What is fused behind a product: y = activation(x W^T + b); y *= factor; y = residual + gate * y.
struct Fusion {
  kernels::Activation activation = kernels::Activation::none;
  const Tensor* factor = nullptr;  //!< of the output's shape (dense or spread) and dtype
  const float* gate = nullptr;     //!< [out], or [rows, out] with gate_stride elements a row
  int64_t gate_stride = 0;
  const Tensor* residual = nullptr;  //!< f32, of the output's shape
};

//! y = x W^T + b (torch.nn.Linear). Several weights of the same input width may be stacked into one product. Weights
//! that come with LoRA files are changed by them. A weight may be stored as int8: then "weight_scale" [out] f32 stands
//! beside "weight", and int8 products take both as they are.
//!
//! int8: weights have a scale for each output channel, activations one for each row, made when they come (W8A8 with
//! dynamic activations; Dettmers et al. 2022, arXiv:2208.07339). Where a few large values would take more from the
//! others than `most_int8_error`, in the weights or in a row, the product is one of bf16. So it is with weights that
//! LoRA files change on the fly.
class Linear {
public:
  Linear() = default;
  //! Root mean square of what rounding to int8 may take away, over that of the values. Normal values lose 0.01.
  static constexpr double most_int8_error = 0.05;

  //! Reads "weight" [out, in] and, if asked, "bias" [out]. `dtype` (f32, bf16 or i8) is that of the products.
  Linear(const checkpoint::Weights& weights, int64_t in, int64_t out, bool bias, DType dtype,
         Residency residency = Residency::packed);
  //! Stacked: the outputs stand side by side.
  Linear(const std::vector<checkpoint::Weights>& weights, int64_t in, const std::vector<int64_t>& outs, bool bias,
         DType dtype, Residency residency = Residency::packed);
  //! A convolution whose stride is its kernel, for patches that lie in rows: "weight" [out, ...patch] and, if asked,
  //! "bias" [out].
  static Linear of_patches(const checkpoint::Weights& weights, const Shape& kernel, bool bias, DType dtype);
  //! One stored product as two, its first and its second half of outputs (gated feed-forwards): "weight" [2 * out, in]
  //! and, if asked, "bias" [2 * out].
  static std::array<Linear, 2> halves(const checkpoint::Weights& weights, int64_t in, int64_t out, bool bias,
                                      DType dtype);

  int64_t in() const { return in_; }
  int64_t out() const { return out_; }

  //! x [..., in] (f32 or bf16, dense or spread) -> [rows, out] of `out_dtype`.
  Tensor operator()(const Tensor& x, DType out_dtype, const Fusion& fusion = {},
                    RowLayout layout = RowLayout::dense) const;
  //! The same into `out` [rows, out], dense or spread. `out` may be the residual.
  void into(const Tensor& x, Tensor& out, const Fusion& fusion = {}) const;

  //! Drops the packed copies; the next use packs again.
  void release();

private:
  struct Part {
    Tensor weight;  //!< [out, in], as stored
    Tensor scale;   //!< [out], where that is int8
    std::string name;
    LowRank changes;
    mutable kernels::PackedMatrix packed;  //!< where parts are products of their own
    mutable bool checked = false;          //!< for values that are not finite

    //! Once: throws where values are not finite.
    void check() const;
    //! The weight as floating-point numbers, without and with its changes.
    Tensor plain() const;
    Tensor changed() const;
  };

  //! Streams where the weights' budget has no room for a product of so many outputs.
  void keep_budget(const checkpoint::Weights& weights, int64_t out);
  void add_part(const checkpoint::Weights& weights, const Shape& shape);
  //! Tells the weights' source which of them make this product.
  void note(const checkpoint::Weights& weights, int64_t pieces = 1) const;
  //! Takes the bias of all outputs, and the changes of it.
  void set_bias(Tensor bias);
  void pack() const;
  void pack_quantized() const;
  void multiply_quantized(const Tensor& x, int64_t rows, int64_t stride, const kernels::Epilogue& e) const;
  //! Rows that int8 would take too much from.
  void multiply_wide(const void* x, DType x_dtype, int64_t rows, int64_t stride, const kernels::Epilogue& e) const;
  void multiply(const Part& part, const Tensor& x, int64_t rows, int64_t stride, const kernels::Epilogue& e) const;

  int64_t in_ = 0, out_ = 0;
  DType dtype_ = DType::f32;
  Residency residency_ = Residency::packed;
  bool on_the_fly_ = false;  //!< there are low-rank changes, and they stay out of the weights
  std::vector<Part> parts_;
  Tensor bias_;
  mutable kernels::PackedMatrix packed_;        //!< all parts
  mutable kernels::QuantizedMatrix quantized_;  //!< all parts
  mutable bool needs_wide_ = false;             //!< the weights lose too much as int8
};

//! A small tensor as f32 in memory (norm weights, biases, tables), checked to be floating and finite.
Tensor load_f32(const checkpoint::Weights& weights, std::string_view name, const Shape& shape);

}  // namespace prax::nn
