#include "models/text/t5_encoder.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "kernels/attention.h"
#include "nn/activation.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models {

namespace {

//! T5's scores are not scaled, so that rounding queries and keys costs more than elsewhere: what flows between its
//! products stays f32 (there are few tokens), and only the products' inputs are rounded.
constexpr DType t5_state_dtype = DType::f32;

}  // namespace

T5Config T5Config::from(const checkpoint::Config& config) {
  T5Config c{};
  c.vocab_size = config.get<int64_t>("vocab_size", 32128);
  c.d_model = config.get<int64_t>("d_model", 512);
  c.d_kv = config.get<int64_t>("d_kv", 64);
  c.d_ff = config.get<int64_t>("d_ff", 2048);
  c.num_layers = config.get<int64_t>("num_layers", 6);
  c.num_heads = config.get<int64_t>("num_heads", 8);
  c.relative_attention_num_buckets = config.get<int64_t>("relative_attention_num_buckets", 32);
  c.relative_attention_max_distance = config.get<int64_t>("relative_attention_max_distance", 128);
  c.layer_norm_epsilon = config.get<float>("layer_norm_epsilon", 1e-6f);
  const std::string projection = config.get<std::string>("feed_forward_proj", "relu");
  c.gated = projection.rfind("gated-", 0) == 0;
  std::string activation = c.gated ? projection.substr(6) : projection;
  // transformers reads "gated-gelu" as gelu_new, the tanh approximation, for backwards compatibility.
  if (projection == "gated-gelu") activation = "gelu_new";
  const auto known = nn::activation_named(activation);
  if (!known) nn::refuse_activation(config, "feed_forward_proj", projection, "T5 v1.1 encoders have \"gated-gelu\"");
  c.activation = *known;
  return c;
}

T5Encoder::T5Encoder(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(T5Config::from(config)), dtype_(dtype) {
  const T5Config& c = config_;
  const int64_t inner = c.num_heads * c.d_kv;
  const auto residency = nn::Residency::streamed;
  // One table under two names; files hold either or both.
  const Shape table{c.vocab_size, c.d_model};
  if (weights.contains("shared.weight")) embedding_ = weights.tensor("shared.weight", table);
  if (!embedding_.defined() || weights.contains("encoder.embed_tokens.weight"))
    embedding_ = weights.tensor("encoder.embed_tokens.weight", table);
  const checkpoint::Weights encoder = weights["encoder"];
  for (int64_t i = 0; i < c.num_layers; ++i) {
    const auto attention = encoder["block"][static_cast<int>(i)]["layer"][0];
    const auto feed_forward = encoder["block"][static_cast<int>(i)]["layer"][1];
    const auto self = attention["SelfAttention"], dense = feed_forward["DenseReluDense"];
    Layer layer;
    layer.qkv =
        nn::Linear({self["q"], self["k"], self["v"]}, c.d_model, {inner, inner, inner}, false, dtype, residency);
    layer.o = nn::Linear(self["o"], inner, c.d_model, false, dtype, residency);
    if (i == 0)
      relative_attention_bias_ =
          nn::load_f32(self["relative_attention_bias"], "weight", {c.relative_attention_num_buckets, c.num_heads});
    layer.norm_attention = nn::load_f32(attention["layer_norm"], "weight", {c.d_model});
    if (c.gated) {
      layer.wi = nn::Linear(dense["wi_0"], c.d_model, c.d_ff, false, dtype, residency);
      layer.wi_gate = nn::Linear(dense["wi_1"], c.d_model, c.d_ff, false, dtype, residency);
    } else {
      layer.wi = nn::Linear(dense["wi"], c.d_model, c.d_ff, false, dtype, residency);
    }
    layer.wo = nn::Linear(dense["wo"], c.d_ff, c.d_model, false, dtype, residency);
    layer.norm_feed_forward = nn::load_f32(feed_forward["layer_norm"], "weight", {c.d_model});
    layers_.push_back(std::move(layer));
  }
  final_norm_ = nn::load_f32(encoder["final_layer_norm"], "weight", {c.d_model});
}

Tensor T5Encoder::embed(const std::vector<std::vector<int64_t>>& ids) const {
  const int64_t batch = static_cast<int64_t>(ids.size()), tokens = static_cast<int64_t>(ids.at(0).size());
  Tensor hidden = Tensor::empty({batch * tokens, config_.d_model});
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t id = ids[static_cast<size_t>(b)][static_cast<size_t>(t)];
      if (id < 0 || id >= config_.vocab_size)
        throw Error(ErrorKind::checkpoint,
                    "the tokenizer made token " + std::to_string(id) + ", but the text encoder knows only " +
                        std::to_string(config_.vocab_size),
                    "tokenizer and text encoder are not from the same checkpoint");
      const Tensor row = embedding_.slice(id, id + 1).to(DType::f32);
      std::memcpy(hidden.data<float>() + (b * tokens + t) * config_.d_model, row.raw(), row.bytes());
    }
  return hidden;
}

