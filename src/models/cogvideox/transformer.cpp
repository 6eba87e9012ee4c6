#include "models/cogvideox/transformer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "kernels/attention.h"
#include "nn/embeddings.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models::cogvideox {

namespace {

constexpr float qk_norm_eps = 1e-6f;  // CogVideoXBlock
//! Tokens of one piece of a feed-forward, whose inner values are four times as wide as the model.
constexpr int64_t feed_forward_tokens = 8192;

constexpr auto spread = nn::RowLayout::spread;

const float* data_or_null(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

}  // namespace

Transformer::TimeEmbedding Transformer::time_embedding(const checkpoint::Weights& weights, int64_t sinusoids,
                                                       int64_t channels) const {
  return {sinusoids, nn::Linear(weights["linear_1"], sinusoids, channels, true, dtype_),
          nn::Linear(weights["linear_2"], channels, channels, true, dtype_)};
}

Transformer::LayerNorm Transformer::layer_norm(const checkpoint::Weights& weights) const {
  if (!config_.norm_elementwise_affine) return {};
  const int64_t dim = config_.inner_dim();
  return {nn::load_f32(weights, "weight", {dim}), nn::load_f32(weights, "bias", {dim})};
}

Transformer::Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(TransformerConfig::from(config)), dtype_(dtype), patch_embed_(config_, weights["patch_embed"], dtype) {
  const TransformerConfig& c = config_;
  const int64_t dim = c.inner_dim(), head = c.attention_head_dim;
  time_ = time_embedding(weights["time_embedding"], dim, c.time_embed_dim);
  if (c.ofs_embed_dim > 0) ofs_ = time_embedding(weights["ofs_embedding"], c.ofs_embed_dim, c.ofs_embed_dim);
  const auto norm_zero = [&](const checkpoint::Weights& w, int64_t parts) {
    return NormZero{nn::Linear(w["linear"], c.time_embed_dim, parts * dim, true, dtype), layer_norm(w["norm"])};
  };
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto w = weights["transformer_blocks"][static_cast<int>(i)], attn = w["attn1"];
    Block b;
    b.norm1 = norm_zero(w["norm1"], 6);
    b.norm2 = norm_zero(w["norm2"], 6);
    b.qkv = nn::Linear({attn["to_q"], attn["to_k"], attn["to_v"]}, dim, {dim, dim, dim}, c.attention_bias, dtype);
    b.out = nn::Linear(attn["to_out"][0], dim, dim, true, dtype);
    b.norm_q = {nn::load_f32(attn["norm_q"], "weight", {head}), nn::load_f32(attn["norm_q"], "bias", {head})};
    b.norm_k = {nn::load_f32(attn["norm_k"], "weight", {head}), nn::load_f32(attn["norm_k"], "bias", {head})};
    b.up = nn::Linear(w["ff"]["net"][0]["proj"], dim, 4 * dim, true, dtype);
    b.down = nn::Linear(w["ff"]["net"][2], 4 * dim, dim, true, dtype);
    blocks_.push_back(std::move(b));
  }
  norm_final_ = layer_norm(weights["norm_final"]);
  norm_out_ = norm_zero(weights["norm_out"], 2);
  proj_out_ = nn::Linear(weights["proj_out"], dim, c.patch_values(c.out_channels), true, dtype);
}

void Transformer::release() {
  patch_embed_.release();
  for (nn::Linear* l :
       {&time_.linear_1, &time_.linear_2, &ofs_.linear_1, &ofs_.linear_2, &norm_out_.linear, &proj_out_})
    l->release();
  for (Block& b : blocks_)
    for (nn::Linear* l : {&b.norm1.linear, &b.norm2.linear, &b.qkv, &b.out, &b.up, &b.down}) l->release();
}

Rotary Transformer::rotary(int64_t frames, int64_t height, int64_t width) const {
  const TransformerConfig& c = config_;
  if (!c.use_rotary_positional_embeddings) return {};
  const int64_t p = c.patch_size, base_height = c.sample_height / p, base_width = c.sample_width / p;
  Grid grid{frames, height / p, width / p};
  if (c.patch_size_t == 0) return rotary_fitted(grid, base_height, base_width, c.attention_head_dim);
  grid.frames = (frames + c.patch_size_t - 1) / c.patch_size_t;
  if (grid.height > base_height || grid.width > base_width)
    throw Error(ErrorKind::usage,
                "the model has positions for pictures of up to " + std::to_string(c.sample_width) + "x" +
                    std::to_string(c.sample_height) + " latents, not for " + std::to_string(width) + "x" +
                    std::to_string(height),
                "choose a smaller width or height");
  return rotary_counted(grid, c.attention_head_dim);
}

