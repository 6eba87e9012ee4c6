#include "models/cogvideox/vae.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "models/cogvideox/vae_layers.h"
#include "models/cogvideox/vae_tiling.h"
#include "nn/activation.h"

namespace prax::models::cogvideox {

namespace {

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;

// The class's num_latent_frames_batch_size and num_sample_frames_batch_size; it reads them from no config.
constexpr int64_t latent_frames_of_chunk = 2;
constexpr int64_t sample_frames_of_chunk = 8;
constexpr float norm_out_eps = 1e-6f;  // CogVideoXEncoder3D
constexpr int64_t mid_block_layers = 2;
constexpr double overlap_factor_height = 1.0 / 6.0, overlap_factor_width = 1.0 / 5.0;

void require_types(const checkpoint::Config& config, const char* key, const std::string& type, size_t count) {
  const auto types = config.get<Strings>(key, Strings(4, type));
  if (types.size() != count)
    config.refuse(std::string(key) + " has " + std::to_string(types.size()) + " entries, block_out_channels " +
                      std::to_string(count),
                  "download config.json again");
  for (const std::string& t : types)
    if (t != type)
      config.refuse(std::string(key) + " has \"" + t + "\", which is not known",
                    "CogVideoX autoencoders are made of \"" + type + "\"");
}

//! Frames [begin, end) of each chunk: whole ones of `size`, the first with what does not fill one.
std::vector<std::pair<int64_t, int64_t>> chunks_of(int64_t frames, int64_t size) {
  std::vector<std::pair<int64_t, int64_t>> chunks;
  const int64_t rest = frames % size;
  for (int64_t i = 0; i < std::max<int64_t>(frames / size, 1); ++i)
    chunks.emplace_back(size * i + (i == 0 ? 0 : rest), std::min(size * (i + 1) + rest, frames));
  return chunks;
}

}  // namespace

int64_t VaeConfig::temporal_levels() const { return static_cast<int64_t>(std::log2(temporal_compression_ratio)); }

int64_t VaeConfig::decoded_frames(int64_t latent_frames) const {
  const auto samplers = static_cast<int64_t>(block_out_channels.size()) - 1;
  int64_t all = 0;
  for (const auto& [begin, end] : chunks_of(latent_frames, latent_frames_of_chunk)) {
    int64_t frames = end - begin;
    for (int64_t level = 0; level < std::min(temporal_levels(), samplers); ++level)
      frames = frames % 2 == 1 ? 2 * frames - 1 : 2 * frames;
    all += frames;
  }
  return all;
}

VaeConfig VaeConfig::from(const checkpoint::Config& config) {
  VaeConfig c{};
  c.in_channels = config.get<int64_t>("in_channels", 3);
  c.out_channels = config.get<int64_t>("out_channels", 3);
  c.latent_channels = config.get<int64_t>("latent_channels", 16);
  c.layers_per_block = config.get<int64_t>("layers_per_block", 3);
  c.norm_num_groups = config.get<int64_t>("norm_num_groups", 32);
  c.block_out_channels = config.get<Ints>("block_out_channels", {128, 256, 256, 512});
  c.norm_eps = config.get<float>("norm_eps", 1e-6f);
  c.scaling_factor = config.get<double>("scaling_factor", 1.15258426);
  c.temporal_compression_ratio = config.get<double>("temporal_compression_ratio", 4.0);
  c.sample_height = config.get<int64_t>("sample_height", 480);
  c.sample_width = config.get<int64_t>("sample_width", 720);
  c.use_quant_conv = config.get<bool>("use_quant_conv", false);
  c.use_post_quant_conv = config.get<bool>("use_post_quant_conv", false);
  c.invert_scale_latents = config.get<bool>("invert_scale_latents", false);

  constexpr size_t most_blocks = 16;
  constexpr int64_t most = int64_t{1} << 20;  // no size of a real model comes near
  Ints sizes{c.in_channels, c.out_channels, c.latent_channels, c.norm_num_groups, c.sample_height, c.sample_width};
  sizes.insert(sizes.end(), c.block_out_channels.begin(), c.block_out_channels.end());
  if (std::any_of(sizes.begin(), sizes.end(), [](int64_t v) { return v < 1 || v > most; }) || c.layers_per_block < 0 ||
      c.layers_per_block > most || c.block_out_channels.empty() || c.block_out_channels.size() > most_blocks ||
      !(c.temporal_compression_ratio >= 1 && c.temporal_compression_ratio <= most) || !(c.scaling_factor > 0))
    config.refuse("a size is not one that the video autoencoder can have", "download config.json again");
  for (int64_t channels : c.block_out_channels)
    if (channels % c.norm_num_groups != 0)
      config.refuse(std::to_string(channels) + " channels cannot be cut into norm_num_groups = " +
                        std::to_string(c.norm_num_groups) + " groups",
                    "each of block_out_channels must be a multiple of it");
  require_types(config, "down_block_types", "CogVideoXDownBlock3D", c.block_out_channels.size());
  require_types(config, "up_block_types", "CogVideoXUpBlock3D", c.block_out_channels.size());
  c.activation = nn::read_activation(config, "act_fn", "silu", "CogVideoX autoencoders have \"silu\"");
  if ((c.use_quant_conv || c.use_post_quant_conv) && c.out_channels != c.latent_channels)
    config.refuse(std::string(c.use_quant_conv ? "use_quant_conv" : "use_post_quant_conv") + " is true with " +
                      std::to_string(c.out_channels) + " out_channels and " + std::to_string(c.latent_channels) +
                      " latent_channels",
                  "the reference makes that convolution for out_channels, so that both must be equal");
  return c;
}

//! CogVideoXDecoder3D: conv_in, two resnets, up blocks, norm and conv_out; all norms are conditioned on the latents.
class VaeDecoder {
public:
  VaeDecoder(const VaeConfig& c, const checkpoint::Weights& root, DType dtype)
      : conv_in_(root["decoder"]["conv_in"], c.latent_channels, c.block_out_channels.back(), dtype),
        norm_out_(root["decoder"]["norm_out"], c.block_out_channels.front(), c.latent_channels, c.norm_num_groups,
                  dtype),
        conv_out_(root["decoder"]["conv_out"], c.block_out_channels.front(), c.out_channels, dtype) {
    const auto w = root["decoder"];
    if (c.use_post_quant_conv)
      post_quant_conv_ = nn::PointConv(root["post_quant_conv"], c.out_channels, c.out_channels, dtype);
    const auto resnet = [&](const checkpoint::Weights& at, int64_t in, int64_t out) {
      return Resnet(at, {in, out, c.norm_num_groups, c.norm_eps, c.activation, c.latent_channels}, dtype);
    };
    const Ints channels(c.block_out_channels.rbegin(), c.block_out_channels.rend());
    int64_t in = channels[0];
    Block mid;
    for (int i = 0; i < mid_block_layers; ++i) mid.resnets.push_back(resnet(w["mid_block"]["resnets"][i], in, in));
    blocks_.push_back(std::move(mid));
    for (size_t i = 0; i < channels.size(); ++i) {
      const auto block = w["up_blocks"][static_cast<int>(i)];
      Block up;
      for (int j = 0; j <= c.layers_per_block; ++j) {
        up.resnets.push_back(resnet(block["resnets"][j], in, channels[i]));
        in = channels[i];
      }
      if (i + 1 < channels.size())
        up.upsample.emplace(block["upsamplers"][0], in, static_cast<int64_t>(i) < c.temporal_levels(), dtype);
      blocks_.push_back(std::move(up));
    }
  }