//! T5Attention._relative_position_bucket (bidirectional): half of the buckets for each side; of these, half exact,
//! half logarithmic up to max_distance. -> [heads, tokens, tokens]
Tensor T5Encoder::position_bias(int64_t tokens) const {
  const int64_t heads = config_.num_heads, side = config_.relative_attention_num_buckets / 2, exact = side / 2;
  Tensor bias = Tensor::empty({heads, tokens, tokens});
  for (int64_t query = 0; query < tokens; ++query)
    for (int64_t key = 0; key < tokens; ++key) {
      const int64_t distance = std::abs(key - query);
      int64_t bucket = key > query ? side : 0;
      if (distance < exact) {
        bucket += distance;
      } else {
        const float ratio = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                            static_cast<float>(std::log(static_cast<double>(config_.relative_attention_max_distance) /
                                                        static_cast<double>(exact)));
        bucket += std::min(side - 1, exact + static_cast<int64_t>(ratio * static_cast<float>(side - exact)));
      }
      for (int64_t h = 0; h < heads; ++h)
        bias.data<float>()[(h * tokens + query) * tokens + key] =
            relative_attention_bias_.data<float>()[bucket * heads + h];
    }
  return bias;
}

void T5Encoder::attend(const Layer& layer, Tensor& hidden, const Tensor& bias, const Tensor& mask, int64_t batch,
                       int64_t tokens) const {
  const int64_t inner = config_.num_heads * config_.d_kv;
  const DType dtype = t5_state_dtype;
  nn::Norm norm;
  norm.eps = config_.layer_norm_epsilon;
  norm.weight = layer.norm_attention.data<float>();
  Tensor qkv = Tensor::empty({batch * tokens, 3 * inner}, dtype);
  layer.qkv.into(nn::normalize(hidden, norm, dtype), qkv);
  Tensor attended = Tensor::empty({batch * tokens, inner}, dtype);
  const auto part = [&](int64_t i) {
    return kernels::AttentionOperand{
        static_cast<const char*>(qkv.raw()) + static_cast<size_t>(i * inner) * size_of(dtype), tokens * 3 * inner,
        3 * inner, config_.d_kv};
  };
  kernels::AttentionArguments a;
  a.shape = {batch, config_.num_heads, tokens, tokens, config_.d_kv};
  a.dtype = dtype;
  a.query = part(0);
  a.key = part(1);
  a.value = part(2);
  a.out = attended.raw();
  a.out_batch_stride = tokens * inner;
  a.out_token_stride = inner;
  a.out_head_stride = config_.d_kv;
  a.scale = 1.0f;  // T5 folds the scale into its initialisation
  a.score_bias = bias.data<float>();
  a.key_bias = mask.defined() ? mask.data<float>() : nullptr;
  kernels::attention(a);
  nn::Fusion add;
  add.residual = &hidden;
  layer.o.into(attended, hidden, add);
}

void T5Encoder::feed_forward(const Layer& layer, Tensor& hidden) const {
  const DType dtype = t5_state_dtype;
  nn::Norm norm;
  norm.eps = config_.layer_norm_epsilon;
  norm.weight = layer.norm_feed_forward.data<float>();
  const Tensor x = nn::normalize(hidden, norm, dtype);
  nn::Fusion first;
  first.activation = config_.activation;
  Tensor gate;
  if (config_.gated) {
    gate = layer.wi_gate(x, dtype);
    first.factor = &gate;
  }
  const Tensor inner = layer.wi(x, dtype, first);
  nn::Fusion add;
  add.residual = &hidden;
  layer.wo.into(inner, hidden, add);
}

Tensor T5Encoder::operator()(const std::vector<std::vector<int64_t>>& ids,
                             const std::vector<std::vector<int64_t>>& masks,
                             const std::function<void(int64_t, int64_t)>& on_layer) const {
  const int64_t batch = static_cast<int64_t>(ids.size()), tokens = static_cast<int64_t>(ids.at(0).size());
  Tensor hidden = embed(ids);
  const Tensor bias = position_bias(tokens);
  Tensor mask;
  if (!masks.empty()) {
    mask = Tensor::zeros({batch, tokens});
    for (int64_t b = 0; b < batch; ++b) {
      const auto& row = masks.at(static_cast<size_t>(b));
      // Where all is masked the reference's large finite number leaves all tokens alike.
      const bool nothing = std::all_of(row.begin(), row.end(), [](int64_t m) { return m == 0; });
      const float masked = nothing ? std::numeric_limits<float>::lowest() : -INFINITY;
      for (int64_t t = 0; t < tokens; ++t)
        if (row.at(static_cast<size_t>(t)) == 0) mask.data<float>()[b * tokens + t] = masked;
    }
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    attend(layers_[i], hidden, bias, mask, batch, tokens);
    feed_forward(layers_[i], hidden);
    if (on_layer) on_layer(static_cast<int64_t>(i) + 1, static_cast<int64_t>(layers_.size()));
  }
  nn::Norm norm;
  norm.eps = config_.layer_norm_epsilon;
  norm.weight = final_norm_.data<float>();
  return nn::normalize(hidden, norm, DType::f32).view({batch, tokens, config_.d_model});
}

}  // namespace prax::models
