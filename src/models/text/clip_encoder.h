#pragma once

#include <functional>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "nn/linear.h"

namespace prax::models {

//! config.json of a transformers CLIPTextModel or CLIPTextModelWithProjection; absent keys take CLIPTextConfig's
//! defaults.
struct ClipConfig {
  int64_t vocab_size, hidden_size, intermediate_size, projection_dim;
  int64_t num_hidden_layers, num_attention_heads, max_position_embeddings;
  int64_t eos_token_id;  //!< 2 means the highest id of a text (a mistake in old configs that the reference keeps)
  float layer_norm_eps;
  kernels::Activation activation;
  //! Error(checkpoint) for an activation that is unknown, and for sizes that no model can have.
  static ClipConfig from(const checkpoint::Config& config);
};

//! The text encoder of CLIP (https://arxiv.org/abs/2103.00020; transformers models/clip/modeling_clip.py), causal over
//! its tokens. Its weights are used once a run, so they are streamed from the file.
class ClipEncoder {
public:
  //! With `projected` a CLIPTextModelWithProjection, else a CLIPTextModel.
  ClipEncoder(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype, bool projected);

  const ClipConfig& config() const { return config_; }

  struct Output {
    Tensor hidden;       //!< [batch, tokens, hidden_size] f32 behind the final norm
    Tensor pooled;       //!< [batch, hidden_size] f32, that of each text's first end token
    Tensor text_embeds;  //!< [batch, projection_dim] f32, pooled through the projection; undefined without one
  };
  //! Token ids [batch][tokens], all of one length. What stands behind a text's end token changes nothing before it.
  //! Error (checkpoint) for ids and lengths that the model does not know. `on_layer` is called after each layer.
  Output operator()(const std::vector<std::vector<int64_t>>& ids,
                    const std::function<void(int64_t done, int64_t all)>& on_layer = {}) const;

private:
  struct Norm {
    Tensor weight, bias;
  };
  struct Layer {
    Norm norm1, norm2;
    nn::Linear qkv, out, fc1, fc2;
  };
  Norm load_norm(const checkpoint::Weights& weights) const;
  Tensor normed(const Norm& norm, const Tensor& x) const;
  Tensor embed(const std::vector<std::vector<int64_t>>& ids) const;
  void attend(const Layer& layer, Tensor& hidden, const Tensor& causal, int64_t batch, int64_t tokens) const;
  int64_t end_of(const std::vector<int64_t>& ids) const;

  ClipConfig config_;
  bool projected_;
  Tensor token_embedding_, position_embedding_;
  std::vector<Layer> layers_;
  Norm final_norm_;
  nn::Linear projection_;
};

}  // namespace prax::models
