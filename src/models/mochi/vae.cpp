#include "models/mochi/vae.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/error.h"
#include "models/mochi/tiles.h"
#include "models/mochi/vae_blocks.h"
#include "nn/activation.h"
#include "tensor/parallel.h"

namespace prax::models::mochi {

namespace {

using Ints = std::vector<int64_t>;
using Bools = std::vector<bool>;
using Floats = std::vector<float>;

// FourierFeatures: sines and cosines of 2^6 and 2^7 turns for each channel.
constexpr float turn = 2 * std::numbers::pi_v<float>;
constexpr float fourier_octaves[] = {64.0f, 128.0f};
constexpr int64_t fourier_features = 1 + 2 * static_cast<int64_t>(std::size(fourier_octaves));

// The class's defaults.
const Floats default_mean{-0.06730895953510081f, -0.038011381506090416f, -0.07477820912866141f,  -0.05565264470995561f,
                          0.012767231469026969f, -0.04703542746246419f,  0.043896967884726704f,  -0.09346305707025976f,
                          -0.09918314763016893f, -0.008729793427399178f, -0.011931556316503654f, -0.0321993391887285f};
const Floats default_std{0.9263795028493863f, 0.9248894543193766f, 0.9393059390890617f, 0.959253732819592f,
                         0.8244560132752793f, 0.917259975397747f,  0.9294154431013696f, 1.3720942357788521f,
                         0.881393668867029f,  0.9168315692124348f, 0.9185249279345552f, 0.9274757570805041f};

int64_t product(const Ints& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{1}, std::multiplies());
}

[[noreturn]] void refuse_vae(const checkpoint::Config& config, const std::string& what) {
  config.refuse(what, "download the vae's config.json again");
}

//! Of each latent channel; undefined where config has null, which means none.
Tensor statistic(const checkpoint::Config& config, const char* key, const Floats& absent, int64_t channels) {
  if (config.values().contains(key) && !config.has(key)) return {};
  const Floats values = config.get<Floats>(key, absent);
  if (static_cast<int64_t>(values.size()) != channels)
    refuse_vae(config, std::string(key) + " has " + std::to_string(values.size()) + " entries, but there are " +
                           std::to_string(channels) + " latent channels");
  return Tensor::from<float>({channels}, values);
}

//! The last layers: the activation, in the encoder of a norm, and a projection of each pixel.
class OutputStage : public Stage {
public:
  OutputStage(std::optional<FrameNorm> norm, kernels::Activation activation, nn::Linear projection)
      : norm_(std::move(norm)), activation_(activation), projection_(std::move(projection)) {}
  void begin() override {}
  void finish(const Emit&) override {}

  void push(nn::Frame frame, const Emit& emit) override {
    const int64_t channels = frame.channels, row = frame.width * channels;
    std::optional<nn::ChannelAffine> norm;
    if (norm_) norm = (*norm_)(frame);
    parallel_for(frame.height, std::max<int64_t>(1, 32768 / row), [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y) {
        float* pixels = frame.pixel(y, 0);
        if (norm)
          for (int64_t i = 0; i < row; ++i) {
            const auto c = static_cast<size_t>(i % channels);
            pixels[i] = pixels[i] * norm->scale[c] + norm->shift[c];
          }
        kernels::kernels().activate(pixels, DType::f32, row, activation_, pixels, DType::f32);
      }
    });
    nn::Frame out{frame.height, frame.width, projection_.out(), projection_(frame.data, DType::f32)};
    frame = {};
    emit(std::move(out));
  }

private:
  std::optional<FrameNorm> norm_;
  kernels::Activation activation_;
  nn::Linear projection_;
};

//! [frames, height, width, channels] of frames of one size.
Tensor stacked(const std::vector<nn::Frame>& frames) {
  if (frames.empty())
    throw Error(ErrorKind::usage, "there are no frames to code", "give a video of at least one frame");
  const nn::Frame& first = frames.front();
  Tensor out = Tensor::empty({static_cast<int64_t>(frames.size()), first.height, first.width, first.channels});
  float* to = out.data<float>();
  for (const nn::Frame& f : frames)
    for (int64_t y = 0; y < f.height; ++y, to += f.width * f.channels)
      std::copy_n(f.pixel(y, 0), f.width * f.channels, to);
  return out;
}

}  // namespace

