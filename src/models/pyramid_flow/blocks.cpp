#include "models/pyramid_flow/blocks.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/attention.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models::pyramid_flow {

namespace {

constexpr float norm_eps = 1e-6f;
constexpr int64_t mlp_ratio = 4;
constexpr auto spread = nn::RowLayout::spread;

const float* data_or_null(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

//! Every token from the scope's on attends to those of its own time and before. qkv [tokens, 3 dim ...]; rows of `out`,
//! whose first is that of token scope.first, are `out_stride` elements apart.
void attend(const BlockShape& shape, const Sequence& sequence, const Scope& scope, const Tensor& qkv, void* out,
            int64_t out_stride) {
  const DType dtype = qkv.dtype();
  const int64_t stride = qkv.dim(1);
  const auto at = [&](const void* data, int64_t elements) {
    return static_cast<const char*>(data) + static_cast<size_t>(elements) * size_of(dtype);
  };
  for (const Sequence::Run& run : sequence.runs()) {
    if (run.begin < std::max(scope.first, scope.needed)) continue;
    kernels::AttentionArguments a;
    a.shape = {1, shape.heads, run.end - run.begin, run.end, shape.head_dim};
    a.dtype = dtype;
    a.query = {at(qkv.raw(), run.begin * stride), 0, stride, shape.head_dim};
    a.key = {at(qkv.raw(), shape.dim()), 0, stride, shape.head_dim};
    a.value = {at(qkv.raw(), 2 * shape.dim()), 0, stride, shape.head_dim};
    a.out = static_cast<char*>(out) + static_cast<size_t>((run.begin - scope.first) * out_stride) * size_of(dtype);
    a.out_token_stride = out_stride;
    a.out_head_stride = shape.head_dim;
    a.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    a.integers = shape.dtype == DType::i8;
    kernels::attention(a);
  }
}

//! Keys and values of the first tokens, between qkv [tokens, 3 dim ...] and rows [count, 2 dim].
void copy_keys_values(const BlockShape& shape, int64_t count, Tensor qkv, Tensor rows, bool to_rows) {
  const size_t element = size_of(qkv.dtype()), bytes = static_cast<size_t>(2 * shape.dim()) * element;
  const size_t stride = static_cast<size_t>(qkv.dim(1)) * element;
  char* keys = static_cast<char*>(qkv.raw()) + static_cast<size_t>(shape.dim()) * element;
  char* kept = static_cast<char*>(rows.raw());
  parallel_for(count, 16, [&](int64_t begin, int64_t end) {
    for (auto t = static_cast<size_t>(begin); t < static_cast<size_t>(end); ++t)
      if (to_rows) {
        std::memcpy(kept + t * bytes, keys + t * stride, bytes);
      } else {
        std::memcpy(keys + t * stride, kept + t * bytes, bytes);
      }
  });
}

void recall(const BlockShape& shape, const Scope& scope, const Tensor& qkv) {
  if (scope.first > 0) copy_keys_values(shape, scope.first, qkv, *scope.known, false);
}

void remember(const BlockShape& shape, const Scope& scope, const Tensor& qkv) {
  if (scope.keep <= scope.first) return;
  Tensor all = Tensor::empty({scope.keep, 2 * shape.dim()}, qkv.dtype());
  copy_keys_values(shape, scope.keep, qkv, all, true);
  *scope.known = all;
}

nn::Linear stacked(const checkpoint::Weights& weights, const char* q, const char* k, const char* v,
                   const BlockShape& shape) {
  const int64_t dim = shape.dim();
  return nn::Linear({weights[q], weights[k], weights[v]}, dim, {dim, dim, dim}, true, shape.dtype);
}

//! Norm and positions of the queries and keys of [rows, 3 dim ...].
void ready_heads(const BlockShape& shape, const PerHeadNorm& norm_q, const PerHeadNorm& norm_k, Tensor& qkv,
                 const Rotary& rotary, int64_t first) {
  nn::HeadRows rows{qkv.raw(), qkv.dtype(), qkv.dim(0), qkv.dim(1), shape.heads, shape.head_dim};
  norm_q(rows, rotary, first);
  rows.data = static_cast<char*>(rows.data) + static_cast<size_t>(shape.dim()) * size_of(qkv.dtype());
  norm_k(rows, rotary, first);
}

}  // namespace

Tensor modulated(const Tensor& x, const float* shift, const float* scale, DType dtype) {
  nn::Norm norm;
  norm.rms = false;
  norm.eps = norm_eps;
  norm.shift = shift;
  norm.scale = scale;
  return nn::normalize(x, norm, dtype, spread);
}

PerHeadNorm::PerHeadNorm(const checkpoint::Weights& weights, const BlockShape& shape) : shape_(shape) {
  if (shape.head_norm == HeadNorm::none) return;
  weight_ = nn::load_f32(weights, "weight", {shape.head_dim});
  if (shape.head_norm == HeadNorm::layer) bias_ = nn::load_f32(weights, "bias", {shape.head_dim});
}

void PerHeadNorm::operator()(const nn::HeadRows& rows, const Rotary& rotary, int64_t first) const {
  nn::Norm norm;
  norm.rms = shape_.head_norm == HeadNorm::rms;
  norm.eps = shape_.head_norm_eps;
  norm.weight = data_or_null(weight_);
  norm.bias = data_or_null(bias_);
  nn::norm_rotate(rows, shape_.head_norm == HeadNorm::none ? nullptr : &norm, &rotary, first);
}

JointBlock::JointBlock(const checkpoint::Weights& weights, const BlockShape& shape, const Names& names, bool last)
    : shape_(shape), last_(last) {
  const int64_t dim = shape.dim();
  const DType dtype = shape.dtype;
  const auto attn = weights["attn"];
  image_.modulation = Modulation(weights["norm1"], dim, 6, dtype);
  text_.modulation = Modulation(weights["norm1_context"], dim, last ? 2 : 6, dtype);
  image_.qkv = stacked(attn, "to_q", "to_k", "to_v", shape);
  text_.qkv = stacked(attn, "add_q_proj", "add_k_proj", "add_v_proj", shape);
  image_.norm_q = PerHeadNorm(attn["norm_q"], shape);
  image_.norm_k = PerHeadNorm(attn["norm_k"], shape);
  text_.norm_q = PerHeadNorm(attn[names.added_norm_q], shape);
  text_.norm_k = PerHeadNorm(attn[names.added_norm_k], shape);
  image_.out = nn::Linear(attn["to_out"][0], dim, dim, true, dtype);
  image_.up = nn::Linear(weights["ff"]["net"][0]["proj"], dim, mlp_ratio * dim, true, dtype);
  image_.down = nn::Linear(weights["ff"]["net"][2], mlp_ratio * dim, dim, true, dtype);
  if (last) return;
  text_.out = nn::Linear(attn["to_add_out"], dim, dim, true, dtype);
  text_.up = nn::Linear(weights["ff_context"]["net"][0]["proj"], dim, mlp_ratio * dim, true, dtype);
  text_.down = nn::Linear(weights["ff_context"]["net"][2], mlp_ratio * dim, dim, true, dtype);
}

void JointBlock::release() {
  for (Stream* s : {&image_, &text_}) {
    s->modulation.release();
    for (nn::Linear* l : {&s->qkv, &s->out, &s->up, &s->down}) l->release();
  }
}

//! qkv = the normed, modulated x through its product, heads made ready; `first` is the first row's token.
void JointBlock::project(const Stream& stream, const Tensor& x, const float* shift, const float* scale, Tensor qkv,
                         const Rotary& rotary, int64_t first) const {
  stream.qkv.into(modulated(x, shift, scale, qkv.dtype()), qkv);
  ready_heads(shape_, stream.norm_q, stream.norm_k, qkv, rotary, first);
}

//! x += gate * out(attended); x += gate' * down(gelu(up(norm(x)))). ada: shift, scale, gate, shift', scale', gate'.
void JointBlock::finish(const Stream& stream, const Tensor& attended, const float* ada, Tensor x) const {
  const int64_t dim = shape_.dim();
  nn::Fusion fusion;
  fusion.gate = ada + 2 * dim;
  fusion.residual = &x;
  stream.out.into(attended, x, fusion);
  nn::Fusion gelu;
  gelu.activation = kernels::Activation::gelu_tanh;
  const DType dtype = attended.dtype();
  const Tensor inner = stream.up(modulated(x, ada + 3 * dim, ada + 4 * dim, dtype), dtype, gelu, spread);
  fusion.gate = ada + 5 * dim;
  stream.down.into(inner, x, fusion);
}

void JointBlock::operator()(Tensor& x, const Tensor& silu_temb, const Sequence& sequence, const Rotary& rotary,
                            const Scope& scope) const {
  const int64_t dim = shape_.dim(), tokens = sequence.tokens(), text_tokens = sequence.text_tokens();
  const int64_t first = scope.first;
  const DType dtype = kernels::activation_dtype(shape_.dtype);
  const bool with_text = first < text_tokens;
  const auto rows = [first](const Tensor& t, int64_t begin, int64_t end) {
    return t.slice(begin - first, end - first);
  };

  Tensor attended = nn::empty_rows(tokens - first, dim, dtype, spread);
  const Tensor of_image = image_.modulation(silu_temb), of_text = with_text ? text_.modulation(silu_temb) : Tensor();
  const float *ada = of_image.data<float>(), *ada_text = data_or_null(of_text);
  {
    const Tensor qkv = nn::empty_rows(tokens, 3 * dim, dtype, spread);
    recall(shape_, scope, qkv);
    // The last block's text has a continuous norm: scale before shift, nothing behind the attention.
    if (with_text)
      project(text_, rows(x, 0, text_tokens), last_ ? ada_text + dim : ada_text, last_ ? ada_text : ada_text + dim,
              qkv.slice(0, text_tokens), rotary, 0);
    const int64_t image = std::max(first, text_tokens);
    project(image_, rows(x, image, tokens), ada, ada + dim, qkv.slice(image, tokens), rotary, image);
    attend(shape_, sequence, scope, qkv, attended.raw(), attended.dim(1));
    remember(shape_, scope, qkv);
  }
  const int64_t image = std::max({first, scope.needed, text_tokens});
  finish(image_, rows(attended, image, tokens), ada, rows(x, image, tokens));
  if (with_text && !last_ && scope.needed < text_tokens)
    finish(text_, rows(attended, 0, text_tokens), ada_text, rows(x, 0, text_tokens));
}

SingleBlock::SingleBlock(const checkpoint::Weights& weights, const BlockShape& shape) : shape_(shape) {
  const int64_t dim = shape.dim();
  const auto attn = weights["attn"];
  modulation_ = Modulation(weights["norm"], dim, 3, shape.dtype);
  qkv_ = stacked(attn, "to_q", "to_k", "to_v", shape);
  norm_q_ = PerHeadNorm(attn["norm_q"], shape);
  norm_k_ = PerHeadNorm(attn["norm_k"], shape);
  mlp_ = nn::Linear(weights["proj_mlp"], dim, mlp_ratio * dim, true, shape.dtype);
  out_ = nn::Linear(weights["proj_out"], (1 + mlp_ratio) * dim, dim, true, shape.dtype);
}

void SingleBlock::release() {
  modulation_.release();
  for (nn::Linear* l : {&qkv_, &mlp_, &out_}) l->release();
}

//! x += gate * out([attention(y), gelu(mlp(y))]) of y = norm(x)
void SingleBlock::operator()(Tensor& x, const Tensor& silu_temb, const Sequence& sequence, const Rotary& rotary,
                             const Scope& scope) const {
  const int64_t dim = shape_.dim(), tokens = sequence.tokens(), first = scope.first;
  const DType dtype = kernels::activation_dtype(shape_.dtype);
  const Tensor ada = modulation_(silu_temb);
  Tensor both = nn::empty_rows(tokens - first, (1 + mlp_ratio) * dim, dtype, spread);
  const int64_t begin_needed = std::max<int64_t>(0, scope.needed - first), end = tokens - first;
  {
    const Tensor y = modulated(x, ada.data<float>(), ada.data<float>() + dim, dtype);
    {
      const Tensor qkv = nn::empty_rows(tokens, 3 * dim, dtype, spread);
      recall(shape_, scope, qkv);
      Tensor own = qkv.slice(first, tokens);
      qkv_.into(y, own);
      ready_heads(shape_, norm_q_, norm_k_, own, rotary, first);
      attend(shape_, sequence, scope, qkv, both.raw(), both.dim(1));
      remember(shape_, scope, qkv);
    }
    nn::Fusion gelu;
    gelu.activation = kernels::Activation::gelu_tanh;
    const Tensor inner = mlp_(y.slice(begin_needed, end), dtype, gelu, spread);
    const size_t size = size_of(dtype), row = static_cast<size_t>(both.dim(1)) * size;
    parallel_for(end - begin_needed, 16, [&](int64_t from, int64_t to) {
      for (int64_t t = from; t < to; ++t)
        std::memcpy(static_cast<char*>(both.raw()) + static_cast<size_t>(begin_needed + t) * row +
                        static_cast<size_t>(dim) * size,
                    static_cast<const char*>(inner.raw()) + static_cast<size_t>(t * inner.dim(1)) * size,
                    static_cast<size_t>(mlp_ratio * dim) * size);
    });
  }
  nn::Fusion fusion;
  fusion.gate = ada.data<float>() + 2 * dim;
  Tensor needed = x.slice(begin_needed, end);
  fusion.residual = &needed;
  out_.into(both.slice(begin_needed, end), needed, fusion);
}

}  // namespace prax::models::pyramid_flow
