#include "models/pyramid_flow/vae.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "models/pyramid_flow/vae_layers.h"
#include "models/pyramid_flow/vae_tiles.h"
#include "nn/activation.h"
#include "tensor/parallel.h"

namespace prax::models::pyramid_flow {

namespace {

using Strings = std::vector<std::string>;
using Ints = std::vector<int64_t>;
using Bools = std::vector<bool>;

constexpr int64_t kernel_factor = 2;  // of each sampler

template <typename T>
T reversed(T values) {
  std::reverse(values.begin(), values.end());
  return values;
}

VaeConfig::Side side_from(const checkpoint::Config& config, const std::string& prefix, const std::string& block_type,
                          const std::string& types, const std::string& sample, int64_t layers) {
  VaeConfig::Side side;
  const auto blocks = config.get<Strings>(prefix + types, Strings(4, block_type));
  side.channels = config.get<Ints>(prefix + "block_out_channels", {128, 256, 512, 512});
  side.layers = config.get<Ints>(prefix + "layers_per_block", Ints(4, layers));
  side.spatial = config.get<Bools>(prefix + "spatial_" + sample, {true, true, true, false});
  side.temporal = config.get<Bools>(prefix + "temporal_" + sample, {true, true, true, false});
  side.groups = config.get<int64_t>(prefix + "norm_num_groups", 32);
  const size_t count = blocks.size();
  for (const std::string& type : blocks)
    if (type != block_type)
      config.refuse(prefix + types + " has \"" + type + "\", which is not supported",
                    "published autoencoders of Pyramid Flow have \"" + block_type + "\"");
  if (count == 0 || side.channels.size() != count || side.layers.size() != count || side.spatial.size() != count ||
      side.temporal.size() != count)
    config.refuse("the lists of " + prefix + "... are not of one length", "download config.json again");
  for (size_t i = 0; i < count; ++i)
    if (side.channels[i] < 1 || side.layers[i] < 0)
      config.refuse("a size of " + prefix + "... is not positive", "download config.json again");
  side.activation =
      nn::read_activation(config, prefix + "act_fn", "silu", "published autoencoders of Pyramid Flow have \"silu\"");
  return side;
}

int64_t factor_of(const Bools& sampled) { return int64_t{1} << std::count(sampled.begin(), sampled.end(), true); }

//! CausalUNetMidBlock2D: a resnet, attention, a resnet.
void add_mid_block(Chain& chain, const checkpoint::Weights& w, int64_t channels, const VaeConfig::Side& side,
                   DType dtype) {
  chain.add(std::make_unique<ResnetLayer>(w["resnets"][0], channels, channels, side.groups, side.activation, dtype));
  chain.add(std::make_unique<AttentionLayer>(w["attentions"][0], channels, side.groups, dtype));
  chain.add(std::make_unique<ResnetLayer>(w["resnets"][1], channels, channels, side.groups, side.activation, dtype));
}

//! Takes away what a chain remembers of a clip, and gives it back.
class SetAside {
public:
  explicit SetAside(Chain& chain) : chain_(chain) {
    chain_.each_conv([&](CausalConv& conv) { conv.swap_past(pasts_.emplace_back()); });
  }
  ~SetAside() {
    auto next = pasts_.begin();
    chain_.each_conv([&](CausalConv& conv) { conv.swap_past(*next++); });
  }
  SetAside(const SetAside&) = delete;
  SetAside& operator=(const SetAside&) = delete;

private:
  Chain& chain_;
  std::vector<CausalConv::Past> pasts_;
};

}  // namespace

int64_t VaeConfig::spatial_factor() const { return factor_of(decoder.spatial); }
int64_t VaeConfig::temporal_factor() const { return factor_of(decoder.temporal); }

VaeConfig VaeConfig::from(const checkpoint::Config& config) {
  VaeConfig c;
  c.pixel_channels = config.get<int64_t>("encoder_in_channels", 3);
  c.latent_channels = config.get<int64_t>("encoder_out_channels", 4);
  c.downsample_scale = config.get<int64_t>("downsample_scale", 8);
  c.encoder = side_from(config, "encoder_", "DownEncoderBlockCausal3D", "down_block_types", "down_sample", 2);
  c.decoder = side_from(config, "decoder_", "UpDecoderBlockCausal3D", "up_block_types", "up_sample", 3);
  if (c.pixel_channels != 3 || config.get<int64_t>("decoder_out_channels", 3) != 3)
    config.refuse("pictures of other than 3 channels are not supported", "download config.json again");
  if (c.latent_channels < 1 || config.get<int64_t>("decoder_in_channels", 4) != c.latent_channels)
    config.refuse("encoder_out_channels and decoder_in_channels do not fit each other", "download config.json again");
  if (c.downsample_scale < 1) config.refuse("downsample_scale is not positive", "download config.json again");
  if (factor_of(c.encoder.spatial) != c.spatial_factor() || factor_of(c.encoder.temporal) != c.temporal_factor())
    config.refuse("the encoder makes latents of another size than the decoder takes", "download config.json again");
  return c;
}

struct Vae::Layers {
  Layers(const VaeConfig& config, const checkpoint::Weights& weights, DType dtype) {
    build_encoder(config, weights, dtype);
    build_decoder(config, weights, dtype);
  }

