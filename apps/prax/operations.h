#pragma once

#include <cstdint>

#include "models/ltx/transformer.h"
#include "models/ltx/vae.h"
#include "models/text/t5_encoder.h"

//! Multiplications plus additions of the matrix products of a model, counted from shapes: 2 m n k for a linear layer,
//! 4 queries keys channels for attention, 2 pixels in out taps for a convolution. Norms, activations and softmax are
//! left out, as is usual.
namespace prax::app {

//! One pass for one clip.
double operations(const models::ltx::TransformerConfig& config, int64_t tokens, int64_t text_tokens);
//! One prompt.
double operations(const models::T5Config& config, int64_t tokens);
//! Decoding one clip of latents.
double operations(const models::ltx::VaeConfig& config, int64_t latent_frames, int64_t height, int64_t width);

}  // namespace prax::app
