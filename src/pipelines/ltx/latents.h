#pragma once

#include "models/ltx/latent_upsampler.h"
#include "tensor/tensor.h"

namespace prax::pipelines::ltx {

//! What stands between the denoiser's latents and the autoencoder's.
struct LatentScale {
  Tensor mean, std;  //!< [C] f32
  float scaling_factor = 1.0f;
};

struct Moments {
  float mean, deviation;
};

//! torch.std_mean: the deviation is unbiased.
Moments moments(const float* values, int64_t count);

//! Frames [begin, end) of latents [B, C, F, H, W].
Tensor frames_of(const Tensor& latents, int64_t begin, int64_t end);

//! latents * std / scaling_factor + mean, a channel at a time: [B, C, F, H, W] f32
Tensor denormalize_latents(const Tensor& latents, const LatentScale& scale);
//! (latents - mean) * scaling_factor / std
Tensor normalize_latents(const Tensor& latents, const LatentScale& scale);

//! Gives each channel of each clip the mean and (unbiased) standard deviation that it has in the reference
//! [B, C, F', H', W'], and goes `factor` of the way there: adaptive instance normalisation.
//! Reference: LTXLatentUpsamplePipeline.adain_filter_latent, diffusers pipelines/ltx/pipeline_ltx_latent_upsample.py.
Tensor adain_filter_latent(const Tensor& latents, const Tensor& reference, float factor);

//! x (1 - 0.8 s sigmoid(4 s (|x| - 1))) with s = 0.75 compression: draws large values in. compression in 0..1, else
//! Error(usage). Reference: LTXLatentUpsamplePipeline.tone_map_latents.
Tensor tone_map_latents(const Tensor& latents, double compression);

//! LTXLatentUpsamplePipeline from normalised latents to denormalised ones of twice the size: upsampled, then (factors
//! above 0) adain_filter_latent against the latents that went in, and tone_map_latents. The pipeline's latent output is
//! normalize_latents() of it.
Tensor upsample_latents(models::ltx::LatentUpsampler& upsampler, const Tensor& latents, const LatentScale& scale,
                        float adain_factor, double tone_map_compression_ratio);

}  // namespace prax::pipelines::ltx