  void build_encoder(const VaeConfig& config, const checkpoint::Weights& weights, DType dtype) {
    const VaeConfig::Side& side = config.encoder;
    const auto w = weights["encoder"];
    int64_t channels = side.channels.front();
    encoder.add(std::make_unique<ConvLayer>(CausalConv(w["conv_in"], config.pixel_channels, channels, dtype)));
    for (size_t i = 0; i < side.channels.size(); ++i) {
      const auto block = w["down_blocks"][static_cast<int>(i)];
      for (int64_t j = 0; j < side.layers[i]; ++j) {
        encoder.add(std::make_unique<ResnetLayer>(block["resnets"][static_cast<int>(j)], channels, side.channels[i],
                                                  side.groups, side.activation, dtype));
        channels = side.channels[i];
      }
      if (side.spatial[i])
        encoder.add(std::make_unique<ConvLayer>(
            CausalConv(block["downsamplers"][0]["conv"], channels, channels, dtype, 1, kernel_factor)));
      if (side.temporal[i])
        encoder.add(std::make_unique<ConvLayer>(
            CausalConv(block["temporal_downsamplers"][0]["conv"], channels, channels, dtype, kernel_factor, 1)));
    }
    add_mid_block(encoder, w["mid_block"], channels, side, dtype);
    encoder.add(std::make_unique<ConvLayer>(CausalConv(w["conv_out"], channels, 2 * config.latent_channels, dtype),
                                            nn::GroupNorm(w["conv_norm_out"], channels, side.groups, vae_norm_eps)));
    encoder.add(std::make_unique<PointLayer>(weights["quant_conv"], 2 * config.latent_channels, dtype));
  }

  void build_decoder(const VaeConfig& config, const checkpoint::Weights& weights, DType dtype) {
    const VaeConfig::Side& side = config.decoder;
    const auto w = weights["decoder"];
    const Ints blocks = reversed(side.channels);
    int64_t channels = blocks.front();
    decoder.add(std::make_unique<PointLayer>(weights["post_quant_conv"], config.latent_channels, dtype));
    decoder.add(std::make_unique<ConvLayer>(CausalConv(w["conv_in"], config.latent_channels, channels, dtype)));
    add_mid_block(decoder, w["mid_block"], channels, side, dtype);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const auto block = w["up_blocks"][static_cast<int>(i)];
      for (int64_t j = 0; j < side.layers[i]; ++j) {
        decoder.add(std::make_unique<ResnetLayer>(block["resnets"][static_cast<int>(j)], channels, blocks[i],
                                                  side.groups, side.activation, dtype));
        channels = blocks[i];
      }
      if (side.spatial[i]) decoder.add(std::make_unique<SpatialUpsample>(block["upsamplers"][0], channels, dtype));
      if (side.temporal[i])
        decoder.add(std::make_unique<TemporalUpsample>(block["temporal_upsamplers"][0], channels, dtype));
    }
    decoder.add(std::make_unique<ConvLayer>(CausalConv(w["conv_out"], channels, config.pixel_channels, dtype),
                                            nn::GroupNorm(w["conv_norm_out"], channels, side.groups, vae_norm_eps)));
  }

  Chain encoder, decoder;
};

