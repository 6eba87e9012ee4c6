#include "nn/lora.h"

#include <algorithm>

#include "tensor/parallel.h"

namespace prax::nn {

namespace {

//! scale * t as f32 in memory of its own.
Tensor scaled(const Tensor& t, float scale) {
  Tensor out = t.dtype() == DType::f32 ? t.clone() : t.to(DType::f32);
  for (float& value : out.span<float>()) value *= scale;
  return out;
}

}  // namespace

LowRank::LowRank(const checkpoint::Weights& weights, const Shape& shape) {
  if (weights.loras()) changes_ = weights.loras()->changes(weights.path(""), shape);
}

LowRank LowRank::outputs(int64_t begin, int64_t end) const {
  LowRank part;
  for (const checkpoint::LoraChange& c : changes_)
    part.changes_.push_back(
        {c.a, c.b.slice(begin, end), c.bias.defined() ? c.bias.slice(begin, end) : Tensor(), c.scale});
  return part;
}

bool LowRank::has_bias() const {
  return std::any_of(changes_.begin(), changes_.end(), [](const auto& change) { return change.bias.defined(); });
}

void LowRank::add_to_bias(Tensor& bias) const {
  for (const checkpoint::LoraChange& c : changes_) {
    if (!c.bias.defined()) continue;
    const Tensor more = scaled(c.bias, c.scale);
    kernels::kernels().add(bias.raw(), more.raw(), DType::f32, bias.numel(), bias.raw());
  }
}

void LowRank::add_to_weight(Tensor& weight) const {
  for (const checkpoint::LoraChange& c : changes_) {
    // W + B A is a product of its own: the rows of B times the columns of A, onto W.
    const Tensor b = scaled(c.b, c.scale);
    const auto a = kernels::PackedMatrix::pack(c.a.to(DType::f32).permute({1, 0}), DType::f32);
    kernels::Epilogue e;
    e.residual = weight.data<float>();
    e.residual_stride = weight.dim(1);
    e.out = weight.raw();
    e.out_stride = weight.dim(1);
    kernels::matmul(b.raw(), DType::f32, b.dim(0), b.dim(1), a, e);
  }
}

kernels::Addend LowRank::addend(const Tensor& x, int64_t rows, int64_t stride, DType dtype, Tensor& projected) const {
  if (!down_.defined()) {
    std::vector<Tensor> a, b;
    for (const checkpoint::LoraChange& c : changes_) {
      a.push_back(c.a.to(DType::f32));
      b.push_back(scaled(c.b, c.scale));
    }
    down_ = kernels::PackedMatrix::pack(Tensor::concat(a, 0), dtype);
    up_ = kernels::PackedMatrix::pack(Tensor::concat(b, 1), dtype);
  }
  projected = Tensor::empty({rows, down_.rows()}, kernels::activation_dtype(dtype));
  kernels::Epilogue e;
  e.out = projected.raw();
  e.out_dtype = projected.dtype();
  e.out_stride = down_.rows();
  kernels::matmul(x.raw(), x.dtype(), rows, stride, down_, e);
  return {projected.raw(), projected.dtype(), down_.rows(), &up_};
}

}  // namespace prax::nn