  //! Calls `emit` with each picture of that part of the latents [channels, frames, height, width], and `on_chunk` after
  //! each chunk with the latent frames that are through.
  void decode(const Tensor& latents, const Area& area, const std::function<void(nn::Frame)>& emit,
              const std::function<void(int64_t)>& on_chunk) {
    forget();
    for (const auto& [begin, end] : chunks_of(latents.dim(1), latent_frames_of_chunk)) {
      Chunk z;
      for (int64_t t = begin; t < end; ++t) {
        z.push_back(latent_frame(latents, t, area));
        if (post_quant_conv_) z.back() = (*post_quant_conv_)(z.back(), nullptr);
      }
      decode(z, emit);
      if (on_chunk) on_chunk(end);
    }
    forget();
  }

private:
  struct Block {
    std::vector<Resnet> resnets;
    std::optional<Upsample> upsample;
  };

  //! Drops what the convolutions keep of a clip.
  void forget() {
    conv_in_.begin();
    conv_out_.begin();
    for (Block& block : blocks_)
      for (Resnet& resnet : block.resnets) resnet.begin();
  }

  void decode(const Chunk& z, const std::function<void(nn::Frame)>& emit) {
    Chunk x;
    for (const nn::Frame& frame : z)
      x.push_back(conv_in_.push(frame.height, frame.width, [&](nn::Plane& p) { nn::fill_plane(frame, nullptr, p); }));
    conv_in_.rest();
    for (Block& block : blocks_) {
      for (Resnet& resnet : block.resnets) x = resnet(std::move(x), z);
      if (block.upsample) x = (*block.upsample)(std::move(x));
    }
    norm_out_.begin(x, z);
    for (size_t t = 0; t < x.size(); ++t) {
      nn::Frame picture =
          conv_out_.push(x[t].height, x[t].width, [&](nn::Plane& p) { norm_out_(x[t], static_cast<int64_t>(t), p); });
      x[t] = {};
      emit(std::move(picture));
    }
    norm_out_.end();
    conv_out_.rest();
  }