Vae::Vae(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(VaeConfig::from(config)), layers_(std::make_unique<Layers>(config_, weights, dtype)) {}

Vae::~Vae() = default;

void Vae::begin_decoding() { layers_->decoder.begin(); }
void Vae::end_decoding() { layers_->decoder.begin(); }

void Vae::decode_next(const Tensor& latent_frame, const Emit& emit) {
  const int64_t channels = config_.latent_channels;
  if (latent_frame.rank() != 4 || latent_frame.dim(0) != channels || latent_frame.dim(1) != 1)
    throw Error(ErrorKind::internal, "a frame of latents " + to_string(latent_frame.shape()) +
                                         " does not fit a decoder of " + std::to_string(channels) + " channels");
  const int64_t height = latent_frame.dim(2), width = latent_frame.dim(3);
  nn::Frame frame = nn::Frame::empty(height, width, channels);
  const float* from = latent_frame.data<float>();
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x) frame.pixel(y, x)[c] = *from++;
  layers_->decoder.push(std::move(frame), [&](nn::Frame out) {
    Tensor picture = Tensor::empty({out.height, out.width, out.channels});
    for (int64_t y = 0; y < out.height; ++y)
      std::copy_n(out.pixel(y, 0), out.width * out.channels, picture.data<float>() + y * out.width * out.channels);
    emit(picture);
  });
}

Tensor Vae::decode_alone(const Tensor& latent_frame) {
  const SetAside begun(layers_->decoder);
  Tensor picture;
  decode_next(latent_frame, [&](const Tensor& p) { picture = p; });
  return picture;
}

void Vae::decode(const Tensor& latents, const VaeTiling& tiling, const Emit& emit) {
  const auto whole = [&](const Tensor& z, const Emit& to) {
    const Tensor by_frame = z.permute({1, 0, 2, 3});
    begin_decoding();
    for (int64_t t = 0; t < by_frame.dim(0); ++t)
      decode_next(by_frame.slice(t, t + 1).view({z.dim(0), 1, z.dim(2), z.dim(3)}), to);
    end_decoding();
  };
  const int64_t tile = tiling.tile_sample_min_size / config_.downsample_scale;
  if (!tiling.enabled || (latents.dim(2) <= tile && latents.dim(3) <= tile)) return whole(latents, emit);
  const TileGrid grid{tile, tiling.tile_sample_min_size};
  const Tensor video = code_tiles(latents.permute({1, 2, 3, 0}), grid, [&](const Tensor& part) {
    std::vector<Tensor> pictures;
    whole(part.permute({3, 0, 1, 2}), [&](const Tensor& picture) {
      pictures.push_back(picture.view({1, picture.dim(0), picture.dim(1), picture.dim(2)}));
    });
    return Tensor::concat(pictures, 0);
  });
  for (int64_t t = 0; t < video.dim(0); ++t)
    emit(video.slice(t, t + 1).view({video.dim(1), video.dim(2), video.dim(3)}));
}

//! [frames, H, W, 3] -> moments [frames', H', W', 2 * latent_channels]
Tensor Vae::encode_whole(const Tensor& video) {
  const int64_t height = video.dim(1), width = video.dim(2), channels = video.dim(3);
  std::vector<Tensor> moments;
  layers_->encoder.begin();
  for (int64_t t = 0; t < video.dim(0); ++t)
    layers_->encoder.push(nn::frame_from(video.data<float>() + t * height * width * channels, height, width, channels),
                          [&](const nn::Frame& out) {
                            const int64_t row = out.width * out.channels;
                            Tensor m = Tensor::empty({1, out.height, out.width, out.channels});
                            for (int64_t y = 0; y < out.height; ++y)
                              std::copy_n(out.pixel(y, 0), row, m.data<float>() + y * row);
                            moments.push_back(m);
                          });
  layers_->encoder.begin();
  return Tensor::concat(moments, 0);
}

Tensor Vae::encode(const Tensor& video, const VaeTiling& tiling) {
  const int64_t factor = config_.spatial_factor();
  if (video.rank() != 4 || video.dim(0) < 1 || video.dim(3) != config_.pixel_channels)
    throw Error(ErrorKind::internal, "a clip " + to_string(video.shape()) + " does not fit the video encoder");
  if (video.dim(1) < 1 || video.dim(2) < 1 || video.dim(1) % factor != 0 || video.dim(2) % factor != 0)
    throw Error(ErrorKind::usage,
                "a picture of " + std::to_string(video.dim(2)) + "x" + std::to_string(video.dim(1)) +
                    " pixels does not fit the video encoder",
                "choose a width and height that are multiples of " + std::to_string(factor));
  const int64_t tile = tiling.tile_sample_min_size;
  const TileGrid grid{tile, tile / config_.downsample_scale};
  const Tensor moments = !tiling.enabled || (video.dim(1) <= tile && video.dim(2) <= tile)
                             ? encode_whole(video)
                             : code_tiles(video, grid, [&](const Tensor& part) { return encode_whole(part); });
  return moments.permute({3, 0, 1, 2});
}

}  // namespace prax::models::pyramid_flow
