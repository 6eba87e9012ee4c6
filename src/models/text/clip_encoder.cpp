#include "models/text/clip_encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "kernels/attention.h"
#include "nn/activation.h"
#include "nn/norm.h"
#include "tensor/parallel.h"

namespace prax::models {

namespace {

//! There are few tokens: what flows between the products stays f32.
constexpr DType clip_state_dtype = DType::f32;
constexpr int64_t old_eos_token_id = 2;

}  // namespace

ClipConfig ClipConfig::from(const checkpoint::Config& config) {
  ClipConfig c{};
  c.vocab_size = config.get<int64_t>("vocab_size", 49408);
  c.hidden_size = config.get<int64_t>("hidden_size", 512);
  c.intermediate_size = config.get<int64_t>("intermediate_size", 2048);
  c.projection_dim = config.get<int64_t>("projection_dim", 512);
  c.num_hidden_layers = config.get<int64_t>("num_hidden_layers", 12);
  c.num_attention_heads = config.get<int64_t>("num_attention_heads", 8);
  c.max_position_embeddings = config.get<int64_t>("max_position_embeddings", 77);
  c.eos_token_id = config.get<int64_t>("eos_token_id", 49407);
  c.layer_norm_eps = config.get<float>("layer_norm_eps", 1e-5f);
  c.activation =
      nn::read_activation(config, "hidden_act", "quick_gelu", "CLIP text encoders have \"quick_gelu\" or \"gelu\"");
  for (const int64_t size : {c.vocab_size, c.hidden_size, c.intermediate_size, c.num_attention_heads,
                             c.max_position_embeddings, c.projection_dim})
    if (size < 1) config.refuse("a size is not positive", "download the file again");
  if (c.hidden_size % c.num_attention_heads != 0)
    config.refuse("hidden_size " + std::to_string(c.hidden_size) + " is no multiple of its " +
                      std::to_string(c.num_attention_heads) + " attention heads",
                  "download the file again");
  return c;
}

ClipEncoder::ClipEncoder(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype,
                         bool projected)
    : config_(ClipConfig::from(config)), projected_(projected) {
  const ClipConfig& c = config_;
  const int64_t dim = c.hidden_size;
  const auto residency = nn::Residency::streamed;
  const auto model = weights["text_model"];
  const auto embeddings = model["embeddings"];
  token_embedding_ = embeddings.tensor("token_embedding.weight", {c.vocab_size, dim});
  checkpoint::require_floating(token_embedding_, embeddings.path("token_embedding.weight"));
  position_embedding_ = nn::load_f32(embeddings, "position_embedding.weight", {c.max_position_embeddings, dim});
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const auto w = model["encoder"]["layers"][static_cast<int>(i)];
    const auto attention = w["self_attn"];
    Layer layer;
    layer.norm1 = load_norm(w["layer_norm1"]);
    layer.norm2 = load_norm(w["layer_norm2"]);
    layer.qkv = nn::Linear({attention["q_proj"], attention["k_proj"], attention["v_proj"]}, dim, {dim, dim, dim}, true,
                           dtype, residency);
    layer.out = nn::Linear(attention["out_proj"], dim, dim, true, dtype, residency);
    layer.fc1 = nn::Linear(w["mlp"]["fc1"], dim, c.intermediate_size, true, dtype, residency);
    layer.fc2 = nn::Linear(w["mlp"]["fc2"], c.intermediate_size, dim, true, dtype, residency);
    layers_.push_back(std::move(layer));
  }
  final_norm_ = load_norm(model["final_layer_norm"]);
  if (projected) projection_ = nn::Linear(weights["text_projection"], dim, c.projection_dim, false, dtype, residency);
}

ClipEncoder::Norm ClipEncoder::load_norm(const checkpoint::Weights& weights) const {
  return {nn::load_f32(weights, "weight", {config_.hidden_size}), nn::load_f32(weights, "bias", {config_.hidden_size})};
}

Tensor ClipEncoder::normed(const Norm& norm, const Tensor& x) const {
  nn::Norm n;
  n.rms = false;
  n.eps = config_.layer_norm_eps;
  n.weight = norm.weight.data<float>();
  n.bias = norm.bias.data<float>();
  return nn::normalize(x, n, clip_state_dtype);
}