  static nn::Frame latent_frame(const Tensor& latents, int64_t t, const Area& area) {
    const int64_t channels = latents.dim(0), frames = latents.dim(1), height = latents.dim(2), width = latents.dim(3);
    nn::Frame f = nn::Frame::empty(area.height, area.width, channels);
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t y = 0; y < area.height; ++y)
        for (int64_t x = 0; x < area.width; ++x)
          f.pixel(y, x)[c] = latents.data<float>()[((c * frames + t) * height + area.top + y) * width + area.left + x];
    return f;
  }

  std::optional<nn::PointConv> post_quant_conv_;
  CausalConv conv_in_;
  std::vector<Block> blocks_;
  ChunkNorm norm_out_;
  CausalConv conv_out_;
};

//! CogVideoXEncoder3D: conv_in, down blocks, two resnets, norm and conv_out.
class VaeEncoder {
public:
  VaeEncoder(const VaeConfig& c, const checkpoint::Weights& root, DType dtype)
      : conv_in_(root["encoder"]["conv_in"], c.in_channels, c.block_out_channels.front(), dtype),
        norm_out_(root["encoder"]["norm_out"], c.block_out_channels.back(), c.norm_num_groups, norm_out_eps),
        conv_out_(root["encoder"]["conv_out"], c.block_out_channels.back(), 2 * c.latent_channels, dtype) {
    const auto w = root["encoder"];
    if (c.use_quant_conv)
      quant_conv_ = nn::PointConv(root["quant_conv"], 2 * c.out_channels, 2 * c.out_channels, dtype);
    const auto resnet = [&](const checkpoint::Weights& at, int64_t in, int64_t out) {
      return Resnet(at, {in, out, c.norm_num_groups, c.norm_eps, c.activation}, dtype);
    };
    int64_t in = c.block_out_channels[0];
    for (size_t i = 0; i < c.block_out_channels.size(); ++i) {
      const auto block = w["down_blocks"][static_cast<int>(i)];
      Block down;
      for (int j = 0; j < c.layers_per_block; ++j) {
        down.resnets.push_back(resnet(block["resnets"][j], in, c.block_out_channels[i]));
        in = c.block_out_channels[i];
      }
      if (i + 1 < c.block_out_channels.size())
        down.downsample.emplace(block["downsamplers"][0], in, static_cast<int64_t>(i) < c.temporal_levels(), dtype);
      blocks_.push_back(std::move(down));
    }
    Block mid;
    for (int i = 0; i < mid_block_layers; ++i) mid.resnets.push_back(resnet(w["mid_block"]["resnets"][i], in, in));
    blocks_.push_back(std::move(mid));
  }

