#pragma once

#include <functional>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "nn/block_cache.h"
#include "nn/embeddings.h"
#include "nn/linear.h"
#include "nn/rotary.h"

namespace prax::models::ltx {

//! config.json of LTXVideoTransformer3DModel with the class's defaults for absent keys.
struct TransformerConfig {
  int64_t in_channels, out_channels, num_attention_heads, attention_head_dim;
  int64_t cross_attention_dim, num_layers, caption_channels;
  kernels::Activation activation;
  bool norm_elementwise_affine, attention_bias, attention_out_bias;
  float norm_eps;
  int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
  //! Error(checkpoint) for options that the reference knows and we do not.
  static TransformerConfig from(const checkpoint::Config& config);
};

using nn::Rotary;

//! The denoiser of LTX-Video: https://arxiv.org/abs/2501.00103, diffusers models/transformers/transformer_ltx.py.
class Transformer {
public:
  Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);

  const TransformerConfig& config() const { return config_; }
  //! Positions of a grid of latents, tokens ordered frame, row, column; `scale` is the pipeline's
  //! rope_interpolation_scale (seconds a latent frame, pixels a latent row, pixels a latent column).
  Rotary rotary(int64_t frames, int64_t height, int64_t width, const float (&scale)[3]) const;
  //! Positions of any tokens: coords [3, tokens] (seconds, pixel row, pixel column).
  Rotary rotary(const Tensor& coords) const;

  //! One clip. hidden [tokens, in_channels] f32; text [text_tokens, caption_channels] f32 with a 0/1 mask a token;
  //! one timestep, or one a token. -> prediction [tokens, out_channels] f32. `on_block` is called after each block.
  //! With a cache the blocks behind the first may be spared.
  Tensor operator()(const Tensor& hidden, const Tensor& text, std::span<const int64_t> mask,
                    std::span<const float> timesteps, const Rotary& rotary, const std::function<void()>& on_block = {},
                    nn::BlockCache* cache = nullptr) const;

  //! Drops the packed weights.
  void release();

private:
  struct Attention {
    nn::Linear q, kv, out;  //!< self attention: q holds query, key and value stacked, kv is empty
    Tensor norm_q, norm_k;
  };
  struct Block {
    Attention self, cross;
    nn::Linear up, down;
    Tensor norm1, norm2;       //!< only with norm_elementwise_affine
    Tensor scale_shift_table;  //!< [6, inner_dim]
  };
  //! [rows][parts][inner_dim] = table + temb
  Tensor modulation(const Tensor& table, const Tensor& temb, int64_t parts) const;
  void self_attention(const Block& block, Tensor& x, const Tensor& ada, const Rotary& rotary) const;
  void cross_attention(const Block& block, Tensor& x, const Tensor& text, const Tensor& key_bias) const;
  void feed_forward(const Block& block, Tensor& x, const Tensor& ada) const;
  Tensor attend(const Tensor& q, const void* k, const void* v, int64_t kv_stride, int64_t keys,
                const float* key_bias) const;

  TransformerConfig config_;
  DType dtype_;
  nn::Linear proj_in_, caption_1_, caption_2_, time_linear_, proj_out_;
  nn::TimestepEmbedder time_embedder_;
  Tensor scale_shift_table_;  //!< [2, inner_dim]
  std::vector<Block> blocks_;
};

}  // namespace prax::models::ltx
