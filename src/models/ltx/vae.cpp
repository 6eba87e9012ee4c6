#include "models/ltx/vae.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "models/ltx/vae_blocks.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::models::ltx {

namespace {

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;
using Bools = std::vector<bool>;

void require_length(const checkpoint::Config& config, const char* key, size_t have, size_t need) {
  if (have < need)
    config.refuse(
        std::string(key) + " has " + std::to_string(have) + " entries, but " + std::to_string(need) + " are needed",
        "download config.json again");
}

template <typename T>
T reversed(T values) {
  std::reverse(values.begin(), values.end());
  return values;
}

//! Upsampling blocks of the decoder: each doubles rows and columns, and makes 2 n - 1 frames of n.
int64_t doublings(const VaeConfig& c) {
  const auto scaling = reversed(c.decoder_spatio_temporal_scaling);
  return std::count(scaling.begin(), scaling.begin() + std::ssize(c.decoder_block_out_channels), true);
}

}  // namespace

int64_t VaeConfig::decoded_frames(int64_t latent_frames) const { return ((latent_frames - 1) << doublings(*this)) + 1; }

int64_t VaeConfig::decoded_pixels(int64_t latent_pixels) const {
  return (latent_pixels * patch_size) << doublings(*this);
}

VaeConfig VaeConfig::from(const checkpoint::Config& config) {
  VaeConfig c{};
  c.in_channels = config.get<int64_t>("in_channels", 3);
  c.out_channels = config.get<int64_t>("out_channels", 3);
  c.latent_channels = config.get<int64_t>("latent_channels", 128);
  c.patch_size = config.get<int64_t>("patch_size", 4);
  c.patch_size_t = config.get<int64_t>("patch_size_t", 1);
  c.block_out_channels = config.get<Ints>("block_out_channels", {128, 256, 512, 512});
  c.down_block_types = config.get<Strings>("down_block_types", Strings(4, "LTXVideoDownBlock3D"));
  c.decoder_block_out_channels = config.get<Ints>("decoder_block_out_channels", {128, 256, 512, 512});
  c.layers_per_block = config.get<Ints>("layers_per_block", {4, 3, 3, 3, 4});
  c.decoder_layers_per_block = config.get<Ints>("decoder_layers_per_block", {4, 3, 3, 3, 4});
  c.spatio_temporal_scaling = config.get<Bools>("spatio_temporal_scaling", {true, true, true, false});
  c.decoder_spatio_temporal_scaling = config.get<Bools>("decoder_spatio_temporal_scaling", {true, true, true, false});
  c.decoder_inject_noise = config.get<Bools>("decoder_inject_noise", Bools(5, false));
  c.downsample_type = config.get<Strings>("downsample_type", Strings(4, "conv"));
  c.upsample_residual = config.get<Bools>("upsample_residual", Bools(4, false));
  c.upsample_factor = config.get<Ints>("upsample_factor", Ints(4, 1));
  c.timestep_conditioning = config.get<bool>("timestep_conditioning", false);
  c.resnet_norm_eps = config.get<float>("resnet_norm_eps", 1e-6f);
  c.scaling_factor = config.get<float>("scaling_factor", 1.0f);
  c.encoder_causal = config.get<bool>("encoder_causal", true);
  c.decoder_causal = config.get<bool>("decoder_causal", false);
  const int64_t halvings = std::count(c.spatio_temporal_scaling.begin(), c.spatio_temporal_scaling.end(), true);
  c.spatial_compression_ratio = config.get<int64_t>("spatial_compression_ratio", c.patch_size << halvings);
  c.temporal_compression_ratio = config.get<int64_t>("temporal_compression_ratio", c.patch_size_t << halvings);

  if (c.patch_size < 1 || c.patch_size_t != 1 || c.in_channels < 1 || c.out_channels < 1 || c.latent_channels < 1 ||
      c.spatial_compression_ratio < 1 || c.temporal_compression_ratio < 1 || c.block_out_channels.empty() ||
      c.decoder_block_out_channels.empty() || c.down_block_types.empty())
    config.refuse("a size is not one that the video autoencoder can have",
                  "published LTX-Video autoencoders have patch_size_t 1 and at least one block");
  const size_t up = c.decoder_block_out_channels.size();
  require_length(config, "decoder_layers_per_block", c.decoder_layers_per_block.size(), up + 1);
  require_length(config, "decoder_inject_noise", c.decoder_inject_noise.size(), up + 1);
  require_length(config, "decoder_spatio_temporal_scaling", c.decoder_spatio_temporal_scaling.size(), up);
  require_length(config, "upsample_residual", c.upsample_residual.size(), up);
  require_length(config, "upsample_factor", c.upsample_factor.size(), up);
  const bool is_095 = c.down_block_types.back() == "LTXVideo095DownBlock3D";
  const size_t down = c.block_out_channels.size() - (is_095 ? 1 : 0);
  require_length(config, "down_block_types", c.down_block_types.size(), down);
  require_length(config, "layers_per_block", c.layers_per_block.size(), down + 1);
  require_length(config, "spatio_temporal_scaling", c.spatio_temporal_scaling.size(), down);
  require_length(config, "downsample_type", c.downsample_type.size(), is_095 ? down : 0);
  for (int64_t factor : c.upsample_factor)
    if (factor < 1) config.refuse("an upsample_factor is not positive", "");
  return c;
}

