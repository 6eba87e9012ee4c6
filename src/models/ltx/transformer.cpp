#include "models/ltx/transformer.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "kernels/attention.h"
#include "nn/activation.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models::ltx {

namespace {

constexpr float qk_norm_eps = 1e-5f;  // LTXAttention
constexpr float norm_out_eps = 1e-6f;
constexpr float rope_theta = 10000.0f;
constexpr float rope_base[3] = {20.0f, 2048.0f, 2048.0f};  // frames, height, width

constexpr auto spread = nn::RowLayout::spread;

const float* data_or_null(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

}  // namespace

TransformerConfig TransformerConfig::from(const checkpoint::Config& config) {
  TransformerConfig c{};
  c.in_channels = config.get<int64_t>("in_channels", 128);
  c.out_channels = config.get<int64_t>("out_channels", 128);
  if (c.out_channels == 0) c.out_channels = c.in_channels;
  // The reference draws in_channels latent channels and gives a token in_channels values: larger patches cannot run.
  if (config.get<int64_t>("patch_size", 1) != 1 || config.get<int64_t>("patch_size_t", 1) != 1)
    config.refuse("patch_size and patch_size_t must be 1",
                  "published LTX-Video transformers take every latent pixel as a token");
  c.num_attention_heads = config.get<int64_t>("num_attention_heads", 32);
  c.attention_head_dim = config.get<int64_t>("attention_head_dim", 64);
  c.cross_attention_dim = config.get<int64_t>("cross_attention_dim", 2048);
  c.num_layers = config.get<int64_t>("num_layers", 28);
  c.caption_channels = config.get<int64_t>("caption_channels", 4096);
  c.norm_elementwise_affine = config.get<bool>("norm_elementwise_affine", false);
  c.norm_eps = config.get<float>("norm_eps", 1e-6f);
  c.attention_bias = config.get<bool>("attention_bias", true);
  c.attention_out_bias = config.get<bool>("attention_out_bias", true);
  c.activation = nn::read_activation(config, "activation_fn", "gelu-approximate",
                                     "published LTX-Video transformers have \"gelu-approximate\"");
  const auto qk_norm = config.get<std::string>("qk_norm", "rms_norm_across_heads");
  if (qk_norm != "rms_norm_across_heads")
    config.refuse("qk_norm \"" + qk_norm + "\" is not supported",
                  "LTX-Video transformers have \"rms_norm_across_heads\"");
  if (c.num_attention_heads < 1 || c.attention_head_dim < 1 || c.num_layers < 0 || c.in_channels < 1)
    config.refuse("a size is not positive", "download the file again");
  if (c.cross_attention_dim != c.inner_dim())
    config.refuse("cross_attention_dim is " + std::to_string(c.cross_attention_dim) +
                      ", but the captions are projected to " + std::to_string(c.inner_dim()),
                  "it must be num_attention_heads x attention_head_dim");
  return c;
}

Transformer::Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(TransformerConfig::from(config)), dtype_(dtype) {
  const TransformerConfig& c = config_;
  const int64_t dim = c.inner_dim();
  scale_shift_table_ = nn::load_f32(weights, "scale_shift_table", {2, dim});
  proj_in_ = nn::Linear(weights["proj_in"], c.in_channels, dim, true, dtype);
  const auto time = weights["time_embed"];
  time_embedder_ = nn::TimestepEmbedder(time["emb"]["timestep_embedder"], dim, dtype);
  time_linear_ = nn::Linear(time["linear"], dim, 6 * dim, true, dtype);
  const auto caption = weights["caption_projection"];
  caption_1_ = nn::Linear(caption["linear_1"], c.caption_channels, dim, true, dtype);
  caption_2_ = nn::Linear(caption["linear_2"], dim, dim, true, dtype);
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto w = weights["transformer_blocks"][static_cast<int>(i)];
    Block b;
    b.scale_shift_table = nn::load_f32(w, "scale_shift_table", {6, dim});
    if (c.norm_elementwise_affine) {
      b.norm1 = nn::load_f32(w["norm1"], "weight", {dim});
      b.norm2 = nn::load_f32(w["norm2"], "weight", {dim});
    }
    const auto attn1 = w["attn1"], attn2 = w["attn2"];
    b.self.q = nn::Linear({attn1["to_q"], attn1["to_k"], attn1["to_v"]}, dim, {dim, dim, dim}, c.attention_bias, dtype);
    b.cross.q = nn::Linear(attn2["to_q"], dim, dim, c.attention_bias, dtype);
    b.cross.kv = nn::Linear({attn2["to_k"], attn2["to_v"]}, c.cross_attention_dim, {dim, dim}, c.attention_bias, dtype);
    for (auto [attention, at] : {std::pair{&b.self, attn1}, std::pair{&b.cross, attn2}}) {
      attention->norm_q = nn::load_f32(at["norm_q"], "weight", {dim});
      attention->norm_k = nn::load_f32(at["norm_k"], "weight", {dim});
      attention->out = nn::Linear(at["to_out"][0], dim, dim, c.attention_out_bias, dtype);
    }
    b.up = nn::Linear(w["ff"]["net"][0]["proj"], dim, 4 * dim, true, dtype);
    b.down = nn::Linear(w["ff"]["net"][2], 4 * dim, dim, true, dtype);
    blocks_.push_back(std::move(b));
  }
  proj_out_ = nn::Linear(weights["proj_out"], dim, c.out_channels, true, dtype);
}

