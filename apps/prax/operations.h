#pragma once

#include <cstdint>
#include <vector>

#include "models/cogvideox/transformer.h"
#include "models/cogvideox/vae.h"
#include "models/ltx/latent_upsampler.h"
#include "models/ltx/transformer.h"
#include "models/ltx/vae.h"
#include "models/mochi/transformer.h"
#include "models/mochi/vae.h"
#include "models/pyramid_flow/transformer.h"
#include "models/pyramid_flow/vae.h"
#include "models/text/clip_encoder.h"
#include "models/text/t5_encoder.h"

//! Multiplications plus additions of the matrix products of a model, counted from shapes: 2 m n k for a linear layer,
//! 4 queries keys channels for attention, 2 pixels in out taps for a convolution. Norms, activations and softmax are
//! left out, as is usual.
namespace prax::app {

//! Those of a network.
struct Operations {
  double around = 0;                //!< before, between and behind its layers
  std::vector<double> layers = {};  //!< of each, in order; none where it is not counted in layers

  double in_layers() const;
  double all() const { return around + in_layers(); }
};

//! One pass for one clip.
Operations operations(const models::ltx::TransformerConfig& config, int64_t tokens, int64_t text_tokens);
Operations operations(const models::cogvideox::TransformerConfig& config, int64_t tokens, int64_t text_tokens);
Operations operations(const models::mochi::TransformerConfig& config, int64_t tokens, int64_t text_tokens);
//! `text_ends`: nobody sees the text behind the last joint block, as in PyramidDiffusionMMDiT.
Operations operations(const models::pyramid_flow::TransformerSizes& sizes, bool text_ends,
                      const models::pyramid_flow::Sequence& sequence);

//! One prompt.
Operations operations(const models::T5Config& config, int64_t tokens);
Operations operations(const models::ClipConfig& config, bool projected, int64_t tokens);

//! Decoding one clip of latents.
Operations operations(const models::ltx::VaeConfig& config, int64_t frames, int64_t height, int64_t width);
//! What is convolved from stretched latents (conv_y, conv_b) counts once a pixel of the latents, and a frame that an
//! upsampler doubles counts once.
Operations operations(const models::cogvideox::VaeConfig& config, int64_t frames, int64_t height, int64_t width);
Operations operations(const models::mochi::VaeConfig& config, int64_t frames, int64_t height, int64_t width);
Operations operations(const models::pyramid_flow::VaeConfig& config, int64_t frames, int64_t height, int64_t width);

//! Enlarging one clip of latents.
Operations operations(const models::ltx::LatentUpsamplerConfig& config, int64_t frames, int64_t height, int64_t width);

}  // namespace prax::app
