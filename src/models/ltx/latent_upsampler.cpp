#include "models/ltx/latent_upsampler.h"

#include <cstring>
#include <vector>

#include "base/error.h"
#include "nn/group_norm.h"
#include "nn/plane_conv.h"
#include "tensor/parallel.h"

namespace prax::models::ltx {

namespace {

using kernels::Activation;
using nn::Frame;

constexpr int64_t norm_groups = 32;

//! What convolutions and norms see together. With dims 2 every frame is a clip of its own.
using Clip = std::vector<Frame>;
using Clips = std::vector<Clip>;

//! A 3x3 or 3x3x3 convolution with zeros around the picture and around the clip.
class Convolution {
public:
  Convolution(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t depth, DType dtype)
      : conv_(weights, in, out, depth, dtype), depth_(depth) {}

  Clips operator()(const Clips& clips) const {
    const nn::PlaneConv conv = conv_;  // packs itself, and is forgotten when all clips have gone through
    Clips out;
    for (const Clip& clip : clips) out.push_back(convolve(conv, clip));
    return out;
  }

private:
  Clip convolve(const nn::PlaneConv& conv, const Clip& clip) const {
    const int64_t height = clip.front().height, width = clip.front().width;
    const int64_t count = static_cast<int64_t>(clip.size()), ahead = depth_ / 2;
    std::vector<nn::Plane> ring(static_cast<size_t>(depth_));
    for (nn::Plane& plane : ring) plane = conv.plane(height, width);
    nn::Plane zeros;
    if (ahead > 0) {
      zeros = conv.plane(height, width);
      std::memset(zeros.data.raw(), 0, zeros.data.bytes());
    }
    std::vector<const nn::Plane*> window(static_cast<size_t>(depth_));
    Clip out;
    for (int64_t t = 0; t < count + ahead; ++t) {
      if (t < count) nn::fill_plane(clip[static_cast<size_t>(t)], nullptr, ring[static_cast<size_t>(t % depth_)]);
      if (t < ahead) continue;
      for (int64_t d = 0; d < depth_; ++d) {
        const int64_t source = t - depth_ + 1 + d;
        const bool inside = source >= 0 && source < count;
        window[static_cast<size_t>(d)] = inside ? &ring[static_cast<size_t>(source % depth_)] : &zeros;
      }
      out.push_back(Frame::empty(height, width, conv.out()));
      conv(window, out.back());
    }
    return out;
  }

  nn::PlaneConv conv_;
  int64_t depth_;
};

Clips norm_silu(const nn::GroupNorm& norm, const Clips& clips) {
  Clips out;
  for (const Clip& clip : clips) out.push_back(norm(clip, Activation::silu));
  return out;
}

//! silu(norm2(conv2(silu(norm1(conv1(x))))) + x)
struct ResBlock {
  ResBlock(const checkpoint::Weights& w, int64_t channels, int64_t depth, DType dtype)
      : conv1(w["conv1"], channels, channels, depth, dtype),
        norm1(w["norm1"], channels, norm_groups),
        conv2(w["conv2"], channels, channels, depth, dtype),
        norm2(w["norm2"], channels, norm_groups) {}

  Clips operator()(const Clips& x) {
    Clips h = norm_silu(norm1, conv1(x));
    h = conv2(h);
    for (size_t i = 0; i < h.size(); ++i) {
      const nn::ChannelAffine map = norm2.over(h[i]);
      for (size_t t = 0; t < h[i].size(); ++t) h[i][t] = nn::affine(h[i][t], map, Activation::silu, &x[i][t]);
    }
    return h;
  }

  Convolution conv1;
  nn::GroupNorm norm1;
  Convolution conv2;
  nn::GroupNorm norm2;
};

//! PixelShuffleND: channel ((c * st + a) * s + b) * s + d of a frame is channel c of its new frame a at pixel (b, d) of
//! each new cell of s x s pixels.
Clip shuffle(const Clip& clip, int64_t frames, int64_t side) {
  Clip out;
  for (const Frame& frame : clip) {
    const int64_t cell = frames * side * side;
    for (int64_t a = 0; a < frames; ++a) {
      Frame to = Frame::empty(frame.height * side, frame.width * side, frame.channels / cell);
      parallel_for(to.height, 1, [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y)
          for (int64_t x = 0; x < to.width; ++x) {
            const float* from = frame.pixel(y / side, x / side) + (a * side + y % side) * side + x % side;
            for (int64_t c = 0; c < to.channels; ++c) to.pixel(y, x)[c] = from[c * cell];
          }
      });
      out.push_back(std::move(to));
    }
  }
  return out;
}

//! [B, C, F, H, W] -> clips of the batch.
Clips clips_of(const Tensor& latents) {
  const int64_t batch = latents.dim(0), channels = latents.dim(1), frames = latents.dim(2);
  const int64_t height = latents.dim(3), width = latents.dim(4);
  Clips clips;
  for (int64_t b = 0; b < batch; ++b) {
    Clip clip;
    for (int64_t t = 0; t < frames; ++t) {
      Frame frame = Frame::empty(height, width, channels);
      for (int64_t c = 0; c < channels; ++c) {
        const float* from = latents.data<float>() + ((b * channels + c) * frames + t) * height * width;
        for (int64_t y = 0; y < height; ++y)
          for (int64_t x = 0; x < width; ++x) frame.pixel(y, x)[c] = *from++;
      }
      clip.push_back(std::move(frame));
    }
    clips.push_back(std::move(clip));
  }
  return clips;
}

Tensor tensor_of(const Clips& clips) {
  const Frame& shape = clips.front().front();
  const int64_t batch = static_cast<int64_t>(clips.size()), frames = static_cast<int64_t>(clips.front().size());
  Tensor out = Tensor::empty({batch, shape.channels, frames, shape.height, shape.width});
  float* to = out.data<float>();
  for (const Clip& clip : clips)
    for (int64_t c = 0; c < shape.channels; ++c)
      for (const Frame& frame : clip)
        for (int64_t y = 0; y < shape.height; ++y)
          for (int64_t x = 0; x < shape.width; ++x) *to++ = frame.pixel(y, x)[c];
  return out;
}

Clips singles(const Clips& clips) {
  Clips out;
  for (const Clip& clip : clips)
    for (const Frame& frame : clip) out.push_back({frame});
  return out;
}

Clips joined(const Clips& clips, size_t batch) {
  Clips out(batch);
  for (size_t i = 0; i < clips.size(); ++i) {
    Clip& clip = out[i / (clips.size() / batch)];
    clip.insert(clip.end(), clips[i].begin(), clips[i].end());
  }
  return out;
}

}  // namespace