void Transformer::release() {
  for (nn::Linear* l : {&proj_in_, &caption_1_, &caption_2_, &time_linear_, &proj_out_}) l->release();
  for (Block& b : blocks_)
    for (nn::Linear* l : {&b.self.q, &b.self.out, &b.cross.q, &b.cross.kv, &b.cross.out, &b.up, &b.down}) l->release();
}

Rotary Transformer::rotary(int64_t frames, int64_t height, int64_t width, const float (&scale)[3]) const {
  Tensor coords = Tensor::empty({3, frames * height * width});
  float* f = coords.data<float>();
  float* y = f + coords.dim(1);
  float* x = y + coords.dim(1);
  for (int64_t i = 0; i < coords.dim(1); ++i) {
    f[i] = static_cast<float>(i / (height * width)) * scale[0];
    y[i] = static_cast<float>(i / width % height) * scale[1];
    x[i] = static_cast<float>(i % width) * scale[2];
  }
  return rotary(coords);
}

//! LTXVideoRotaryPosEmbed: angle = theta^(j / (n - 1)) pi/2 (2 coord / base - 1) for j in [0, n), n = dim / 6; a
//! token's channels run over j, then over the three axes, each angle twice; what dim / 6 leaves over stands in front
//! and does not turn.
Rotary Transformer::rotary(const Tensor& coords) const {
  const int64_t dim = config_.inner_dim(), tokens = coords.dim(1), n = dim / 6, rest = dim % 6;
  // torch.linspace in f32 from log_theta(1) to log_theta(theta), filled from both ends.
  std::vector<float> frequencies(static_cast<size_t>(n));
  const float step = n > 1 ? 1.0f / static_cast<float>(n - 1) : 0.0f;
  for (int64_t j = 0; j < n; ++j) {
    const float exponent = j < n / 2 ? step * static_cast<float>(j) : 1.0f - step * static_cast<float>(n - 1 - j);
    frequencies[static_cast<size_t>(j)] =
        std::pow(rope_theta, n > 1 ? exponent : 0.0f) * static_cast<float>(std::numbers::pi) / 2.0f;
  }
  Rotary r{Tensor::empty({tokens, dim}), Tensor::empty({tokens, dim})};
  parallel_for(tokens, 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* cos = r.cos.data<float>() + t * dim;
      float* sin = r.sin.data<float>() + t * dim;
      for (int64_t i = 0; i < rest; ++i) {
        *cos++ = 1.0f;
        *sin++ = 0.0f;
      }
      for (int64_t j = 0; j < n; ++j)
        for (int axis = 0; axis < 3; ++axis) {
          const float position = coords.data<float>()[axis * tokens + t] / rope_base[axis];
          const float angle = frequencies[static_cast<size_t>(j)] * (position * 2.0f - 1.0f);
          cos[0] = cos[1] = std::cos(angle);
          sin[0] = sin[1] = std::sin(angle);
          cos += 2;
          sin += 2;
        }
    }
  });
  return r;
}

