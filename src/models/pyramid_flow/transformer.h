#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "models/pyramid_flow/blocks.h"
#include "models/pyramid_flow/sequence.h"
#include "nn/block_cache.h"
#include "nn/embeddings.h"
#include "nn/linear.h"

namespace prax::models::pyramid_flow {

//! The sizes that the two designs of the denoiser share.
struct TransformerSizes {
  BlockShape block;
  int64_t latent_channels = 0, patch_size = 2;
  int64_t text_channels = 0, pooled_channels = 0;
  int64_t joint_blocks = 0, single_blocks = 0;
};

//! What a transformer makes of text and past clips that depends neither on the noisy clip nor on the timestep: the same
//! in every step of a stage.
struct Context {
  Sequence sequence;
  Rotary positions;
  Tensor tokens;  //!< embedded text and past clips, [sequence.noisy_begin(), dim] f32
  Tensor pooled;  //!< pooled text behind its first product, [1, dim] f32
};

//! Keys and values of the first tokens of a sequence in every block.
struct KeyValues {
  int64_t tokens = 0;
  std::vector<Tensor> blocks;  //!< see Scope::known
};

//! The denoiser of Pyramid Flow (https://arxiv.org/abs/2410.05954): text, the clean clips of the past at falling
//! resolutions and a noisy clip in one sequence, causal in time. Two designs, by `_class_name`: PyramidFluxTransformer
//! (miniFLUX) and PyramidDiffusionMMDiT (SD3).
class Transformer {
public:
  //! Error(checkpoint) for another class, and for options that neither the authors' code nor this can run.
  static std::unique_ptr<Transformer> make(const checkpoint::Config& config, const checkpoint::Weights& weights,
                                           DType dtype);
  virtual ~Transformer() = default;

  const TransformerSizes& sizes() const { return sizes_; }

  //! One prompt. clips: [latent_channels, frames, height, width] f32 each, the oldest first, the noisy one last; text
  //! [text_tokens, text_channels] f32 without padding, which nobody would look at; pooled [pooled_channels] f32; the
  //! timestep in 0..1000. -> the velocity of the noisy clip, of its shape, f32. `on_block` is called after each block.
  Tensor operator()(std::span<const Tensor> clips, const Tensor& text, const Tensor& pooled, float timestep,
                    const std::function<void()>& on_block = {}) const;

  //! past: clips as above without the noisy one, whose shape is given.
  Context prepare(std::span<const Tensor> past, const Shape& noisy, const Tensor& text, const Tensor& pooled) const;
  //! The same as above. `known` are keys and values of the first tokens from a call with the same text, pooled text and
  //! timestep whose sequence began in the same way and had a noisy clip of the same size: since no token sees a later
  //! frame, they would come out as the same bits again. Afterwards it has those of the first `keep` tokens, which end
  //! with a frame of the past. With a cache the blocks behind the first may be spared; then `known` stays as it was.
  Tensor operator()(const Context& context, const Tensor& noisy, float timestep,
                    const std::function<void()>& on_block = {}, KeyValues* known = nullptr, int64_t keep = 0,
                    nn::BlockCache* cache = nullptr) const;
  //! Memory of a token's keys and values.
  int64_t key_value_bytes() const;

  //! Drops the packed weights.
  virtual void release();

protected:
  Transformer(const TransformerSizes& sizes, const checkpoint::Weights& weights, const JointBlock::Names& names,
              bool last_joint_block_ends_text);

  //! The tokens of clips of those sizes, into rows [tokens of all clips, dim] f32; `noisy` is the noisy clip's size.
  virtual void embed(std::span<const Tensor> clips, std::span<const ClipSize> sizes, const ClipSize& noisy,
                     Tensor rows) const = 0;
  virtual Rotary rotary(const Sequence& sequence) const = 0;

  TransformerSizes sizes_;

private:
  ClipSize size_of_clip(const Shape& clip) const;
  Tensor silu_temb(float timestep, const Tensor& pooled) const;
  Tensor unpatchify(const Tensor& tokens, const ClipSize& clip) const;

  nn::TimestepEmbedder time_embedder_;
  nn::Linear pooled_1_, pooled_2_, context_embedder_, proj_out_;
  Modulation norm_out_;
  std::vector<JointBlock> joint_blocks_;
  std::vector<SingleBlock> single_blocks_;
};

//! Whole numbers of a config, each at least 1, the reference class's default where absent. Error(checkpoint).
int64_t positive(const checkpoint::Config& config, const char* key, int64_t absent);

}  // namespace prax::models::pyramid_flow