LatentUpsamplerConfig LatentUpsamplerConfig::from(const checkpoint::Config& config) {
  LatentUpsamplerConfig c;
  c.in_channels = config.get("in_channels", c.in_channels);
  c.mid_channels = config.get("mid_channels", c.mid_channels);
  c.num_blocks_per_stage = config.get("num_blocks_per_stage", c.num_blocks_per_stage);
  c.dims = config.get("dims", c.dims);
  c.spatial_upsample = config.get("spatial_upsample", c.spatial_upsample);
  c.temporal_upsample = config.get("temporal_upsample", c.temporal_upsample);

  const auto bad = [&](const std::string& what, const std::string& hint) { config.refuse(what, hint); };
  constexpr int64_t most = int64_t{1} << 20;
  if (c.in_channels < 1 || c.mid_channels < 1 || c.in_channels > most || c.mid_channels > most ||
      c.num_blocks_per_stage < 0 || c.num_blocks_per_stage > most)
    bad("a size is not one that a latent upsampler can have", "download config.json again");
  if (c.mid_channels % norm_groups != 0)
    bad("mid_channels is " + std::to_string(c.mid_channels) + ", which is not a multiple of the 32 groups of the norms",
        "download config.json again");
  if (c.dims != 2 && c.dims != 3) bad("dims is " + std::to_string(c.dims), "it must be 2 or 3");
  if (!c.spatial_upsample && !c.temporal_upsample)
    bad("spatial_upsample and temporal_upsample are both false", "a latent upsampler needs one of them");
  if (c.dims == 2 && c.temporal_upsample)
    bad("temporal_upsample is true where dims is 2: the convolutions see single frames", "it needs dims 3");
  return c;
}

struct LatentUpsampler::Layers {
  Layers(const LatentUpsamplerConfig& c, const checkpoint::Weights& w, DType dtype)
      : depth(c.dims == 3 ? 3 : 1),
        new_frames(c.temporal_upsample ? 2 : 1),
        new_side(c.spatial_upsample ? 2 : 1),
        initial_conv(w["initial_conv"], c.in_channels, c.mid_channels, depth, dtype),
        initial_norm(w["initial_norm"], c.mid_channels, norm_groups),
        upsampler(w["upsampler"][0], c.mid_channels, c.mid_channels * new_frames * new_side * new_side,
                  c.temporal_upsample ? 3 : 1, dtype),
        final_conv(w["final_conv"], c.mid_channels, c.in_channels, depth, dtype) {
    for (int i = 0; i < static_cast<int>(c.num_blocks_per_stage); ++i) {
      res_blocks.emplace_back(w["res_blocks"][i], c.mid_channels, depth, dtype);
      post_upsample_res_blocks.emplace_back(w["post_upsample_res_blocks"][i], c.mid_channels, depth, dtype);
    }
  }

  Clips operator()(Clips h) {
    h = norm_silu(initial_norm, initial_conv(h));
    for (ResBlock& block : res_blocks) h = block(h);
    h = upsampler(h);
    for (Clip& clip : h) {
      clip = shuffle(clip, new_frames, new_side);
      if (new_frames == 2) clip.erase(clip.begin());  // the first latent frame stands for one picture
    }
    for (ResBlock& block : post_upsample_res_blocks) h = block(h);
    return final_conv(h);
  }

  int64_t depth, new_frames, new_side;
  Convolution initial_conv;
  nn::GroupNorm initial_norm;
  std::vector<ResBlock> res_blocks, post_upsample_res_blocks;
  Convolution upsampler, final_conv;
};

LatentUpsampler::LatentUpsampler(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype)
    : config_(LatentUpsamplerConfig::from(config)), layers_(std::make_unique<Layers>(config_, weights, dtype)) {}

LatentUpsampler::~LatentUpsampler() = default;

Tensor LatentUpsampler::operator()(const Tensor& latents) {
  if (latents.rank() != 5 || latents.numel() == 0 || latents.dim(1) != config_.in_channels)
    throw Error(ErrorKind::input,
                "the latents to upsample are " + to_string(latents.shape()) + ", but the upsampler takes [clips, " +
                    std::to_string(config_.in_channels) + ", frames, height, width]",
                "take latents of the model that the upsampler was made for");
  Clips clips = clips_of(latents);
  const size_t batch = clips.size();
  if (config_.dims == 2) clips = singles(clips);
  return tensor_of(joined((*layers_)(std::move(clips)), batch));
}

}  // namespace prax::models::ltx
