#pragma once

#include <string>

#include "checkpoint/weights.h"
#include "models/cogvideox/positions.h"
#include "models/cogvideox/transformer_config.h"
#include "nn/linear.h"

namespace prax::models::cogvideox {

//! CogVideoXPatchEmbed: text states and latent patches become tokens of one width, the text in front; positions are
//! added where the model has a table of them (models/embeddings.py).
class PatchEmbed {
public:
  PatchEmbed() = default;
  PatchEmbed(const TransformerConfig& config, const checkpoint::Weights& weights, DType dtype);

  //! latents [frames, in_channels, height, width] f32, text [text_tokens, text_embed_dim] f32
  //! -> [text_tokens + tokens, inner_dim] f32. Error(usage) for a clip or text of a length that the model has no
  //! positions for.
  Tensor operator()(const Tensor& latents, const Tensor& text) const;
  //! The tokens of such latents. Error(usage) when they cannot be cut into patches.
  Grid grid(const Tensor& latents) const;
  void release();

private:
  Tensor patches(const Tensor& latents, const Grid& grid) const;
  void add_positions(Tensor& tokens, int64_t text_tokens, const Tensor& latents, const Grid& grid) const;

  TransformerConfig config_{};
  DType dtype_ = DType::f32;
  nn::Linear text_proj_;
  nn::Linear proj_;  //!< 1.5
  // 1.0: a convolution whose stride is its kernel, so a product with whole patches.
  Tensor weight_, bias_;
  std::string weight_name_;
  mutable kernels::PackedMatrix packed_;
  Tensor learned_positions_;  //!< [1, max_text_seq_length + patches of a sample, inner_dim]
  std::string positions_name_;
};

}  // namespace prax::models::cogvideox