//! linear_2(activation(linear_1(sinusoids)))
Tensor Transformer::embed(const TimeEmbedding& embedding, float value) const {
  nn::Fusion activated;
  activated.activation = config_.timestep_activation;
  const Tensor waves =
      nn::timestep_embedding(std::span(&value, 1), embedding.sinusoids, config_.flip_sin_to_cos, config_.freq_shift);
  return embedding.linear_2(embedding.linear_1(waves, DType::f32, activated), DType::f32);
}

//! The video's values come first in the modulation, its rows last in the sequence.
std::array<Transformer::Part, 2> Transformer::parts(const Tensor& modulation, const Tensor& x,
                                                    int64_t text_tokens) const {
  const int64_t dim = config_.inner_dim();
  const float *video = modulation.data<float>(), *text = video + 3 * dim;
  return {{{0, text_tokens, text, text + dim, text + 2 * dim},
           {text_tokens, x.dim(0), video, video + dim, video + 2 * dim}}};
}

//! norm(rows) * weight + bias, times (1 + scale), plus shift
Tensor Transformer::normalize(const Tensor& rows, const LayerNorm& norm, const float* shift, const float* scale,
                              DType dtype) const {
  nn::Norm n;
  n.rms = false;
  n.eps = config_.norm_eps;
  n.weight = data_or_null(norm.weight);
  n.bias = data_or_null(norm.bias);
  n.shift = shift;
  n.scale = scale;
  return nn::normalize(rows, n, dtype, spread);
}

//! Query and key of each head: layer norm, then rotary positions of the video's tokens.
void Transformer::norm_heads(const Block& block, Tensor& qkv, int64_t text_tokens, const Rotary& rotary) const {
  const int64_t heads = config_.num_attention_heads, head = config_.attention_head_dim, stride = qkv.dim(1);
  char* at = static_cast<char*>(qkv.raw());
  for (const LayerNorm* of : {&block.norm_q, &block.norm_k}) {
    nn::Norm norm;
    norm.rms = false;
    norm.eps = qk_norm_eps;
    norm.weight = of->weight.data<float>();
    norm.bias = of->bias.data<float>();
    char* video = at + static_cast<size_t>(text_tokens * stride) * size_of(qkv.dtype());
    nn::norm_rotate({at, qkv.dtype(), text_tokens, stride, heads, head}, &norm, nullptr);
    nn::norm_rotate({video, qkv.dtype(), qkv.dim(0) - text_tokens, stride, heads, head}, &norm,
                    rotary.defined() ? &rotary : nullptr);
    at += static_cast<size_t>(heads * head) * size_of(qkv.dtype());
  }
}

Tensor Transformer::attend(const Tensor& qkv) const {
  const int64_t dim = config_.inner_dim(), head = config_.attention_head_dim, tokens = qkv.dim(0);
  const size_t part = static_cast<size_t>(dim) * size_of(qkv.dtype());
  const char* q = static_cast<const char*>(qkv.raw());
  Tensor out = nn::empty_rows(tokens, dim, qkv.dtype(), spread);
  kernels::AttentionArguments a;
  a.shape = {1, config_.num_attention_heads, tokens, tokens, head};
  a.dtype = qkv.dtype();
  a.query = {q, 0, qkv.dim(1), head};
  a.key = {q + part, 0, qkv.dim(1), head};
  a.value = {q + 2 * part, 0, qkv.dim(1), head};
  a.out = out.raw();
  a.out_token_stride = out.dim(1);
  a.out_head_stride = head;
  a.scale = 1.0f / std::sqrt(static_cast<float>(head));
  a.integers = dtype_ == DType::i8;
  kernels::attention(a);
  return out;
}

//! x += gate * to_out(attention(rope(norm_q(q)), rope(norm_k(k)), v)) of norm1(x)
void Transformer::attention(const Block& block, Tensor& x, const Tensor& time, int64_t text_tokens,
                            const Rotary& rotary) const {
  const DType dtype = kernels::activation_dtype(dtype_);
  const Tensor modulation = block.norm1.linear(time, DType::f32);
  Tensor qkv = nn::empty_rows(x.dim(0), 3 * config_.inner_dim(), dtype, spread);
  for (const Part& part : parts(modulation, x, text_tokens)) {
    Tensor rows = qkv.slice(part.begin, part.end);
    block.qkv.into(normalize(x.slice(part.begin, part.end), block.norm1.norm, part.shift, part.scale, dtype), rows);
  }
  norm_heads(block, qkv, text_tokens, rotary);
  const Tensor attended = attend(qkv);
  for (const Part& part : parts(modulation, x, text_tokens)) {
    Tensor rows = x.slice(part.begin, part.end);
    nn::Fusion fusion;
    fusion.gate = part.gate;
    fusion.residual = &rows;
    block.out.into(attended.slice(part.begin, part.end), rows, fusion);
  }
}

