#pragma once

#include <array>
#include <functional>
#include <optional>
#include <vector>

#include "models/cogvideox/patch_embed.h"
#include "models/cogvideox/positions.h"
#include "models/cogvideox/transformer_config.h"
#include "nn/block_cache.h"

namespace prax::models::cogvideox {

//! The denoiser of CogVideoX: https://arxiv.org/abs/2408.06072, diffusers models/transformers/
//! cogvideox_transformer_3d.py. Text and video are one sequence, the text in front; each modality has scales, shifts
//! and gates of its own.
class Transformer {
public:
  Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);

  const TransformerConfig& config() const { return config_; }
  //! Positions of the tokens of a clip of latents (frames as they are given to the model); nothing where the model has
  //! no rotary ones. Error(usage) for a picture larger than the positions that a 1.5 model knows.
  Rotary rotary(int64_t frames, int64_t height, int64_t width) const;

  //! One clip. latents [frames, in_channels, height, width] f32; text [text_tokens, text_embed_dim] f32; `ofs` only
  //! where the config has ofs_embed_dim. -> prediction [frames, out_channels, height, width] f32. `on_block` is called
  //! after each block. With a cache the blocks behind the first may be spared.
  Tensor operator()(const Tensor& latents, const Tensor& text, float timestep, std::optional<float> ofs,
                    const Rotary& rotary, const std::function<void()>& on_block = {},
                    nn::BlockCache* cache = nullptr) const;

  //! Drops the packed weights.
  void release();

private:
  //! TimestepEmbedding of sinusoids.
  struct TimeEmbedding {
    int64_t sinusoids = 0;
    nn::Linear linear_1, linear_2;
  };
  struct LayerNorm {
    Tensor weight, bias;
  };
  //! CogVideoXLayerNormZero: a layer norm whose scale, shift and gate come from the time.
  struct NormZero {
    nn::Linear linear;
    LayerNorm norm;
  };
  struct Block {
    NormZero norm1, norm2;
    nn::Linear qkv, out, up, down;
    LayerNorm norm_q, norm_k;
  };
  //! Rows [begin, end) of the sequence with their share of a NormZero's values.
  struct Part {
    int64_t begin, end;
    const float *shift, *scale, *gate;
  };

  TimeEmbedding time_embedding(const checkpoint::Weights& weights, int64_t sinusoids, int64_t channels) const;
  Tensor embed(const TimeEmbedding& embedding, float value) const;
  LayerNorm layer_norm(const checkpoint::Weights& weights) const;
  std::array<Part, 2> parts(const Tensor& modulation, const Tensor& x, int64_t text_tokens) const;
  Tensor normalize(const Tensor& rows, const LayerNorm& norm, const float* shift, const float* scale,
                   DType dtype) const;
  void norm_heads(const Block& block, Tensor& qkv, int64_t text_tokens, const Rotary& rotary) const;
  Tensor attend(const Tensor& qkv) const;
  void attention(const Block& block, Tensor& x, const Tensor& time, int64_t text_tokens, const Rotary& rotary) const;
  void feed_forward(const Block& block, Tensor& x, const Tensor& time, int64_t text_tokens) const;
  Tensor unpatchify(const Tensor& rows, const Grid& grid) const;

  TransformerConfig config_;
  DType dtype_;
  PatchEmbed patch_embed_;
  TimeEmbedding time_, ofs_;
  std::vector<Block> blocks_;
  LayerNorm norm_final_;
  NormZero norm_out_;
  nn::Linear proj_out_;
};

}  // namespace prax::models::cogvideox
