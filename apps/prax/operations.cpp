#include "operations.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace prax::app {

namespace {

constexpr int64_t sinusoids = 256;  // of a timestep
constexpr int64_t widening = 4;     // of a feed-forward
constexpr int64_t taps = 27, plane_taps = 9, subpixels = 4;

double linear(int64_t rows, int64_t in, int64_t out) {
  return 2.0 * static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out);
}

double attention(int64_t queries, int64_t keys, int64_t channels) { return 2 * linear(queries, keys, channels); }

//! Two linear layers that widen and narrow, or three where one of two gates the other.
double feed_forward(int64_t rows, int64_t dim, int64_t inner, bool gated = false) {
  return (gated ? 3 : 2) * linear(rows, dim, inner);
}

//! The layers of a decoder as a clip grows on its way through them.
class Growing {
public:
  Growing(int64_t frames, int64_t height, int64_t width) : frames_(frames), height_(height), width_(width) {}

  int64_t frames() const { return frames_; }
  int64_t pixels() const { return frames_ * height_ * width_; }
  double convolution(int64_t in, int64_t out, int64_t of_taps = taps) const {
    return linear(pixels(), in * of_taps, out);
  }
  //! Two convolutions of `out` channels, and one for the shortcut where the width changes.
  double resnet(int64_t in, int64_t out) const {
    return convolution(in, out) + convolution(out, out) + (in == out ? 0 : convolution(in, out, 1));
  }
  void widen(int64_t factor) {
    height_ *= factor;
    width_ *= factor;
  }
  void last(int64_t frames) { frames_ = frames; }

private:
  int64_t frames_, height_, width_;
};

template <typename List>
auto from_end(const List& list, size_t i) {
  return list[list.size() - 1 - i];
}

std::vector<double> repeated_layers(int64_t count, double each) {
  return std::vector<double>(static_cast<size_t>(count), each);
}

}  // namespace

double Operations::in_layers() const { return std::accumulate(layers.begin(), layers.end(), 0.0); }

Operations operations(const models::ltx::TransformerConfig& c, int64_t tokens, int64_t text_tokens) {
  constexpr int64_t modulations = 6;
  const int64_t dim = c.inner_dim();
  const double block = linear(tokens, dim, 3 * dim) + attention(tokens, tokens, dim) + linear(tokens, dim, dim) +
                       linear(tokens, dim, dim) + linear(text_tokens, c.cross_attention_dim, 2 * dim) +
                       attention(tokens, text_tokens, dim) + linear(tokens, dim, dim) +
                       feed_forward(tokens, dim, widening * dim);
  return {linear(tokens, c.in_channels, dim) + linear(1, sinusoids, dim) + linear(1, dim, dim) +
              linear(1, dim, modulations * dim) + linear(text_tokens, c.caption_channels, dim) +
              linear(text_tokens, dim, dim) + linear(tokens, dim, c.out_channels),
          repeated_layers(c.num_layers, block)};
}

Operations operations(const models::cogvideox::TransformerConfig& c, int64_t tokens, int64_t text_tokens) {
  constexpr int64_t modulations = 12, last_modulations = 2;
  const int64_t dim = c.inner_dim(), all = tokens + text_tokens;
  const double block = linear(1, c.time_embed_dim, modulations * dim) + linear(all, dim, 3 * dim) +
                       attention(all, all, dim) + linear(all, dim, dim) + feed_forward(all, dim, widening * dim);
  const double ofs = 2 * linear(1, c.ofs_embed_dim, c.ofs_embed_dim);
  return {linear(tokens, c.patch_values(c.in_channels), dim) + linear(text_tokens, c.text_embed_dim, dim) +
              linear(1, dim, c.time_embed_dim) + linear(1, c.time_embed_dim, c.time_embed_dim) + ofs +
              linear(1, c.time_embed_dim, last_modulations * dim) + linear(tokens, dim, c.patch_values(c.out_channels)),
          repeated_layers(c.num_layers, block)};
}

//! The last layer's text gives keys and values, and asks nothing.
Operations operations(const models::mochi::TransformerConfig& c, int64_t tokens, int64_t text_tokens) {
  constexpr int64_t modulations = 4, last_modulations = 2;
  const int64_t dim = c.inner_dim(), text_dim = c.pooled_projection_dim, all = tokens + text_tokens;
  const int64_t patch = c.patch_size * c.patch_size, text = c.text_embed_dim;
  const auto inner = [](int64_t width) { return widening * width * 2 / 3; };
  const auto block = [&](bool text_ends) {
    const double of_text = linear(text_tokens, dim, text_dim) +
                           feed_forward(text_tokens, text_dim, inner(text_dim), c.gated) +
                           linear(1, dim, (modulations - 1) * text_dim) + attention(text_tokens, all, dim);
    return linear(1, dim, modulations * dim + text_dim) + linear(tokens, dim, 3 * dim) +
           linear(text_tokens, text_dim, 3 * dim) + attention(tokens, all, dim) + linear(tokens, dim, dim) +
           feed_forward(tokens, dim, inner(dim), c.gated) + (text_ends ? 0 : of_text);
  };
  const double pooling = linear(1 + text_tokens, text, 2 * text) + linear(1, text, text) +
                         attention(1, 1 + text_tokens, text) + linear(1, text, dim);
  Operations o{linear(tokens, patch * c.in_channels, dim) + linear(1, c.time_embed_dim, dim) + linear(1, dim, dim) +
                   pooling + linear(text_tokens, text, text_dim) + linear(1, dim, last_modulations * dim) +
                   linear(tokens, dim, patch * c.out_channels),
               repeated_layers(c.num_layers, block(false))};
  if (!o.layers.empty()) o.layers.back() = block(true);
  return o;
}