int64_t VaeConfig::picture_channels() const { return in_channels / fourier_features; }
int64_t VaeConfig::spatial_compression_ratio() const { return product(spatial_expansions); }
int64_t VaeConfig::temporal_compression_ratio() const { return product(temporal_expansions); }

VaeConfig VaeConfig::from(const checkpoint::Config& config) {
  VaeConfig c{};
  c.in_channels = config.get<int64_t>("in_channels", 15);
  c.out_channels = config.get<int64_t>("out_channels", 3);
  c.latent_channels = config.get<int64_t>("latent_channels", 12);
  c.encoder_block_out_channels = config.get<Ints>("encoder_block_out_channels", {64, 128, 256, 384});
  c.decoder_block_out_channels = config.get<Ints>("decoder_block_out_channels", {128, 256, 512, 768});
  c.layers_per_block = config.get<Ints>("layers_per_block", {3, 3, 4, 6, 3});
  c.temporal_expansions = config.get<Ints>("temporal_expansions", {1, 2, 3});
  c.spatial_expansions = config.get<Ints>("spatial_expansions", {2, 2, 2});
  c.add_attention_block = config.get<Bools>("add_attention_block", {false, true, true, true, true});
  c.scaling_factor = config.get<float>("scaling_factor", 1.0f);
  c.activation = nn::read_activation(config, "act_fn", "silu", "Mochi autoencoders have \"silu\"");

  const size_t blocks = c.decoder_block_out_channels.size();
  if (blocks < 1 || c.encoder_block_out_channels.size() != blocks || c.layers_per_block.size() != blocks + 1 ||
      c.add_attention_block.size() != blocks + 1 || c.temporal_expansions.size() != blocks - 1 ||
      c.spatial_expansions.size() != blocks - 1)
    refuse_vae(config, "the lists of blocks, layers, attentions and expansions do not fit each other");
  constexpr int64_t most = 1 << 16;
  const auto within = [](const Ints& values, int64_t low) {
    return std::all_of(values.begin(), values.end(), [&](int64_t v) { return v >= low && v <= most; });
  };
  const auto small_product = [&](const Ints& values) {
    int64_t product = 1;
    for (const int64_t v : values)
      if ((product *= v) > most) return false;
    return true;
  };
  const Ints single{c.out_channels, c.latent_channels};
  if (!within(single, 1) || !within(c.encoder_block_out_channels, 1) || !within(c.decoder_block_out_channels, 1) ||
      !within(c.layers_per_block, 0) || !within(c.temporal_expansions, 1) || !within(c.spatial_expansions, 1) ||
      !small_product(c.temporal_expansions) || !small_product(c.spatial_expansions) ||
      c.in_channels < fourier_features || c.in_channels > most || c.in_channels % fourier_features != 0)
    refuse_vae(config, "a size is not one that the video autoencoder can have");
  return c;
}

//! MochiDecoder3D
class VaeDecoder {
public:
  VaeDecoder(const VaeConfig& c, const checkpoint::Weights& w, DType dtype) : config_(c) {
    const Ints& channels = c.decoder_block_out_channels;
    const size_t blocks = channels.size();
    chain_.add(std::make_unique<ProjectionStage>(
        nn::Linear::of_patches(w["conv_in"], {channels.back(), c.latent_channels, 1, 1, 1}, true, dtype)));
    add_resnets(chain_, w["block_in"], c.layers_per_block.back(), channels.back(), false, dtype);
    for (size_t i = 0; i + 1 < blocks; ++i) {
      const auto block = w["up_blocks"][static_cast<int>(i)];
      const size_t level = blocks - 1 - i;  // counted as in config, from the pictures down
      add_resnets(chain_, block, c.layers_per_block[level], channels[level], false, dtype);
      chain_.add(std::make_unique<UpsampleStage>(block["proj"], channels[level], channels[level - 1],
                                                 c.temporal_expansions[level - 1], c.spatial_expansions[level - 1],
                                                 dtype));
    }
    add_resnets(chain_, w["block_out"], c.layers_per_block.front(), channels.front(), false, dtype);
    chain_.add(std::make_unique<OutputStage>(std::nullopt, c.activation,
                                             nn::Linear(w["proj_out"], channels.front(), c.out_channels, true, dtype)));
  }

