#pragma once

#include <functional>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "nn/linear.h"

namespace prax::models {

//! config.json of a transformers T5EncoderModel; absent keys take T5Config's defaults.
struct T5Config {
  int64_t vocab_size, d_model, d_kv, d_ff, num_layers, num_heads;
  int64_t relative_attention_num_buckets, relative_attention_max_distance;
  float layer_norm_epsilon;
  bool gated;                      //!< feed_forward_proj "gated-..."
  kernels::Activation activation;  //!< gelu_tanh; Error(checkpoint) for one that is unknown
  static T5Config from(const checkpoint::Config& config);
};

//! The encoder of T5 v1.1 (https://arxiv.org/abs/1910.10683; transformers models/t5/modeling_t5.py). Its weights are
//! used once a run, so they are streamed from the file, layer by layer, and never stand packed in memory.
class T5Encoder {
public:
  T5Encoder(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);

  const T5Config& config() const { return config_; }
  //! Token ids [batch][tokens] (all of one length) -> last hidden state [batch, tokens, d_model] f32. `on_layer` is
  //! called after each layer (progress, cancellation). Without masks the padding is read like any text, as most of the
  //! video models do it; with masks (0/1 a token) no token sees what is masked.
  Tensor operator()(const std::vector<std::vector<int64_t>>& ids,
                    const std::function<void(int64_t done, int64_t all)>& on_layer = {}) const {
    return (*this)(ids, {}, on_layer);
  }
  Tensor operator()(const std::vector<std::vector<int64_t>>& ids, const std::vector<std::vector<int64_t>>& masks,
                    const std::function<void(int64_t done, int64_t all)>& on_layer = {}) const;

private:
  struct Layer {
    Tensor norm_attention, norm_feed_forward;
    nn::Linear qkv, o, wi, wi_gate, wo;
  };
  Tensor embed(const std::vector<std::vector<int64_t>>& ids) const;
  Tensor position_bias(int64_t tokens) const;
  //! `mask` [batch, tokens] is 0, or -infinity for keys that nobody sees; undefined where all are seen.
  void attend(const Layer& layer, Tensor& hidden, const Tensor& bias, const Tensor& mask, int64_t batch,
              int64_t tokens) const;
  void feed_forward(const Layer& layer, Tensor& hidden) const;

  T5Config config_;
  DType dtype_;
  Tensor embedding_, relative_attention_bias_, final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace prax::models
