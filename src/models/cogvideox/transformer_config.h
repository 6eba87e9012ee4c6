#pragma once

#include "checkpoint/config.h"
#include "kernels/kernels.h"

namespace prax::models::cogvideox {

//! config.json of CogVideoXTransformer3DModel with the class's defaults for absent keys.
struct TransformerConfig {
  int64_t num_attention_heads, attention_head_dim, num_layers;
  int64_t in_channels, out_channels, text_embed_dim;
  int64_t time_embed_dim;
  int64_t ofs_embed_dim;  //!< 0: the model takes no ofs (all but 1.5 image-to-video)
  bool flip_sin_to_cos;
  float freq_shift;
  int64_t patch_size;
  int64_t patch_size_t;  //!< latent frames of one token; 0 where the config has none (1.0: one frame, a 2-D patch)
  bool patch_bias;
  int64_t sample_width, sample_height, sample_frames;
  int64_t temporal_compression_ratio, max_text_seq_length;
  float spatial_interpolation_scale, temporal_interpolation_scale;
  bool use_rotary_positional_embeddings, use_learned_positional_embeddings;
  bool attention_bias, norm_elementwise_affine;
  float norm_eps;
  kernels::Activation activation, timestep_activation;

  int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
  //! Latent frames of one token.
  int64_t frames_of_patch() const { return patch_size_t > 0 ? patch_size_t : 1; }
  //! Values of one token's patch with `channels` channels.
  int64_t patch_values(int64_t channels) const { return channels * frames_of_patch() * patch_size * patch_size; }
  //! Whether a table of positions is added to the tokens.
  bool adds_positions() const { return !use_rotary_positional_embeddings || use_learned_positional_embeddings; }

  //! Error(checkpoint) for a size that cannot be, and for options that the reference knows and we do not.
  static TransformerConfig from(const checkpoint::Config& config);
};

}  // namespace prax::models::cogvideox
