#include "nn/linear.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "base/error.h"
#include "checkpoint/quantization.h"

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

//! The scales of a weight that is stored as int8.
Tensor scales_of(const checkpoint::Weights& weights, int64_t out) {
  const std::string suffix = checkpoint::scale_name("weight");
  if (!weights.contains(suffix))
    throw Error(ErrorKind::checkpoint,
                "tensor \"" + weights.path("weight") + "\" is int8, but its scales \"" + weights.path(suffix) +
                    "\" are missing",
                "the checkpoint is incomplete, or quantized in a way that is not supported; use `prax quantize` on the "
                "original");
  const Tensor scales = load_f32(weights, suffix, {out});
  for (int64_t i = 0; i < (scales.has_storage() ? out : 0); ++i)
    if (scales.data<float>()[i] < 0)
      throw Error(ErrorKind::checkpoint,
                  "tensor \"" + weights.path(suffix) + "\" has the negative scale " +
                      std::to_string(scales.data<float>()[i]) + " at [" + std::to_string(i) + "]",
                  "the weights are damaged; make or download the file again");
  return scales;
}

}  // namespace

void Linear::Part::check() const {
  if (!checked) checkpoint::require_finite(weight, name);
  checked = true;
}

Tensor Linear::Part::plain() const { return scale.defined() ? kernels::dequantize_rows(weight, scale) : weight; }

//! W + sum of scale B A as f32.
Tensor Linear::Part::changed() const {
  if (changes.empty()) return plain();
  Tensor w = weight.dtype() == DType::f32 ? weight.clone() : plain().to(DType::f32);
  changes.add_to_weight(w);
  return w;
}

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
  keep_budget(weights.front(), std::accumulate(outs.begin(), outs.end(), int64_t{0}));
  for (size_t i = 0; i < weights.size(); ++i) {
    add_part(weights[i], {outs[i], in});
    if (bias) biases.push_back(load_f32(weights[i], "bias", {outs[i]}));
  }
  note(weights.front());
  if (!bias) {
    set_bias({});
  } else if (biases.size() == 1 || !biases[0].has_storage()) {
    set_bias(biases[0]);
  } else {
    set_bias(Tensor::concat(biases, 0));
  }
}

Linear Linear::of_patches(const checkpoint::Weights& weights, const Shape& kernel, bool bias, DType dtype) {
  Linear l;
  l.in_ = element_count(kernel) / kernel[0];
  l.dtype_ = dtype;
  l.keep_budget(weights, kernel[0]);
  l.add_part(weights, kernel);
  l.note(weights);
  l.set_bias(bias ? load_f32(weights, "bias", {l.out_}) : Tensor());
  return l;
}

std::array<Linear, 2> Linear::halves(const checkpoint::Weights& weights, int64_t in, int64_t out, bool bias,
                                     DType dtype) {
  Linear both;
  both.in_ = in;
  both.dtype_ = dtype;
  both.keep_budget(weights, 2 * out);
  both.add_part(weights, {2 * out, in});
  both.note(weights, 2);
  both.set_bias(bias ? load_f32(weights, "bias", {2 * out}) : Tensor());
  std::array<Linear, 2> halves{both, both};
  for (int64_t i = 0; i < 2; ++i) {
    Linear& l = halves[static_cast<size_t>(i)];
    const int64_t begin = i * out, end = begin + out;
    l.out_ = out;
    l.parts_[0].weight = both.parts_[0].weight.slice(begin, end);
    if (both.parts_[0].scale.defined()) l.parts_[0].scale = both.parts_[0].scale.slice(begin, end);
    l.parts_[0].changes = both.parts_[0].changes.outputs(begin, end);
    if (both.bias_.defined()) l.bias_ = both.bias_.slice(begin, end);
  }
  return halves;
}

void Linear::keep_budget(const checkpoint::Weights& weights, int64_t out) {
  if (residency_ == Residency::streamed || !weights.budget()) return;
  const auto bytes = static_cast<uint64_t>(out * in_) * size_of(dtype_);
  if (!weights.budget()->take(bytes)) residency_ = Residency::streamed;
}

void Linear::add_part(const checkpoint::Weights& weights, const Shape& shape) {
  const Tensor stored = weights.tensor("weight", shape);
  Part part{stored.view({shape[0], in_}), {}, weights.path("weight"), LowRank(weights, shape), {}};
  if (stored.dtype() == DType::i8) {
    part.scale = scales_of(weights, shape[0]);
  } else {
    checkpoint::require_floating(stored, part.name);
  }
  if (!part.changes.empty()) {
    using checkpoint::LoraMode;
    const LoraMode mode = weights.loras()->mode();
    on_the_fly_ = mode == LoraMode::on_the_fly || (mode == LoraMode::automatic && residency_ == Residency::streamed);
  }
  out_ += shape[0];
  parts_.push_back(std::move(part));
}

void Linear::note(const checkpoint::Weights& weights, int64_t pieces) const {
  checkpoint::ProductNote product{{}, in_, out_, pieces, dtype_};
  for (const Part& part : parts_) product.weights.push_back(part.name);
  weights.source().note_product(product);
}

