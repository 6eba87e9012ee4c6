#pragma once

#include <span>

#include "nn/linear.h"
#include "tensor/tensor.h"

namespace prax::nn {

//! Sinusoidal timestep embedding, cosines first (flip_sin_to_cos, downscale_freq_shift 0, max_period 10000):
//! diffusers models/embeddings.py get_timestep_embedding. [n] -> [n, channels] f32.
Tensor timestep_embedding(std::span<const float> timesteps, int64_t channels);
//! The same with the sines first where `cosines_first` (flip_sin_to_cos) is false, and another downscale_freq_shift.
Tensor timestep_embedding(std::span<const float> timesteps, int64_t channels, bool cosines_first,
                          float downscale_freq_shift);

//! TimestepEmbedding on 256 sinusoids: linear_2(silu(linear_1(embedding))). Names under `weights`: linear_1, linear_2.
//! Used as `emb.timestep_embedder` (PixArtAlphaCombinedTimestepSizeEmbeddings without extra conditions).
class TimestepEmbedder {
public:
  TimestepEmbedder() = default;
  TimestepEmbedder(const checkpoint::Weights& weights, int64_t channels, DType dtype);
  //! [n] -> [n, channels] f32
  Tensor operator()(std::span<const float> timesteps) const;

private:
  Linear linear_1_, linear_2_;
};

}  // namespace prax::nn