//! x += gate * down(activation(up(norm2(x))))
void Transformer::feed_forward(const Block& block, Tensor& x, const Tensor& time, int64_t text_tokens) const {
  const DType dtype = kernels::activation_dtype(dtype_);
  const Tensor modulation = block.norm2.linear(time, DType::f32);
  nn::Fusion activated;
  activated.activation = config_.activation;
  for (const Part& part : parts(modulation, x, text_tokens))
    for (int64_t begin = part.begin; begin < part.end; begin += feed_forward_tokens) {
      Tensor rows = x.slice(begin, std::min(begin + feed_forward_tokens, part.end));
      const Tensor inner =
          block.up(normalize(rows, block.norm2.norm, part.shift, part.scale, dtype), dtype, activated, spread);
      nn::Fusion fusion;
      fusion.gate = part.gate;
      fusion.residual = &rows;
      block.down.into(inner, rows, fusion);
    }
}

//! A token's values run over channels, then frames, rows and columns of its patch.
Tensor Transformer::unpatchify(const Tensor& rows, const Grid& grid) const {
  const int64_t p = config_.patch_size, pt = config_.frames_of_patch(), channels = config_.out_channels;
  const int64_t height = grid.height * p, width = grid.width * p;
  Tensor out = Tensor::empty({grid.frames * pt, channels, height, width});
  parallel_for(grid.tokens(), 64, [&](int64_t begin, int64_t end) {
    const float* from = rows.data<float>() + begin * rows.dim(1);
    for (int64_t token = begin; token < end; ++token) {
      const int64_t t = token / (grid.height * grid.width) * pt;
      const int64_t y = token / grid.width % grid.height * p, x = token % grid.width * p;
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t a = 0; a < pt; ++a)
          for (int64_t i = 0; i < p; ++i, from += p)
            std::copy_n(from, p, out.data<float>() + (((t + a) * channels + c) * height + y + i) * width + x);
    }
  });
  return out;
}

Tensor Transformer::operator()(const Tensor& latents, const Tensor& text, float timestep, std::optional<float> ofs,
                               const Rotary& rotary, const std::function<void()>& on_block,
                               nn::BlockCache* cache) const {
  const TransformerConfig& c = config_;
  const int64_t text_tokens = text.dim(0);
  Tensor x = patch_embed_(latents, text);
  const Grid grid = patch_embed_.grid(latents);
  if (rotary.defined() && (rotary.cos.dim(0) != grid.tokens() || rotary.cos.dim(1) != c.attention_head_dim))
    throw Error(ErrorKind::internal, "positions " + to_string(rotary.cos.shape()) + " do not fit " +
                                         std::to_string(grid.tokens()) + " tokens");

  Tensor time = embed(time_, timestep);
  if (c.ofs_embed_dim > 0) {
    if (!ofs) throw Error(ErrorKind::internal, "the transformer needs a value of ofs");
    const Tensor of_ofs = embed(ofs_, *ofs);
    kernels::kernels().add(time.raw(), of_ofs.raw(), DType::f32, time.numel(), time.raw());
  }
  // Every norm takes silu of it.
  kernels::kernels().activate(time.raw(), DType::f32, time.numel(), kernels::Activation::silu, time.raw(), DType::f32);

  Tensor of_video = x.slice(text_tokens, x.dim(0));  // nothing behind the blocks sees the text
  if (cache) cache->before_first(of_video);
  for (const Block& block : blocks_) {
    attention(block, x, time, text_tokens, rotary);
    feed_forward(block, x, time, text_tokens);
    if (on_block) on_block();
    if (cache && &block == &blocks_.front() && !cache->needs_others(of_video)) break;
  }
  if (cache) cache->after_last(of_video);

  const Tensor modulation = norm_out_.linear(time, DType::f32);  // shift, scale
  nn::Norm final_norm;
  final_norm.rms = false;
  final_norm.eps = c.norm_eps;
  final_norm.weight = data_or_null(norm_final_.weight);
  final_norm.bias = data_or_null(norm_final_.bias);
  const Tensor video = nn::normalize(of_video, final_norm, DType::f32);
  const float* shift = modulation.data<float>();
  const Tensor rows = proj_out_(
      normalize(video, norm_out_.norm, shift, shift + c.inner_dim(), kernels::activation_dtype(dtype_)), DType::f32);
  return unpatchify(rows, grid);
}

}  // namespace prax::models::cogvideox