Tensor ClipEncoder::embed(const std::vector<std::vector<int64_t>>& ids) const {
  const int64_t batch = static_cast<int64_t>(ids.size()), tokens = static_cast<int64_t>(ids.at(0).size());
  const int64_t dim = config_.hidden_size;
  if (tokens < 1 || tokens > config_.max_position_embeddings)
    throw Error(ErrorKind::checkpoint,
                "a text of " + std::to_string(tokens) + " tokens does not fit a text encoder of " +
                    std::to_string(config_.max_position_embeddings) + " positions",
                "the tokenizer and the text encoder belong to different models; download both again");
  Tensor hidden = Tensor::empty({batch * tokens, dim});
  for (int64_t b = 0; b < batch; ++b) {
    const auto& row = ids[static_cast<size_t>(b)];
    if (static_cast<int64_t>(row.size()) != tokens)
      throw Error(ErrorKind::internal, "texts of different lengths were given to the text encoder");
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t id = row[static_cast<size_t>(t)];
      if (id < 0 || id >= config_.vocab_size)
        throw Error(ErrorKind::checkpoint,
                    "token " + std::to_string(id) + " is outside of the text encoder's vocabulary of " +
                        std::to_string(config_.vocab_size),
                    "the tokenizer and the text encoder must come from the same checkpoint");
      const Tensor token = token_embedding_.slice(id, id + 1).to(DType::f32);
      const float* position = position_embedding_.data<float>() + t * dim;
      float* to = hidden.data<float>() + (b * tokens + t) * dim;
      for (int64_t i = 0; i < dim; ++i) to[i] = token.data<float>()[i] + position[i];
    }
  }
  return hidden;
}

//! hidden += out(attention(qkv(norm1(hidden)))), each token seeing those up to itself.
void ClipEncoder::attend(const Layer& layer, Tensor& hidden, const Tensor& causal, int64_t batch,
                         int64_t tokens) const {
  const int64_t dim = config_.hidden_size, head_dim = dim / config_.num_attention_heads;
  const Tensor qkv = layer.qkv(normed(layer.norm1, hidden), clip_state_dtype);
  Tensor attended = Tensor::empty({batch * tokens, dim}, clip_state_dtype);
  const auto part = [&](int64_t i) {
    return kernels::AttentionOperand{qkv.data<float>() + i * dim, tokens * 3 * dim, 3 * dim, head_dim};
  };
  kernels::AttentionArguments a;
  a.shape = {batch, config_.num_attention_heads, tokens, tokens, head_dim};
  a.dtype = clip_state_dtype;
  a.query = part(0);
  a.key = part(1);
  a.value = part(2);
  a.out = attended.raw();
  a.out_batch_stride = tokens * dim;
  a.out_token_stride = dim;
  a.out_head_stride = head_dim;
  a.scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  a.score_bias = causal.data<float>();
  kernels::attention(a);
  nn::Fusion add;
  add.residual = &hidden;
  layer.out.into(attended, hidden, add);
}

//! The place of the first end token.
int64_t ClipEncoder::end_of(const std::vector<int64_t>& ids) const {
  const auto it = config_.eos_token_id == old_eos_token_id ? std::max_element(ids.begin(), ids.end())
                                                           : std::find(ids.begin(), ids.end(), config_.eos_token_id);
  return it == ids.end() ? 0 : it - ids.begin();
}

ClipEncoder::Output ClipEncoder::operator()(const std::vector<std::vector<int64_t>>& ids,
                                            const std::function<void(int64_t, int64_t)>& on_layer) const {
  const int64_t batch = static_cast<int64_t>(ids.size()), tokens = static_cast<int64_t>(ids.at(0).size());
  const int64_t dim = config_.hidden_size;
  Tensor hidden = embed(ids);
  Tensor causal = Tensor::zeros({config_.num_attention_heads, tokens, tokens});
  for (int64_t row = 0; row < causal.dim(0) * tokens; ++row)
    for (int64_t key = row % tokens + 1; key < tokens; ++key)
      causal.data<float>()[row * tokens + key] = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    attend(layer, hidden, causal, batch, tokens);
    nn::Fusion activated;
    activated.activation = config_.activation;
    const Tensor inner = layer.fc1(normed(layer.norm2, hidden), clip_state_dtype, activated);
    nn::Fusion add;
    add.residual = &hidden;
    layer.fc2.into(inner, hidden, add);
    if (on_layer) on_layer(static_cast<int64_t>(i) + 1, static_cast<int64_t>(layers_.size()));
  }
  Output out;
  out.hidden = normed(final_norm_, hidden).view({batch, tokens, dim});
  out.pooled = Tensor::empty({batch, dim});
  for (int64_t b = 0; b < batch; ++b)
    std::copy_n(out.hidden.data<float>() + (b * tokens + end_of(ids[static_cast<size_t>(b)])) * dim, dim,
                out.pooled.data<float>() + b * dim);
  if (projected_) out.text_embeds = projection_(out.pooled, DType::f32);
  return out;
}

}  // namespace prax::models
