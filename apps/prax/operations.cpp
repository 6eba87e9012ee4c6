#include "operations.h"

#include <vector>

namespace prax::app {

namespace {

double linear(int64_t rows, int64_t in, int64_t out) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
}

constexpr int64_t taps = 27, subpixels = 8;

double attention(int64_t queries, int64_t keys, int64_t channels) { return 2 * linear(queries, keys, channels); }

}  // namespace

double operations(const models::ltx::TransformerConfig& c, int64_t tokens, int64_t text_tokens) {
  constexpr int64_t sinusoids = 256, modulations = 6, widening = 4;
  const int64_t dim = c.inner_dim();
  const double block = linear(tokens, dim, 3 * dim) + attention(tokens, tokens, dim) + linear(tokens, dim, dim) +
                       linear(tokens, dim, dim) + linear(text_tokens, c.cross_attention_dim, 2 * dim) +
                       attention(tokens, text_tokens, dim) + linear(tokens, dim, dim) +
                       2 * linear(tokens, dim, widening * dim);
  return linear(tokens, c.in_channels, dim) + linear(1, sinusoids, dim) + linear(1, dim, dim) +
         linear(1, dim, modulations * dim) + linear(text_tokens, c.caption_channels, dim) +
         linear(text_tokens, dim, dim) + static_cast<double>(c.num_layers) * block +
         linear(tokens, dim, c.out_channels);
}

double operations(const models::T5Config& c, int64_t tokens) {
  const int64_t inner = c.num_heads * c.d_kv;
  return static_cast<double>(c.num_layers) *
         (linear(tokens, c.d_model, 3 * inner) + attention(tokens, tokens, inner) + linear(tokens, inner, c.d_model) +
          (c.gated ? 3 : 2) * linear(tokens, c.d_model, c.d_ff));
}

//! The layers of LTXVideoDecoder3d, from the end of the configuration's lists to their beginning.
double operations(const models::ltx::VaeConfig& c, int64_t latent_frames, int64_t height, int64_t width) {
  int64_t frames = latent_frames;
  const auto convolution = [&](int64_t in, int64_t out, int64_t points = taps) {
    return linear(frames * height * width, in * points, out);
  };
  const size_t blocks = c.decoder_block_out_channels.size();
  const auto last = [&](const auto& list, size_t i) { return list[list.size() - 1 - i]; };
  // The lists may be longer than what is used of them; the reference reverses them whole.
  int64_t channels = last(c.decoder_block_out_channels, 0);
  double sum = convolution(c.latent_channels, channels) +
               static_cast<double>(last(c.decoder_layers_per_block, 0)) * 2 * convolution(channels, channels);
  for (size_t i = 0; i < blocks; ++i) {
    const int64_t factor = last(c.upsample_factor, i), before = channels / factor;
    channels = last(c.decoder_block_out_channels, i) / factor;
    if (before != channels)
      sum += convolution(before, channels) + convolution(channels, channels) + convolution(before, channels, 1);
    if (last(c.decoder_spatio_temporal_scaling, i)) {
      sum += convolution(channels * factor, channels * subpixels);
      frames = 2 * frames - 1;
      height *= 2;
      width *= 2;
    }
    sum += static_cast<double>(last(c.decoder_layers_per_block, i + 1)) * 2 * convolution(channels, channels);
  }
  return sum + convolution(channels, c.out_channels * c.patch_size * c.patch_size);
}

}  // namespace prax::app
