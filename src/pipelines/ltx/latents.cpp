#include "pipelines/ltx/latents.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::pipelines::ltx {

namespace {

//! Calls fn(begin, end, channel, clip) for the elements of each channel of each clip of [B, C, F, H, W].
template <typename Fn>
void for_channels(const Tensor& latents, Fn&& fn) {
  const int64_t channels = latents.dim(1), rows = latents.dim(0) * channels;
  const int64_t size = rows ? latents.numel() / rows : 0;
  parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) fn(r * size, (r + 1) * size, r % channels, r / channels);
  });
}

void require_scale(const Tensor& latents, const LatentScale& scale) {
  if (latents.rank() != 5 || latents.dim(1) != scale.mean.numel() || latents.dim(1) != scale.std.numel())
    throw Error(ErrorKind::input,
                "latents " + to_string(latents.shape()) + " do not fit an autoencoder of " +
                    std::to_string(scale.mean.numel()) + " latent channels",
                "take latents of the same model: [clips, channels, frames, height, width]");
}

}  // namespace

Moments moments(const float* values, int64_t count) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  const double mean = sum / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
  return {static_cast<float>(mean), static_cast<float>(std::sqrt(squares / static_cast<double>(count - 1)))};
}

Tensor frames_of(const Tensor& latents, int64_t begin, int64_t end) {
  const int64_t clips = latents.dim(0), channels = latents.dim(1), all = latents.dim(2);
  const int64_t plane = latents.dim(3) * latents.dim(4);
  Tensor part = Tensor::empty({clips, channels, end - begin, latents.dim(3), latents.dim(4)});
  for (int64_t c = 0; c < clips * channels; ++c)
    std::copy_n(latents.data<float>() + (c * all + begin) * plane, (end - begin) * plane,
                part.data<float>() + c * (end - begin) * plane);
  return part;
}

Tensor denormalize_latents(const Tensor& latents, const LatentScale& scale) {
  require_scale(latents, scale);
  Tensor out = Tensor::empty(latents.shape());
  const float *from = latents.data<float>(), factor = scale.scaling_factor;
  for_channels(latents, [&, to = out.data<float>()](int64_t begin, int64_t end, int64_t channel, int64_t) {
    const float mean = scale.mean.data<float>()[channel], std = scale.std.data<float>()[channel];
    for (int64_t i = begin; i < end; ++i) to[i] = from[i] * std / factor + mean;
  });
  return out;
}

Tensor normalize_latents(const Tensor& latents, const LatentScale& scale) {
  require_scale(latents, scale);
  Tensor out = Tensor::empty(latents.shape());
  const float *from = latents.data<float>(), factor = scale.scaling_factor;
  for_channels(latents, [&, to = out.data<float>()](int64_t begin, int64_t end, int64_t channel, int64_t) {
    const float mean = scale.mean.data<float>()[channel], std = scale.std.data<float>()[channel];
    for (int64_t i = begin; i < end; ++i) to[i] = (from[i] - mean) * factor / std;
  });
  return out;
}

Tensor adain_filter_latent(const Tensor& latents, const Tensor& reference, float factor) {
  if (latents.rank() != 5 || reference.rank() != 5 || latents.dim(0) != reference.dim(0) ||
      latents.dim(1) != reference.dim(1))
    throw Error(ErrorKind::internal, "latents " + to_string(latents.shape()) + " cannot take the statistics of " +
                                         to_string(reference.shape()));
  Tensor out = Tensor::empty(latents.shape());
  const float* from = latents.data<float>();
  const int64_t channels = latents.dim(1), rows = reference.dim(0) * channels;
  const int64_t size = rows ? reference.numel() / rows : 0;
  for_channels(latents, [&, to = out.data<float>()](int64_t begin, int64_t end, int64_t channel, int64_t clip) {
    const Moments r = moments(reference.data<float>() + (clip * channels + channel) * size, size);
    const Moments own = moments(from + begin, end - begin);
    for (int64_t i = begin; i < end; ++i) {
      const float adapted = (from[i] - own.mean) / own.deviation * r.deviation + r.mean;
      // torch.lerp, which begins at the nearer end
      to[i] = std::abs(factor) < 0.5f ? from[i] + factor * (adapted - from[i])
                                      : adapted - (adapted - from[i]) * (1 - factor);
    }
  });
  return out;
}

Tensor tone_map_latents(const Tensor& latents, double compression) {
  if (!(compression >= 0 && compression <= 1))
    throw Error(ErrorKind::usage, "tone_map_compression_ratio is " + std::to_string(compression),
                "it must be between 0 and 1");
  const double scale = compression * 0.75;
  const float steepness = static_cast<float>(4.0 * scale), strength = static_cast<float>(0.8 * scale);
  Tensor out = Tensor::empty(latents.shape());
  const float* from = latents.data<float>();
  float* to = out.data<float>();
  parallel_for(latents.numel(), 1 << 13, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float sigmoid = 1 / (1 + std::exp(-steepness * (std::abs(from[i]) - 1)));
      to[i] = from[i] * (1 - strength * sigmoid);
    }
  });
  return out;
}

Tensor upsample_latents(models::ltx::LatentUpsampler& upsampler, const Tensor& latents, const LatentScale& scale,
                        float adain_factor, double tone_map_compression_ratio) {
  const Tensor before = denormalize_latents(latents, scale);
  Tensor after = upsampler(before);
  if (adain_factor > 0) after = adain_filter_latent(after, before, adain_factor);
  if (tone_map_compression_ratio != 0) after = tone_map_latents(after, tone_map_compression_ratio);
  return after;
}

}  // namespace prax::pipelines::ltx