Operations operations(const models::pyramid_flow::TransformerSizes& s, bool text_ends,
                      const models::pyramid_flow::Sequence& sequence) {
  constexpr int64_t modulations = 6, single_modulations = 3, last_modulations = 2;
  const int64_t dim = s.block.dim(), all = sequence.tokens(), text = sequence.text_tokens(), image = all - text;
  const int64_t patch = s.patch_size * s.patch_size * s.latent_channels;
  double attending = 0;
  for (const auto& run : sequence.runs()) attending += attention(run.end - run.begin, run.end, dim);
  const auto behind = [&](int64_t rows) { return linear(rows, dim, dim) + feed_forward(rows, dim, widening * dim); };
  const auto joint = [&](bool last) {
    return linear(1, dim, (modulations + (last ? last_modulations : modulations)) * dim) + linear(all, dim, 3 * dim) +
           attending + behind(image) + (last ? 0 : behind(text));
  };
  const double single = linear(1, dim, single_modulations * dim) + linear(all, dim, (3 + widening) * dim) + attending +
                        linear(all, (1 + widening) * dim, dim);
  Operations o{linear(1, sinusoids, dim) + linear(1, dim, dim) + linear(1, s.pooled_channels, dim) +
                   linear(1, dim, dim) + linear(text, s.text_channels, dim) + linear(image, patch, dim) +
                   linear(1, dim, last_modulations * dim) + linear(sequence.noisy().tokens(), dim, patch),
               repeated_layers(s.joint_blocks, joint(false))};
  if (text_ends && !o.layers.empty()) o.layers.back() = joint(true);
  o.layers.insert(o.layers.end(), static_cast<size_t>(s.single_blocks), single);
  return o;
}

Operations operations(const models::T5Config& c, int64_t tokens) {
  const int64_t inner = c.num_heads * c.d_kv;
  return {0, repeated_layers(c.num_layers, linear(tokens, c.d_model, 3 * inner) + attention(tokens, tokens, inner) +
                                               linear(tokens, inner, c.d_model) +
                                               feed_forward(tokens, c.d_model, c.d_ff, c.gated))};
}

Operations operations(const models::ClipConfig& c, bool projected, int64_t tokens) {
  const int64_t dim = c.hidden_size;
  return {projected ? linear(1, dim, c.projection_dim) : 0,
          repeated_layers(c.num_hidden_layers, linear(tokens, dim, 3 * dim) + attention(tokens, tokens, dim) +
                                                   linear(tokens, dim, dim) +
                                                   feed_forward(tokens, dim, c.intermediate_size))};
}

//! The layers of LTXVideoDecoder3d, from the end of the configuration's lists to their beginning.
Operations operations(const models::ltx::VaeConfig& c, int64_t frames, int64_t height, int64_t width) {
  constexpr int64_t cell = 2 * subpixels;
  Growing clip(frames, height, width);
  // The lists may be longer than what is used of them; the reference reverses them whole.
  int64_t channels = from_end(c.decoder_block_out_channels, 0);
  const auto resnets = [&](size_t i) {
    return static_cast<double>(from_end(c.decoder_layers_per_block, i)) * clip.resnet(channels, channels);
  };
  double sum = clip.convolution(c.latent_channels, channels) + resnets(0);
  for (size_t i = 0; i < c.decoder_block_out_channels.size(); ++i) {
    const int64_t factor = from_end(c.upsample_factor, i), before = channels / factor;
    channels = from_end(c.decoder_block_out_channels, i) / factor;
    if (before != channels) sum += clip.resnet(before, channels);
    if (from_end(c.decoder_spatio_temporal_scaling, i)) {
      sum += clip.convolution(channels * factor, channels * cell);
      clip.last(2 * clip.frames() - 1);
      clip.widen(2);
    }
    sum += resnets(i + 1);
  }
  return {sum + clip.convolution(channels, c.out_channels * c.patch_size * c.patch_size)};
}