//! LTXVideoDecoder3d: conv_in, mid block, up blocks, norm and conv_out, then patches to pixels.
class VaeDecoder {
public:
  VaeDecoder(const VaeConfig& c, const checkpoint::Weights& w, DType dtype) : config_(c), dtype_(dtype) {
    const auto channels = reversed(c.decoder_block_out_channels);
    const auto scaling = reversed(c.decoder_spatio_temporal_scaling);
    const auto layers = reversed(c.decoder_layers_per_block);
    const auto noise = reversed(c.decoder_inject_noise);
    const auto residual = reversed(c.upsample_residual);
    const auto factor = reversed(c.upsample_factor);
    int64_t output = channels[0];
    const auto options = [&](int64_t in, int64_t out, bool inject) {
      return ResnetStage::Options{in, out, c.resnet_norm_eps, c.decoder_causal, inject, c.timestep_conditioning};
    };
    head_.add(std::make_unique<ConvStage>(w["conv_in"], c.latent_channels, output, c.decoder_causal, dtype));
    head_.add(
        std::make_unique<ResnetsStage>(w["mid_block"], layers[0], options(output, output, noise[0]), output, dtype));
    for (size_t i = 0; i < channels.size(); ++i) {
      const auto block = w["up_blocks"][static_cast<int>(i)];
      const int64_t input = output / factor[i];
      output = channels[i] / factor[i];
      if (input != output)
        tail_.add(std::make_unique<ResnetStage>(block["conv_in"], options(input, output, noise[i + 1]), dtype));
      if (scaling[i])
        tail_.add(std::make_unique<UpsampleStage>(block["upsamplers"][0], output * factor[i], factor[i], residual[i],
                                                  c.decoder_causal, dtype));
      tail_.add(
          std::make_unique<ResnetsStage>(block, layers[i + 1], options(output, output, noise[i + 1]), input, dtype));
    }
    if (c.timestep_conditioning) timestep_scale_ = nn::load_f32(w, "timestep_scale_multiplier", {});
    tail_.add(std::make_unique<OutputStage>(w, output, c.out_channels * c.patch_size * c.patch_size, c.decoder_causal,
                                            c.timestep_conditioning, dtype));
  }