  //! The moments of that part of the video [frames, H, W, channels], frame by frame.
  Chunk encode(const Tensor& video, const Area& area) {
    forget();
    Chunk moments;
    for (const auto& [begin, end] : chunks_of(video.dim(0), sample_frames_of_chunk)) {
      Chunk x;
      for (int64_t t = begin; t < end; ++t) {
        const nn::Frame frame = picture(video, t, area);
        x.push_back(conv_in_.push(frame.height, frame.width, [&](nn::Plane& p) { nn::fill_plane(frame, nullptr, p); }));
      }
      conv_in_.rest();
      for (Block& block : blocks_) {
        for (Resnet& resnet : block.resnets) x = resnet(std::move(x), {});
        if (block.downsample) x = (*block.downsample)(std::move(x));
      }
      norm_out_.begin(x, {});
      for (size_t t = 0; t < x.size(); ++t) {
        moments.push_back(conv_out_.push(x[t].height, x[t].width,
                                         [&](nn::Plane& p) { norm_out_(x[t], static_cast<int64_t>(t), p); }));
        if (quant_conv_) moments.back() = (*quant_conv_)(moments.back(), nullptr);
      }
      conv_out_.rest();
    }
    forget();
    return moments;
  }

private:
  struct Block {
    std::vector<Resnet> resnets;
    std::optional<Downsample> downsample;
  };

  //! Drops what the convolutions keep of a clip.
  void forget() {
    conv_in_.begin();
    conv_out_.begin();
    for (Block& block : blocks_)
      for (Resnet& resnet : block.resnets) resnet.begin();
  }

  static nn::Frame picture(const Tensor& video, int64_t t, const Area& area) {
    const int64_t height = video.dim(1), width = video.dim(2), channels = video.dim(3);
    nn::Frame f = nn::Frame::empty(area.height, area.width, channels);
    for (int64_t y = 0; y < area.height; ++y)
      std::copy_n(video.data<float>() + ((t * height + area.top + y) * width + area.left) * channels,
                  area.width * channels, f.pixel(y, 0));
    return f;
  }

  std::optional<nn::PointConv> quant_conv_;
  CausalConv conv_in_;
  std::vector<Block> blocks_;
  ChunkNorm norm_out_;
  CausalConv conv_out_;
};

namespace {

//! [H, W, channels] without the frame's extra columns.
Tensor dense(const nn::Frame& frame) {
  Tensor out = Tensor::empty({frame.height, frame.width, frame.channels});
  const int64_t row = frame.width * frame.channels;
  for (int64_t y = 0; y < frame.height; ++y) std::copy_n(frame.pixel(y, 0), row, out.data<float>() + y * row);
  return out;
}

}  // namespace

Vae::Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(VaeConfig::from(config)),
      decoder_(std::make_unique<VaeDecoder>(config_, weights, dtype)),
      encoder_(std::make_unique<VaeEncoder>(config_, weights, dtype)) {}

Vae::~Vae() = default;

void Vae::enable_tiling(const Tiling& tiling) {
  // 0 is absent, as in the reference's `or`.
  const auto given = [](const auto& value, auto otherwise) { return value && *value != 0 ? *value : otherwise; };
  const int64_t ratio = config_.spatial_ratio();
  const auto axis = [&](const std::optional<int64_t>& length, int64_t sample, const std::optional<double>& overlap,
                        double usual_overlap) {
    const int64_t pixels = given(length, sample / 2);
    return TileAxis{pixels / ratio, pixels, given(overlap, usual_overlap)};
  };
  const Tiles t{
      axis(tiling.tile_sample_min_height, config_.sample_height, tiling.tile_overlap_factor_height,
           overlap_factor_height),
      axis(tiling.tile_sample_min_width, config_.sample_width, tiling.tile_overlap_factor_width, overlap_factor_width)};
  const auto fits = [](const TileAxis& a) { return a.tile > 0 && a.overlap > 0 && a.overlap < 1 && a.step() > 0; };
  if (!fits(t.down) || !fits(t.across))
    throw Error(ErrorKind::usage,
                "tiles of " + std::to_string(t.across.coded) + "x" + std::to_string(t.down.coded) +
                    " pixels with overlaps of " + std::to_string(t.across.overlap) + " and " +
                    std::to_string(t.down.overlap) + " leave nothing of a tile",
                "take tiles of several times " + std::to_string(ratio) + " pixels and overlaps between 0 and 1");
  tiles_ = t;
}