//! CogVideoXDecoder3D.
Operations operations(const models::cogvideox::VaeConfig& c, int64_t frames, int64_t height, int64_t width) {
  constexpr int64_t mid_resnets = 2, maps_of_norm = 2;
  const Growing latents(frames, height, width);
  Growing clip = latents;
  const auto norm = [&](int64_t channels) {
    return maps_of_norm * latents.convolution(c.latent_channels, channels, 1);
  };
  const auto resnet = [&](int64_t in, int64_t out) { return norm(in) + norm(out) + clip.resnet(in, out); };
  const auto frames_behind = [&](int64_t upsamplers) {
    models::cogvideox::VaeConfig shorter = c;
    shorter.temporal_compression_ratio = std::exp2(std::min(upsamplers, c.temporal_levels()));
    return shorter.decoded_frames(frames);
  };
  int64_t channels = c.block_out_channels.back();
  double sum = clip.convolution(c.latent_channels, channels) + mid_resnets * resnet(channels, channels);
  if (c.use_post_quant_conv) sum += clip.convolution(c.latent_channels, c.latent_channels, 1);
  const size_t blocks = c.block_out_channels.size();
  for (size_t i = 0; i < blocks; ++i) {
    const int64_t before = channels;
    channels = from_end(c.block_out_channels, i);
    sum += resnet(before, channels) + static_cast<double>(c.layers_per_block) * resnet(channels, channels);
    if (i + 1 == blocks) break;
    clip.widen(2);
    sum += clip.convolution(channels, channels, plane_taps);
    clip.last(frames_behind(static_cast<int64_t>(i) + 1));
  }
  return {sum + norm(channels) + clip.convolution(channels, c.out_channels)};
}

//! MochiDecoder3D, with the pictures before the clip, which are dropped.
Operations operations(const models::mochi::VaeConfig& c, int64_t frames, int64_t height, int64_t width) {
  Growing clip(frames, height, width);
  const auto& channels = c.decoder_block_out_channels;
  const auto resnets = [&](int64_t count, int64_t width_of) {
    return static_cast<double>(count) * clip.resnet(width_of, width_of);
  };
  double sum =
      clip.convolution(c.latent_channels, channels.back(), 1) + resnets(c.layers_per_block.back(), channels.back());
  for (size_t level = channels.size() - 1; level > 0; --level) {
    const int64_t time = c.temporal_expansions[level - 1], side = c.spatial_expansions[level - 1];
    sum += resnets(c.layers_per_block[level], channels[level]) +
           clip.convolution(channels[level], channels[level - 1] * time * side * side, 1);
    clip.last(clip.frames() * time);
    clip.widen(side);
  }
  return {sum + resnets(c.layers_per_block.front(), channels.front()) +
          clip.convolution(channels.front(), c.out_channels, 1)};
}

//! The decoder of CausalVideoVAE.
Operations operations(const models::pyramid_flow::VaeConfig& c, int64_t frames, int64_t height, int64_t width) {
  constexpr int64_t projections = 4, mid_resnets = 2;
  const auto& side = c.decoder;
  Growing clip(frames, height, width);
  int64_t channels = side.channels.back();
  double sum = clip.convolution(c.latent_channels, c.latent_channels, 1) +
               clip.convolution(c.latent_channels, channels) + mid_resnets * clip.resnet(channels, channels) +
               projections * clip.convolution(channels, channels, 1) +
               static_cast<double>(frames) * attention(height * width, height * width, channels);
  for (size_t i = 0; i < side.channels.size(); ++i) {
    for (int64_t j = 0; j < side.layers[i]; ++j) {
      sum += clip.resnet(channels, from_end(side.channels, i));
      channels = from_end(side.channels, i);
    }
    if (side.spatial[i]) {
      sum += clip.convolution(channels, subpixels * channels);
      clip.widen(2);
    }
    if (side.temporal[i]) {
      sum += clip.convolution(channels, 2 * channels);
      clip.last(2 * clip.frames() - 1);
    }
  }
  return {sum + clip.convolution(channels, c.pixel_channels)};
}

Operations operations(const models::ltx::LatentUpsamplerConfig& c, int64_t frames, int64_t height, int64_t width) {
  const int64_t depth_taps = c.dims == 3 ? taps : plane_taps, channels = c.mid_channels;
  const int64_t time = c.temporal_upsample ? 2 : 1, side = c.spatial_upsample ? 2 : 1;
  Growing clip(frames, height, width);
  const auto blocks = [&] {
    return static_cast<double>(2 * c.num_blocks_per_stage) * clip.convolution(channels, channels, depth_taps);
  };
  double sum = clip.convolution(c.in_channels, channels, depth_taps) + blocks() +
               clip.convolution(channels, channels * time * side * side, c.temporal_upsample ? taps : plane_taps);
  clip.last(time == 1 ? frames : 2 * frames - 1);
  clip.widen(side);
  sum += blocks();
  return {sum + clip.convolution(channels, c.in_channels, depth_taps)};
}

}  // namespace prax::app