  void decode(const Tensor& latents, std::optional<float> timestep, Generator& generator,
              const std::function<void(const Tensor&)>& emit, const std::function<void(int64_t, int64_t)>& on_frame) {
    const int64_t frames = latents.dim(1), height = latents.dim(2), width = latents.dim(3);
    ClipContext context{height, width, {}, &generator};
    if (timestep_scale_.defined()) context.timestep = timestep.value_or(0.0f) * *timestep_scale_.data<float>();
    head_.begin(context);
    tail_.begin(context);
    const nn::Emit picture = [&](nn::Frame frame) { emit(unpatchify(frame)); };
    // The head has half of all weights and the smallest frames: it works ahead, and where pictures are large it is
    // forgotten before the tail begins.
    constexpr size_t most_waiting = size_t{256} << 20;
    constexpr int64_t large_picture = 1 << 20;
    const bool forget =
        height * width * config_.spatial_compression_ratio * config_.spatial_compression_ratio > large_picture;
    nn::WaitingFrames waiting(dtype_);
    const nn::Emit wait = [&](const nn::Frame& frame) { waiting.push(frame); };
    int64_t done = 0;
    for (int64_t t = 0; t < frames; ++t) {
      head_.push(latent_frame(latents, t), wait);
      if (t + 1 == frames) head_.finish(wait);
      if (t + 1 < frames && waiting.bytes() < most_waiting) continue;
      if (forget) head_.release();
      while (!waiting.empty()) {
        tail_.push(waiting.pop_frame(), picture);
        if (on_frame) on_frame(++done, frames);
      }
    }
    tail_.finish(picture);
  }

private:
  nn::Frame latent_frame(const Tensor& latents, int64_t t) const {
    const int64_t channels = latents.dim(0), frames = latents.dim(1), height = latents.dim(2), width = latents.dim(3);
    nn::Frame f = nn::Frame::empty(height, width, channels);
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
          f.pixel(y, x)[c] = latents.data<float>()[((c * frames + t) * height + y) * width + x];
    return f;
  }

  //! Channel (c * p + a) * p + b is pixel (b, a) of the patch: the reference's patches run down before across.
  Tensor unpatchify(const nn::Frame& frame) const {
    const int64_t p = config_.patch_size, channels = config_.out_channels;
    Tensor out = Tensor::empty({frame.height * p, frame.width * p, channels});
    float* to = out.data<float>();
    parallel_for(out.dim(0), 8, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t x = 0; x < out.dim(1); ++x)
          for (int64_t c = 0; c < channels; ++c)
            to[(y * out.dim(1) + x) * channels + c] = frame.pixel(y / p, x / p)[(c * p + x % p) * p + y % p];
    });
    return out;
  }

  const VaeConfig& config_;
  DType dtype_;
  Chain head_;  //!< conv_in and the mid block
  Chain tail_;  //!< what is behind them
  Tensor timestep_scale_;
};

//! LTXVideoEncoder3d: pixels to patches, conv_in, down blocks, mid block, norm and conv_out; one log-variance for all
//! channels.
class VaeEncoder {
public:
  VaeEncoder(const VaeConfig& c, const checkpoint::Weights& w, DType dtype) : config_(c) {
    const bool causal = c.encoder_causal;
    const auto options = [&](int64_t in, int64_t out) {
      return ResnetStage::Options{in, out, c.resnet_norm_eps, causal};
    };
    const bool is_095 = c.down_block_types.back() == "LTXVideo095DownBlock3D";
    const size_t blocks = c.block_out_channels.size() - (is_095 ? 1 : 0);
    int64_t output = c.block_out_channels[0];
    chain_.add(
        std::make_unique<ConvStage>(w["conv_in"], c.in_channels * c.patch_size * c.patch_size, output, causal, dtype));
    for (size_t i = 0; i < blocks; ++i) {
      const auto block = w["down_blocks"][static_cast<int>(i)];
      const int64_t input = output;
      const size_t next = is_095 ? i + 1 : std::min(i + 1, blocks - 1);
      output = c.block_out_channels[next];
      chain_.add(std::make_unique<ResnetsStage>(block, c.layers_per_block[i], options(input, input), input, dtype));
      const auto sampler = block["downsamplers"][0];
      if (c.down_block_types[i] == "LTXVideoDownBlock3D") {
        if (c.spatio_temporal_scaling[i])
          chain_.add(std::make_unique<ConvStage>(sampler, input, input, causal, dtype, 2));
        if (input != output)
          chain_.add(std::make_unique<ResnetStage>(block["conv_out"], options(input, output), dtype));
      } else if (c.down_block_types[i] == "LTXVideo095DownBlock3D") {
        if (!c.spatio_temporal_scaling[i]) continue;
        const std::string& type = c.downsample_type[i];
        if (type == "conv") {
          chain_.add(std::make_unique<ConvStage>(sampler, input, input, causal, dtype, 2));
        } else if (type == "spatial" || type == "temporal" || type == "spatiotemporal") {
          chain_.add(std::make_unique<DownsampleStage>(sampler, input, output, type == "spatial" ? 1 : 2,
                                                       type == "temporal" ? 1 : 2, causal, dtype));
        } else {
          throw Error(ErrorKind::checkpoint, "downsample_type \"" + type + "\" is not one that the reference knows",
                      "download the vae's config.json again");
        }
      } else {
        throw Error(ErrorKind::checkpoint, "down block type \"" + c.down_block_types[i] + "\" is not known",
                    "this autoencoder is newer than this version of prax");
      }
    }
    chain_.add(std::make_unique<ResnetsStage>(w["mid_block"], c.layers_per_block[blocks], options(output, output),
                                              output, dtype));
    chain_.add(std::make_unique<OutputStage>(w, output, c.latent_channels + 1, causal, false, dtype));
  }