Tiling Vae::tiling_near(int64_t side) const {
  const auto multiple = [&](double overlap) {
    const int64_t part = std::lround(1 / overlap) * config_.spatial_ratio();
    return std::max(part, side / part * part);
  };
  Tiling tiling;
  tiling.tile_sample_min_height = multiple(overlap_factor_height);
  tiling.tile_sample_min_width = multiple(overlap_factor_width);
  return tiling;
}

const Vae::Tiles* Vae::decoding_tiles(int64_t latent_height, int64_t latent_width) const {
  const bool several = tiles_ && (latent_height > tiles_->down.tile || latent_width > tiles_->across.tile);
  return several ? &*tiles_ : nullptr;
}

std::pair<int64_t, int64_t> Vae::picture_size(int64_t latent_height, int64_t latent_width) const {
  const Tiles* t = decoding_tiles(latent_height, latent_width);
  const int64_t ratio = config_.spatial_ratio();
  if (!t) return {latent_height * ratio, latent_width * ratio};
  return {t->down.joined(latent_height, ratio), t->across.joined(latent_width, ratio)};
}

void Vae::decode(const Tensor& latents, const std::function<void(const Tensor&)>& emit,
                 const std::function<void(int64_t, int64_t)>& on_latent_frame) {
  if (latents.rank() != 4 || latents.dim(0) != config_.latent_channels || latents.numel() == 0)
    throw Error(ErrorKind::internal, "latents " + to_string(latents.shape()) + " do not fit a video decoder of " +
                                         std::to_string(config_.latent_channels) + " channels");
  const int64_t frames = latents.dim(1), height = latents.dim(2), width = latents.dim(3);
  const Tiles* tiles = decoding_tiles(height, width);
  if (!tiles) {
    decoder_->decode(
        latents, {0, 0, height, width}, [&](nn::Frame f) { emit(dense(f)); },
        [&](int64_t done) {
          if (on_latent_frame) on_latent_frame(done, frames);
        });
    return;
  }
  const auto decoded = [&](const Area& area, int64_t index, int64_t count) {
    Chunk tile;
    decoder_->decode(
        latents, area, [&](nn::Frame f) { tile.push_back(std::move(f)); },
        [&](int64_t done) {
          if (on_latent_frame) on_latent_frame((index * frames + done) / count, frames);
        });
    return tile;
  };
  for (const nn::Frame& picture : code_tiles(height, width, tiles->down, tiles->across, decoded)) emit(dense(picture));
}

Tensor Vae::encode(const Tensor& video) {
  if (video.rank() != 4 || video.dim(3) != config_.in_channels || video.numel() == 0)
    throw Error(ErrorKind::internal, "a video " + to_string(video.shape()) + " does not fit a video encoder of " +
                                         std::to_string(config_.in_channels) + " channels");
  const int64_t height = video.dim(1), width = video.dim(2);
  Chunk moments;
  if (!tiles_ || (height <= tiles_->down.coded && width <= tiles_->across.coded)) {
    moments = encoder_->encode(video, {0, 0, height, width});
  } else {
    moments = code_tiles(height, width, tiles_->down.reversed(), tiles_->across.reversed(),
                         [&](const Area& area, int64_t, int64_t) { return encoder_->encode(video, area); });
  }
  const int64_t frames = static_cast<int64_t>(moments.size()), h = moments.at(0).height, w = moments[0].width;
  Tensor out = Tensor::empty({2 * config_.latent_channels, frames, h, w});
  float* to = out.data<float>();
  for (int64_t c = 0; c < out.dim(0); ++c)
    for (const nn::Frame& f : moments)
      for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x) *to++ = f.pixel(y, x)[c];
  return out;
}

}  // namespace prax::models::cogvideox
