#pragma once

#include <array>
#include <functional>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "nn/block_cache.h"
#include "nn/linear.h"
#include "nn/rotary.h"

namespace prax::models::mochi {

//! config.json of MochiTransformer3DModel with the class's defaults for absent keys. `qk_norm` and
//! `max_sequence_length` change nothing in the reference and are not read.
struct TransformerConfig {
  int64_t patch_size, num_attention_heads, attention_head_dim, num_layers;
  int64_t pooled_projection_dim;  //!< width of the text stream
  int64_t in_channels, out_channels, text_embed_dim, time_embed_dim;
  kernels::Activation activation;
  bool gated;  //!< swiglu
  int64_t inner_dim() const { return num_attention_heads * attention_head_dim; }
  //! Error(checkpoint) for options that the reference knows and we do not, and for sizes that cannot be.
  static TransformerConfig from(const checkpoint::Config& config);
};

using nn::Rotary;

//! The denoiser of Mochi 1, an asymmetric diffusion transformer: video and text attend together, each in a stream of
//! its own width. https://github.com/genmoai/mochi, diffusers models/transformers/transformer_mochi.py.
class Transformer {
public:
  Transformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);

  const TransformerConfig& config() const { return config_; }
  //! Positions of latents of that size (before they are cut into patches), tokens ordered frame, row, column.
  Rotary rotary(int64_t frames, int64_t height, int64_t width) const;

  //! One clip. latents [in_channels, frames, height, width] f32; text [text_tokens, text_embed_dim] f32 with a 0/1 mask
  //! a token, padding behind the text; -> prediction [out_channels, frames, height, width] f32. `on_block` is called
  //! after each block. With a cache the blocks behind the first may be spared. Error(usage) when the latents cannot be
  //! cut into patches.
  Tensor operator()(const Tensor& latents, const Tensor& text, std::span<const int64_t> mask, float timestep,
                    const Rotary& rotary, const std::function<void()>& on_block = {},
                    nn::BlockCache* cache = nullptr) const;

  //! Drops the packed weights.
  void release();

private:
  struct FeedForward {
    nn::Linear gate, up, down;  //!< gate only in a gated one
  };
  //! What a block has once for the video and once for the text.
  struct Stream {
    nn::Linear qkv, out;
    Tensor norm_q, norm_k;  //!< [head_dim]
    FeedForward feed_forward;
  };
  struct Block {
    nn::Linear modulation;  //!< of both streams, see Modulation
    Stream video, text;
    bool text_ends = false;  //!< the last block: nothing but keys and values of the text
  };
  //! [dim] each: scales (1 + s) of the norms, and gates behind tanh.
  struct Modulation {
    const float *scale_attention, *gate_attention, *scale_feed_forward, *gate_feed_forward;
  };

  FeedForward make_feed_forward(const checkpoint::Weights& weights, int64_t dim, DType dtype) const;
  Tensor patches(const Tensor& latents) const;
  Tensor unpatchify(const Tensor& tokens, const Shape& latents) const;
  Tensor conditioning(const Tensor& text, float timestep) const;
  Tensor pool(const Tensor& text) const;
  void attention(const Block& block, Tensor& video, Tensor& text, const Modulation& of_video, const Modulation& of_text,
                 const Rotary& rotary) const;
  void project(const Stream& stream, const Tensor& x, const float* scale, Tensor& qkv, const Rotary* rotary) const;
  void feed_forward(const FeedForward& layer, Tensor& x, const Modulation& modulation) const;

  TransformerConfig config_;
  DType dtype_;
  nn::Linear patch_embed_, time_1_, time_2_, pool_q_, pool_kv_, pool_out_, caption_, norm_out_, proj_out_;
  Tensor pos_frequencies_;  //!< [3, heads, head_dim / 2]
  std::vector<Block> blocks_;
};

}  // namespace prax::models::mochi
