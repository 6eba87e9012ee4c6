#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"
#include "models/pyramid_flow/blocks.h"
#include "models/pyramid_flow/sequence.h"
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

  //! Drops the packed weights.
  virtual void release();

protected:
  Transformer(const TransformerSizes& sizes, const checkpoint::Weights& weights, const JointBlock::Names& names,
              bool last_joint_block_ends_text);

  //! The tokens of clips, into rows [tokens of all clips, dim] f32.
  virtual void embed(std::span<const Tensor> clips, const Sequence& sequence, Tensor rows) const = 0;
  virtual Rotary rotary(const Sequence& sequence) const = 0;

  TransformerSizes sizes_;

private:
  Sequence sequence_of(std::span<const Tensor> clips, int64_t text_tokens) const;
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