void Linear::set_bias(Tensor bias) {
  if (bias.defined() && !bias.has_storage()) return;
  bias_ = std::move(bias);
  if (std::none_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.changes.has_bias(); })) return;
  if (!bias_.defined()) bias_ = Tensor::zeros({out_});
  int64_t begin = 0;
  for (const Part& part : parts_) {
    const int64_t end = begin + part.weight.dim(0);
    Tensor own = bias_.slice(begin, end);
    part.changes.add_to_bias(own);
    begin = end;
  }
}

void Linear::release() {
  packed_ = {};
  quantized_ = {};
  for (Part& part : parts_) {
    part.packed = {};
    part.changes.release();
  }
}

void Linear::pack() const {
  if (parts_.size() == 1) {
    packed_ = kernels::PackedMatrix::pack(parts_[0].changed(), wide_dtype(dtype_));
  } else {
    std::vector<Tensor> weights;
    for (const Part& part : parts_) weights.push_back(part.changed().to(wide_dtype(dtype_)));
    packed_ = kernels::PackedMatrix::pack(Tensor::concat(weights, 0), wide_dtype(dtype_));
  }
  for (const Part& part : parts_) {
    if (!packed_.finite()) part.check();
    part.weight.let_go();
  }
}

void Linear::pack_quantized() const {
  std::vector<Tensor> weights, scales;
  for (const Part& part : parts_) {
    part.check();
    const bool stored = part.scale.defined() && part.changes.empty();
    weights.push_back(stored ? part.weight : part.changed());
    scales.push_back(part.scale);
  }
  quantized_ = kernels::QuantizedMatrix::pack(weights, scales);
  for (const Part& part : parts_) part.weight.let_go();
  needs_wide_ = quantized_.error() > most_int8_error;
  if (needs_wide_) quantized_ = {};
}

void Linear::multiply_quantized(const Tensor& x, int64_t rows, int64_t stride, const kernels::Epilogue& e) const {
  constexpr int64_t together_bytes = int64_t{64} << 20;
  const int64_t together = std::max<int64_t>(1024, together_bytes / in_ / 1024 * 1024);
  for (int64_t first = 0; first < rows; first += together) {
    const int64_t count = std::min(together, rows - first);
    const char* from = static_cast<const char*>(x.raw()) + static_cast<size_t>(first * stride) * size_of(x.dtype());
    const kernels::QuantizedActivation quantized(from, x.dtype(), count, stride, in_);
    const auto is_even = [&](int64_t row) { return !(quantized.error(row) > most_int8_error); };
    for (int64_t begin = 0, end; begin < count; begin = end) {
      const bool even = is_even(begin);
      for (end = begin + 1; end < count && is_even(end) == even;) ++end;
      if (even) {
        kernels::matmul(quantized, begin, end - begin, quantized_, e.at(first + begin, 0));
      } else {
        const size_t offset = static_cast<size_t>(begin * stride) * size_of(x.dtype());
        multiply_wide(from + offset, x.dtype(), end - begin, stride, e.at(first + begin, 0));
      }
    }
  }
}

void Linear::multiply_wide(const void* x, DType x_dtype, int64_t rows, int64_t stride,
                           const kernels::Epilogue& e) const {
  int64_t column = 0;
  for (const Part& part : parts_) {
    kernels::matmul_streamed(x, x_dtype, rows, stride, part.changed(), wide_dtype(dtype_), e.at(0, column));
    column += part.weight.dim(0);
  }
}

void Linear::multiply(const Part& part, const Tensor& x, int64_t rows, int64_t stride,
                      const kernels::Epilogue& e) const {
  Tensor projected;
  std::optional<kernels::Addend> addend;
  if (on_the_fly_ && !part.changes.empty())
    addend = part.changes.addend(x, rows, stride, wide_dtype(dtype_), projected);
  const kernels::Addend* more = addend ? &*addend : nullptr;
  if (residency_ == Residency::packed) {
    if (!part.packed.defined()) {
      part.packed = kernels::PackedMatrix::pack(part.plain(), wide_dtype(dtype_));
      if (!part.packed.finite()) part.check();
      part.weight.let_go();
    }
    kernels::matmul(x.raw(), x.dtype(), rows, stride, part.packed, e, more);
  } else {
    const Tensor weight = on_the_fly_ ? part.plain() : part.changed();
    if (!kernels::matmul_streamed(x.raw(), x.dtype(), rows, stride, weight, wide_dtype(dtype_), e, more)) part.check();
    part.weight.let_go();
  }
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
  if (dtype_ == DType::i8 && !on_the_fly_ && !needs_wide_) {
    if (!quantized_.defined()) pack_quantized();
    if (!needs_wide_) {
      multiply_quantized(x, rows, stride, e);
      if (residency_ == Residency::streamed) quantized_ = {};
      return;
    }
  }
  if (residency_ == Residency::streamed || on_the_fly_) {
    // Stacked weights are products of their own side by side.
    int64_t column = 0;
    for (const Part& part : parts_) {
      multiply(part, x, rows, stride, e.at(0, column));
      column += part.weight.dim(0);
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