  Tensor encode(const Tensor& video) {
    const int64_t frames = video.dim(0), p = config_.patch_size;
    if (video.dim(1) % p || video.dim(2) % p)
      throw Error(ErrorKind::usage,
                  "pictures of " + std::to_string(video.dim(2)) + "x" + std::to_string(video.dim(1)) +
                      " do not fit the video encoder's patches",
                  "use a multiple of 32 pixels");
    ClipContext context{video.dim(1) / p, video.dim(2) / p, {}, nullptr};
    chain_.begin(context);
    std::vector<nn::Frame> encoded;
    const nn::Emit keep = [&](nn::Frame f) { encoded.push_back(std::move(f)); };
    for (int64_t t = 0; t < frames; ++t) chain_.push(patchify(video, t), keep);
    chain_.finish(keep);
    return moments(encoded);
  }

  void release() { chain_.release(); }

private:
  nn::Frame patchify(const Tensor& video, int64_t t) const {
    const int64_t p = config_.patch_size, height = video.dim(1), width = video.dim(2), channels = video.dim(3);
    nn::Frame f = nn::Frame::empty(height / p, width / p, channels * p * p);
    for (int64_t y = 0; y < f.height * p; ++y)
      for (int64_t x = 0; x < f.width * p; ++x)
        for (int64_t c = 0; c < channels; ++c)
          f.pixel(y / p, x / p)[(c * p + x % p) * p + y % p] =
              video.data<float>()[((t * height + y) * width + x) * channels + c];
    return f;
  }

  Tensor moments(const std::vector<nn::Frame>& encoded) const {
    const int64_t latent = config_.latent_channels, frames = static_cast<int64_t>(encoded.size());
    const int64_t height = encoded.at(0).height, width = encoded[0].width;
    Tensor out = Tensor::empty({2 * latent, frames, height, width});
    float* to = out.data<float>();
    for (int64_t c = 0; c < 2 * latent; ++c)
      for (const nn::Frame& f : encoded)
        for (int64_t y = 0; y < height; ++y)
          for (int64_t x = 0; x < width; ++x) *to++ = f.pixel(y, x)[std::min(c, latent)];
    return out;
  }

  const VaeConfig& config_;
  Chain chain_;
};

Vae::Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(VaeConfig::from(config)) {
  latents_mean_ = nn::load_f32(weights, "latents_mean", {config_.latent_channels});
  latents_std_ = nn::load_f32(weights, "latents_std", {config_.latent_channels});
  encoder_ = std::make_unique<VaeEncoder>(config_, weights["encoder"], dtype);
  decoder_ = std::make_unique<VaeDecoder>(config_, weights["decoder"], dtype);
}

Vae::~Vae() = default;

void Vae::decode(const Tensor& latents, std::optional<float> timestep, Generator& generator,
                 const std::function<void(const Tensor&)>& emit,
                 const std::function<void(int64_t, int64_t)>& on_latent_frame) {
  decoder_->decode(latents, timestep, generator, emit, on_latent_frame);
}

Tensor Vae::encode(const Tensor& video) { return encoder_->encode(video); }
void Vae::release_encoder() { encoder_->release(); }

}  // namespace prax::models::ltx
