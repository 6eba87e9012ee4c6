#include "nn/embeddings.h"

#include <cmath>

namespace prax::nn {

namespace {
constexpr int64_t sinusoids = 256;
constexpr float max_period = 10000.0f;
}  // namespace

Tensor timestep_embedding(std::span<const float> timesteps, int64_t channels) {
  return timestep_embedding(timesteps, channels, true, 0.0f);
}

Tensor timestep_embedding(std::span<const float> timesteps, int64_t channels, bool cosines_first,
                          float downscale_freq_shift) {
  const int64_t half = channels / 2;
  Tensor out = Tensor::zeros({static_cast<int64_t>(timesteps.size()), channels});
  float* row = out.data<float>();
  for (float t : timesteps) {
    for (int64_t i = 0; i < half; ++i) {
      const float exponent =
          -std::log(max_period) * static_cast<float>(i) / (static_cast<float>(half) - downscale_freq_shift);
      const float angle = t * std::exp(exponent);
      row[cosines_first ? i : half + i] = std::cos(angle);
      row[cosines_first ? half + i : i] = std::sin(angle);
    }
    row += channels;
  }
  return out;
}

TimestepEmbedder::TimestepEmbedder(const checkpoint::Weights& weights, int64_t channels, DType dtype)
    : linear_1_(weights["linear_1"], sinusoids, channels, true, dtype),
      linear_2_(weights["linear_2"], channels, channels, true, dtype) {}

Tensor TimestepEmbedder::operator()(std::span<const float> timesteps) const {
  Fusion silu;
  silu.activation = kernels::Activation::silu;
  return linear_2_(linear_1_(timestep_embedding(timesteps, sinusoids), DType::f32, silu), DType::f32);
}

}  // namespace prax::nn