  //! Rows and columns of latents. The first pictures are those of frames before the clip, and are dropped.
  void decode(const Tensor& latents, int64_t y0, int64_t y1, int64_t x0, int64_t x1, const Emit& emit,
              const std::function<void()>& on_frame) {
    int64_t drop = config_.temporal_compression_ratio() - 1;
    const Emit keep = [&](nn::Frame frame) {
      if (drop-- > 0) return;
      emit(std::move(frame));
    };
    chain_.begin();
    for (int64_t t = 0; t < latents.dim(1); ++t) {
      nn::Frame frame = nn::Frame::empty(y1 - y0, x1 - x0, latents.dim(0));
      for (int64_t c = 0; c < frame.channels; ++c)
        for (int64_t y = 0; y < frame.height; ++y) {
          const int64_t row = (c * latents.dim(1) + t) * latents.dim(2) + y0 + y;
          const float* from = latents.data<float>() + row * latents.dim(3) + x0;
          for (int64_t x = 0; x < frame.width; ++x) frame.pixel(y, x)[c] = from[x];
        }
      chain_.push(std::move(frame), keep);
      if (on_frame) on_frame();
    }
    chain_.finish(keep);
  }

private:
  const VaeConfig& config_;
  Chain chain_;
};

//! MochiEncoder3D
class VaeEncoder {
public:
  VaeEncoder(const VaeConfig& c, const checkpoint::Weights& w, DType dtype) : config_(c) {
    const Ints& channels = c.encoder_block_out_channels;
    const auto attends = [&](size_t block) -> bool { return c.add_attention_block[block]; };
    chain_.add(
        std::make_unique<ProjectionStage>(nn::Linear(w["proj_in"], c.in_channels, channels.front(), true, dtype)));
    add_resnets(chain_, w["block_in"], c.layers_per_block.front(), channels.front(), attends(0), dtype);
    for (size_t i = 0; i + 1 < channels.size(); ++i) {
      const auto block = w["down_blocks"][static_cast<int>(i)];
      chain_.add(std::make_unique<DownsampleStage>(block["conv_in"], channels[i], channels[i + 1],
                                                   c.temporal_expansions[i], c.spatial_expansions[i], dtype));
      add_resnets(chain_, block, c.layers_per_block[i + 1], channels[i + 1], attends(i + 1), dtype);
    }
    add_resnets(chain_, w["block_out"], c.layers_per_block.back(), channels.back(), attends(channels.size()), dtype);
    chain_.add(
        std::make_unique<OutputStage>(FrameNorm(w["norm_out"], channels.back()), c.activation,
                                      nn::Linear(w["proj_out"], channels.back(), 2 * c.latent_channels, false, dtype)));
  }

  //! Rows and columns of pixels -> [frames', height', width', 2 * latent_channels]
  Tensor encode(const Tensor& video, int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
    std::vector<nn::Frame> encoded;
    const Emit keep = [&](nn::Frame f) { encoded.push_back(std::move(f)); };
    chain_.begin();
    for (int64_t t = 0; t < video.dim(0); ++t) chain_.push(features(video, t, y0, y1, x0, x1), keep);
    chain_.finish(keep);
    return stacked(encoded);
  }

private:
  //! FourierFeatures: the channels, then the sines of each channel's octaves, then the cosines.
  nn::Frame features(const Tensor& video, int64_t t, int64_t y0, int64_t y1, int64_t x0, int64_t x1) const {
    const int64_t channels = config_.picture_channels(), octaves = static_cast<int64_t>(std::size(fourier_octaves));
    nn::Frame frame = nn::Frame::empty(y1 - y0, x1 - x0, config_.in_channels);
    parallel_for(frame.height, 4, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t x = 0; x < frame.width; ++x) {
          const int64_t pixel = (t * video.dim(1) + y0 + y) * video.dim(2) + x0 + x;
          const float* from = video.data<float>() + pixel * channels;
          float* to = frame.pixel(y, x);
          for (int64_t c = 0; c < channels; ++c) {
            to[c] = from[c];
            for (int64_t o = 0; o < octaves; ++o) {
              const float angle = fourier_octaves[o] * turn * from[c];
              to[channels + c * octaves + o] = std::sin(angle);
              to[channels * (1 + octaves) + c * octaves + o] = std::cos(angle);
            }
          }
        }
    });
    return frame;
  }

  const VaeConfig& config_;
  Chain chain_;
};

