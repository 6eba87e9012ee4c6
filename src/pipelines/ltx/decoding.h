#pragma once

#include <nlohmann/json.hpp>
#include <optional>

#include "models/ltx/tiling.h"
#include "models/ltx/vae.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines::ltx {

//! Denormalised latents of the whole batch as the decoder wants them: where it is conditioned on a timestep, that is
//! set and noise mixed in, both as the arguments decode_timestep and decode_noise_scale say.
Tensor with_decode_noise(const models::ltx::Vae& vae, const nlohmann::json& arguments, Tensor latents,
                         Generator& generator, std::optional<float>& timestep);

//! Decodes one clip [1, C, F, H, W] into the sink, whose begin() and finish() it calls. `injected` is the generator of
//! noise that the decoder itself draws. Probes are called when `probed`.
void decode_clip(models::ltx::Vae& vae, const models::ltx::Tiling& tiling, const Tensor& clip,
                 std::optional<float> timestep, Generator& injected, const media::VideoFormat& format,
                 media::FrameSink& sink, const Monitor& monitor, bool probed);

//! The middle frame of the first clip of denormalised latents [B, C, F, H, W], small: [H, W, 3] in 0..1.
Tensor small_picture(models::ltx::Vae& vae, const Tensor& latents);

//! The argument vae_tiling: false, true (the reference's sizes), or an object with some of them:
//! {"tile_sample_min_height": 512, "use_framewise_decoding": true, ...}. Error(usage) for others.
models::ltx::Tiling tiling_of(const nlohmann::json& value);

inline constexpr const char* tiling_help =
    "code in overlapping tiles as the reference's enable_tiling(): true, or {\"tile_sample_min_width\": 512, ...}";

//! A sample of the distribution that moments [2 C, F, H, W] describe, and its mode: [1, C, F, H, W]. The reference's
//! DiagonalGaussianDistribution.
Tensor sample(const Tensor& moments, Generator& generator);
Tensor mode(const Tensor& moments);

//! Pixels [T, H, W, 3] in -1..1 -> moments [2 C, F, H, W]. `call` counts a run's calls, for probes.
Tensor encode_pixels(models::ltx::Vae& vae, const models::ltx::Tiling& tiling, const Tensor& pixels, int64_t call,
                     const Monitor& monitor);

}  // namespace prax::pipelines::ltx