Tensor Transformer::modulation(const Tensor& table, const Tensor& temb, int64_t parts) const {
  const int64_t dim = config_.inner_dim(), rows = temb.dim(0), width = temb.dim(1);
  Tensor out = Tensor::empty({rows, parts * dim});
  const float* t = table.data<float>();
  parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = 0; i < parts * dim; ++i)
        out.data<float>()[r * parts * dim + i] = t[i] + temb.data<float>()[r * width + i % width];
  });
  return out;
}

Tensor Transformer::attend(const Tensor& q, const void* k, const void* v, int64_t kv_stride, int64_t keys,
                           const float* key_bias) const {
  const int64_t dim = config_.inner_dim(), tokens = q.dim(0);
  Tensor out = nn::empty_rows(tokens, dim, q.dtype(), spread);
  kernels::AttentionArguments a;
  a.shape = {1, config_.num_attention_heads, tokens, keys, config_.attention_head_dim};
  a.dtype = q.dtype();
  a.query = {q.raw(), 0, q.dim(1), config_.attention_head_dim};
  a.key = {k, 0, kv_stride, config_.attention_head_dim};
  a.value = {v, 0, kv_stride, config_.attention_head_dim};
  a.out = out.raw();
  a.out_batch_stride = 0;
  a.out_token_stride = out.dim(1);
  a.out_head_stride = config_.attention_head_dim;
  a.scale = 1.0f / std::sqrt(static_cast<float>(config_.attention_head_dim));
  a.key_bias = key_bias;
  a.integers = dtype_ == DType::i8;
  kernels::attention(a);
  return out;
}

//! x += gate * to_out(attention(rope(norm_q(q)), rope(norm_k(k)), v)) of modulate(norm1(x))
void Transformer::self_attention(const Block& block, Tensor& x, const Tensor& ada, const Rotary& rotary) const {
  const int64_t dim = config_.inner_dim(), tokens = x.dim(0);
  const int64_t stride = ada.dim(0) > 1 ? ada.dim(1) : 0;
  const DType dtype = kernels::activation_dtype(dtype_);
  nn::Norm norm;
  norm.eps = config_.norm_eps;
  norm.weight = data_or_null(block.norm1);
  norm.shift = ada.data<float>();
  norm.scale = ada.data<float>() + dim;
  norm.modulation_stride = stride;
  Tensor qkv = block.self.q(nn::normalize(x, norm, dtype, spread), dtype, {}, spread);
  const int64_t row = qkv.dim(1);
  const size_t part = static_cast<size_t>(dim) * size_of(dtype);
  char* k = static_cast<char*>(qkv.raw()) + part;
  const nn::Norm norm_q = nn::rms_norm(block.self.norm_q, qk_norm_eps),
                 norm_k = nn::rms_norm(block.self.norm_k, qk_norm_eps);
  nn::norm_rotate({qkv.raw(), dtype, tokens, row, 1, dim}, &norm_q, &rotary);
  nn::norm_rotate({k, dtype, tokens, row, 1, dim}, &norm_k, &rotary);
  const Tensor attended = attend(qkv, k, k + part, row, tokens, nullptr);
  nn::Fusion fusion;
  fusion.gate = ada.data<float>() + 2 * dim;
  fusion.gate_stride = stride;
  fusion.residual = &x;
  block.self.out.into(attended, x, fusion);
}

