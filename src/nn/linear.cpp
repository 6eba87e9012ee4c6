#include "nn/linear.h"

#include "base/error.h"

namespace prax::nn {

namespace {

//! Elements from row to row of an activation with that many channels.
int64_t row_stride(const Tensor& x, int64_t channels) {
  const int64_t stride = x.dim(-1);
  if (stride != channels && stride != spread_stride(channels))
    throw Error(ErrorKind::internal,
                "rows of " + std::to_string(channels) + " channels were expected in a tensor " + to_string(x.shape()));
  return stride;
}

}  // namespace

Tensor empty_rows(int64_t rows, int64_t channels, DType dtype, RowLayout layout) {
  return Tensor::empty({rows, layout == RowLayout::spread ? spread_stride(channels) : channels}, dtype);
}

Tensor load_f32(const checkpoint::Weights& weights, std::string_view name, const Shape& shape) {
  const Tensor stored = weights.tensor(name, shape);
  checkpoint::require_floating(stored, weights.path(name));
  if (!stored.has_storage()) return Tensor::meta(shape, DType::f32);
  checkpoint::require_finite(stored, weights.path(name));
  return stored.dtype() == DType::f32 ? stored.clone() : stored.to(DType::f32);
}

Linear::Linear(const checkpoint::Weights& weights, int64_t in, int64_t out, bool bias, DType dtype, Residency residency)
    : Linear(std::vector{weights}, in, {out}, bias, dtype, residency) {}

Linear::Linear(const std::vector<checkpoint::Weights>& weights, int64_t in, const std::vector<int64_t>& outs, bool bias,
               DType dtype, Residency residency)
    : in_(in), dtype_(dtype), residency_(residency) {
  std::vector<Tensor> biases;
  for (size_t i = 0; i < weights.size(); ++i) {
    weights_.push_back(weights[i].tensor("weight", {outs[i], in}));
    names_.push_back(weights[i].path("weight"));
    checkpoint::require_floating(weights_.back(), names_.back());
    if (bias) biases.push_back(load_f32(weights[i], "bias", {outs[i]}));
    out_ += outs[i];
  }
  if (bias && biases[0].has_storage()) bias_ = biases.size() == 1 ? biases[0] : Tensor::concat(biases, 0);
}

void Linear::pack() const {
  for (size_t i = 0; i < weights_.size(); ++i) checkpoint::require_finite(weights_[i], names_[i]);
  if (weights_.size() == 1) {
    packed_ = kernels::PackedMatrix::pack(weights_[0], dtype_);
    return;
  }
  std::vector<Tensor> parts;
  for (const Tensor& w : weights_) parts.push_back(w.to(dtype_));
  packed_ = kernels::PackedMatrix::pack(Tensor::concat(parts, 0), dtype_);
}

void Linear::into(const Tensor& x, Tensor& out, const Fusion& fusion) const {
  const int64_t stride = row_stride(x, in_), rows = x.numel() / stride, out_stride = row_stride(out, out_);
  if (out.numel() != rows * out_stride)
    throw Error(ErrorKind::internal, "a linear layer of " + std::to_string(in_) + " to " + std::to_string(out_) +
                                         " was given " + to_string(x.shape()) + " for " + to_string(out.shape()));
  kernels::Epilogue e;
  e.bias = bias_.defined() ? bias_.data<float>() : nullptr;
  e.activation = fusion.activation;
  if (fusion.factor) {
    e.factor = fusion.factor->raw();
    e.factor_stride = row_stride(*fusion.factor, out_);
  }
  e.gate = fusion.gate;
  e.gate_stride = fusion.gate_stride;
  if (fusion.residual) {
    e.residual = fusion.residual->data<float>();
    e.residual_stride = row_stride(*fusion.residual, out_);
  }
  e.out = out.raw();
  e.out_dtype = out.dtype();
  e.out_stride = out_stride;
  if (residency_ == Residency::streamed) {
    // Stacked weights are products of their own side by side.
    kernels::Epilogue part = e;
    int64_t column = 0;
    for (size_t i = 0; i < weights_.size(); ++i) {
      checkpoint::require_finite(weights_[i], names_[i]);
      part.out = static_cast<char*>(e.out) + static_cast<size_t>(column) * size_of(e.out_dtype);
      if (e.bias) part.bias = e.bias + column;
      kernels::matmul_streamed(x.raw(), x.dtype(), rows, stride, weights_[i], dtype_, part);
      column += weights_[i].dim(0);
    }
    return;
  }
  if (!packed_.defined()) pack();
  kernels::matmul(x.raw(), x.dtype(), rows, stride, packed_, e);
}

Tensor Linear::operator()(const Tensor& x, DType out_dtype, const Fusion& fusion, RowLayout layout) const {
  Tensor out = empty_rows(x.numel() / x.dim(-1), out_, out_dtype, layout);
  into(x, out, fusion);
  return out;
}

}  // namespace prax::nn
