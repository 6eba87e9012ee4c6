#pragma once

#include <array>
#include <functional>
#include <vector>

#include "nn/conv3d.h"
#include "nn/group_norm.h"
#include "nn/plane_conv.h"

namespace prax::models::cogvideox {

//! Frames that are coded together. Layers take them over, so that each frame's memory is free as soon as it was used;
//! neighbours that are equal may share it.
using Chunk = std::vector<nn::Frame>;

//! A group norm over a chunk, then an activation. Where it has `conv_y` and `conv_b` it is conditioned on the latents:
//! norm(x) * conv_y(z) + conv_b(z), z stretched to the chunk's size (CogVideoXSpatialNorm3D). A 1x1x1 convolution of
//! stretched latents is a stretched convolution, so those are computed at the latents' own size.
class ChunkNorm {
public:
  //! torch.nn.GroupNorm: "weight", "bias".
  ChunkNorm(const checkpoint::Weights& weights, int64_t channels, int64_t groups, float eps,
            kernels::Activation activation = kernels::Activation::silu);
  //! CogVideoXSpatialNorm3D: "norm_layer", "conv_y", "conv_b".
  ChunkNorm(const checkpoint::Weights& weights, int64_t channels, int64_t latent_channels, int64_t groups, DType dtype,
            kernels::Activation activation = kernels::Activation::silu);

  //! Looks at all frames of the next chunk, with their latents where it is conditioned.
  void begin(const Chunk& chunk, const Chunk& latents);
  //! activation(norm(frame)) of the chunk's frame `t`.
  void operator()(const nn::Frame& frame, int64_t t, nn::Plane& plane) const;
  //! Forgets the chunk.
  void end();

private:
  nn::GroupNorm norm_;
  kernels::Activation activation_;
  bool conditioned_ = false;
  nn::PointConv conv_y_, conv_b_;
  nn::ChannelAffine affine_;
  Chunk y_, b_;
  int64_t frames_ = 0;
};

//! CogVideoXCausalConv3d with a 3x3x3 kernel: it looks at the two frames before, which it keeps from chunk to chunk;
//! the first stands in for those before it.
class CausalConv {
public:
  using Fill = std::function<void(nn::Plane&)>;

  CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype);

  //! A new clip.
  void begin();
  //! `fill` writes the next input, of that size. The result is added to `residual` if there is one, in its memory when
  //! `take` says so.
  nn::Frame push(int64_t height, int64_t width, const Fill& fill, const nn::Frame* residual = nullptr,
                 bool take = false);
  //! The chunk is over: keeps two inputs, as small as the arithmetic's dtype allows.
  void rest();

private:
  nn::Plane& plane(int64_t frame) { return ring_[static_cast<size_t>(frame < 0 ? 0 : frame % 3)]; }

  nn::PlaneConv conv_;
  DType dtype_;
  std::array<nn::Plane, 3> ring_;
  int64_t pushed_ = 0;
};

//! CogVideoXResnetBlock3D: x + conv2(activation(norm2(conv1(activation(norm1(x)))))), x through a 1x1x1 convolution
//! where the width changes.
class Resnet {
public:
  struct Options {
    int64_t in, out, groups;
    float eps;
    kernels::Activation activation;
    int64_t latent_channels = 0;  //!< of the latents that its norms are conditioned on, or 0
  };
  Resnet(const checkpoint::Weights& weights, const Options& options, DType dtype);
  void begin();
  Chunk operator()(Chunk x, const Chunk& latents);

private:
  static ChunkNorm norm_of(const checkpoint::Weights& weights, const Options& o, int64_t channels, DType dtype);

  ChunkNorm norm1_, norm2_;
  CausalConv conv1_, conv2_;
  bool has_shortcut_;
  nn::PointConv shortcut_;
};

//! CogVideoXDownsample3D: the mean of pairs of frames (a first odd one stays) where it halves the time, then a 3x3
//! convolution of stride 2 with zeros to the right and below.
class Downsample {
public:
  Downsample(const checkpoint::Weights& weights, int64_t channels, bool compress_time, DType dtype);
  Chunk operator()(Chunk x) const;

private:
  nn::PlaneConv conv_;
  bool compress_time_;
};

//! CogVideoXUpsample3D: pixels twice as wide and high, frames twice (but a first odd one) where it doubles the time,
//! then a 3x3 convolution.
class Upsample {
public:
  Upsample(const checkpoint::Weights& weights, int64_t channels, bool compress_time, DType dtype);
  Chunk operator()(Chunk x) const;

private:
  nn::PlaneConv conv_;
  bool compress_time_;
};

}  // namespace prax::models::cogvideox