//! x += to_out(attention(norm_q(q(x)), norm_k(k(text)), v(text)))
void Transformer::cross_attention(const Block& block, Tensor& x, const Tensor& text, const Tensor& key_bias) const {
  const int64_t dim = config_.inner_dim(), keys = text.dim(0);
  const DType dtype = kernels::activation_dtype(dtype_);
  Tensor q = block.cross.q(x, dtype, {}, spread);
  Tensor kv = block.cross.kv(text, dtype);
  const nn::Norm norm_q = nn::rms_norm(block.cross.norm_q, qk_norm_eps),
                 norm_k = nn::rms_norm(block.cross.norm_k, qk_norm_eps);
  nn::norm_rotate({q.raw(), dtype, x.dim(0), q.dim(1), 1, dim}, &norm_q, nullptr);
  nn::norm_rotate({kv.raw(), dtype, keys, 2 * dim, 1, dim}, &norm_k, nullptr);
  const char* v = static_cast<const char*>(kv.raw()) + static_cast<size_t>(dim) * size_of(dtype);
  const Tensor attended = attend(q, kv.raw(), v, 2 * dim, keys, key_bias.data<float>());
  nn::Fusion fusion;
  fusion.residual = &x;
  block.cross.out.into(attended, x, fusion);
}

//! x += gate * down(activation(up(modulate(norm2(x)))))
void Transformer::feed_forward(const Block& block, Tensor& x, const Tensor& ada) const {
  const int64_t dim = config_.inner_dim(), stride = ada.dim(0) > 1 ? ada.dim(1) : 0;
  const DType dtype = kernels::activation_dtype(dtype_);
  nn::Norm norm;
  norm.eps = config_.norm_eps;
  norm.weight = data_or_null(block.norm2);
  norm.shift = ada.data<float>() + 3 * dim;
  norm.scale = ada.data<float>() + 4 * dim;
  norm.modulation_stride = stride;
  nn::Fusion activated;
  activated.activation = config_.activation;
  const Tensor inner = block.up(nn::normalize(x, norm, dtype, spread), dtype, activated, spread);
  nn::Fusion fusion;
  fusion.gate = ada.data<float>() + 5 * dim;
  fusion.gate_stride = stride;
  fusion.residual = &x;
  block.down.into(inner, x, fusion);
}

Tensor Transformer::operator()(const Tensor& hidden, const Tensor& text, std::span<const int64_t> mask,
                               std::span<const float> timesteps, const Rotary& rotary,
                               const std::function<void()>& on_block, nn::BlockCache* cache) const {
  const int64_t dim = config_.inner_dim();
  const DType dtype = kernels::activation_dtype(dtype_);
  // A masked key gets -10000, as in the reference, not minus infinity.
  Tensor key_bias = Tensor::empty({text.dim(0)});
  for (int64_t i = 0; i < text.dim(0); ++i)
    key_bias.data<float>()[i] = (1.0f - static_cast<float>(mask[static_cast<size_t>(i)])) * -10000.0f;

  Tensor x = proj_in_(hidden, DType::f32);

  const Tensor embedded = time_embedder_(timesteps);
  Tensor silu = Tensor::empty(embedded.shape());
  kernels::kernels().activate(embedded.raw(), DType::f32, embedded.numel(), kernels::Activation::silu, silu.raw(),
                              DType::f32);
  const Tensor temb = time_linear_(silu, DType::f32);

  nn::Fusion gelu;
  gelu.activation = kernels::Activation::gelu_tanh;
  const Tensor captions = caption_2_(caption_1_(text, dtype, gelu), dtype);

  if (cache) cache->before_first(x);
  for (const Block& block : blocks_) {
    const Tensor ada = modulation(block.scale_shift_table, temb, 6);
    self_attention(block, x, ada, rotary);
    cross_attention(block, x, captions, key_bias);
    feed_forward(block, x, ada);
    if (on_block) on_block();
    if (cache && &block == &blocks_.front() && !cache->needs_others(x)) break;
  }
  if (cache) cache->after_last(x);

  const Tensor shift_scale = modulation(scale_shift_table_, embedded, 2);
  nn::Norm norm;
  norm.rms = false;
  norm.eps = norm_out_eps;
  norm.shift = shift_scale.data<float>();
  norm.scale = shift_scale.data<float>() + dim;
  norm.modulation_stride = shift_scale.dim(0) > 1 ? 2 * dim : 0;
  return proj_out_(nn::normalize(x, norm, dtype), DType::f32);
}

}  // namespace prax::models::ltx