Vae::Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(VaeConfig::from(config)),
      latents_mean_(statistic(config, "latents_mean", default_mean, config_.latent_channels)),
      latents_std_(statistic(config, "latents_std", default_std, config_.latent_channels)),
      decoder_(std::make_unique<VaeDecoder>(config_, weights["decoder"], dtype)),
      encoder_(std::make_unique<VaeEncoder>(config_, weights["encoder"], dtype)) {}

Vae::~Vae() = default;

void Vae::decode(const Tensor& latents, const std::function<void(const Tensor&)>& emit,
                 const std::function<void(int64_t, int64_t)>& on_latent_frame, const std::optional<Tiling>& tiling) {
  if (latents.rank() != 4 || latents.dim(0) != config_.latent_channels || latents.numel() == 0)
    throw Error(ErrorKind::internal, "latents " + to_string(latents.shape()) + " do not fit a video decoder of " +
                                         std::to_string(config_.latent_channels) + " channels");
  const int64_t height = latents.dim(2), width = latents.dim(3), ratio = config_.spatial_compression_ratio();
  int64_t done = 0, all = latents.dim(1);
  const auto on_frame = [&] {
    if (on_latent_frame) on_latent_frame(++done, all);
  };
  const Tiling t = tiling.value_or(Tiling{});
  const TileAxis rows{height,
                      t.tile_sample_min_height / ratio,
                      t.tile_sample_stride_height / ratio,
                      t.tile_sample_stride_height,
                      t.tile_sample_min_height - t.tile_sample_stride_height,
                      height * ratio};
  const TileAxis columns{width,
                         t.tile_sample_min_width / ratio,
                         t.tile_sample_stride_width / ratio,
                         t.tile_sample_stride_width,
                         t.tile_sample_min_width - t.tile_sample_stride_width,
                         width * ratio};
  if (!tiling || (height <= rows.tile && width <= columns.tile)) {
    decoder_->decode(
        latents, 0, height, 0, width,
        [&](nn::Frame frame) {
          emit(stacked({frame}).view({frame.height, frame.width, frame.channels}));
        },
        on_frame);
    return;
  }
  all *= tile_count(rows, columns);
  const Tensor video = code_tiles(rows, columns, [&](int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
    std::vector<nn::Frame> pictures;
    decoder_->decode(
        latents, y0, y1, x0, x1, [&](nn::Frame frame) { pictures.push_back(std::move(frame)); }, on_frame);
    return stacked(pictures);
  });
  for (int64_t f = 0; f < video.dim(0); ++f)
    emit(video.slice(f, f + 1).view({video.dim(1), video.dim(2), video.dim(3)}));
}

Tensor Vae::encode(const Tensor& video, const std::optional<Tiling>& tiling) {
  if (video.rank() != 4 || video.dim(3) != config_.picture_channels() || video.numel() == 0)
    throw Error(ErrorKind::internal, "a video " + to_string(video.shape()) + " does not fit a video encoder of " +
                                         std::to_string(config_.picture_channels()) + " channels");
  const int64_t height = video.dim(1), width = video.dim(2), ratio = config_.spatial_compression_ratio();
  const Tiling t = tiling.value_or(Tiling{});
  Tensor moments;
  if (!tiling || (height <= t.tile_sample_min_height && width <= t.tile_sample_min_width)) {
    moments = encoder_->encode(video, 0, height, 0, width);
  } else {
    const auto axis = [&](int64_t extent, int64_t tile, int64_t stride) {
      return TileAxis{extent, tile, stride, stride / ratio, tile / ratio - stride / ratio, extent / ratio};
    };
    const TileAxis rows = axis(height, t.tile_sample_min_height, t.tile_sample_stride_height);
    const TileAxis columns = axis(width, t.tile_sample_min_width, t.tile_sample_stride_width);
    tile_count(rows, columns);  // says what is wrong with the sizes
    moments = code_tiles(rows, columns, [&](int64_t y0, int64_t y1, int64_t x0, int64_t x1) {
      return encoder_->encode(video, y0, y1, x0, x1);
    });
  }
  return moments.permute({3, 0, 1, 2});
}

}  // namespace prax::models::mochi
