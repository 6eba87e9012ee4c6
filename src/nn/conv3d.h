#pragma once

#include <array>
#include <deque>
#include <functional>

#include "checkpoint/weights.h"
#include "nn/plane_conv.h"

namespace prax::nn {

//! Takes the frames that a layer makes, one by one.
using Emit = std::function<void(Frame)>;

//! Frames that wait to be added to a convolution's outputs, in order. Where products are not f32 they wait as bf16, at
//! half the memory: with convolutions that look ahead they are a good part of what a large video takes.
class Residuals {
public:
  explicit Residuals(DType dtype) : dtype_(dtype == DType::f32 ? DType::f32 : DType::bf16) {}
  void push(const Frame& frame);
  Tensor pop();
  void clear() { waiting_.clear(); }

private:
  DType dtype_;
  std::deque<Tensor> waiting_;
};

//! A 3-D convolution over a stream of frames: spatial padding with zeros, temporal padding by repeating the first
//! frame (and, when not causal, the last). Frames go in one at a time and come out as soon as their inputs are known
//! (one frame later when not causal), so that memory does not grow with the clip, and the result equals that of the
//! whole clip at once. Kernel 3x3x3 with stride 1, or 2 in all three dimensions; the weights are packed at first use.
//! Reference: LTXVideoCausalConv3d, diffusers models/autoencoders/autoencoder_kl_ltx.py.
class Conv3d {
public:
  //! Reads "weight" [out, in, 3, 3, 3] and "bias" [out].
  Conv3d(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype, int64_t stride = 1);

  int64_t in() const { return conv_.in(); }
  int64_t out() const { return conv_.out(); }

  //! Forgets the frames of the clip before.
  void begin();
  //! `norm` (may be null) is applied to the frame on its way in. The frame is let go before anything is emitted.
  void push(Frame frame, const Norm* norm, const Emit& emit, Residuals* residuals = nullptr);
  //! The last frame has come.
  void finish(const Emit& emit, Residuals* residuals = nullptr);

private:
  //! Of three pictures in a row, of which the first is not needed again.
  Frame convolve(int64_t before, int64_t now, int64_t after, Residuals* residuals);
  //! The place of one of the last three frames; the first stands in for those before it.
  Plane& place_of(int64_t frame) { return ring_[static_cast<size_t>(std::max<int64_t>(frame, 0)) % ring_.size()]; }

  PlaneConv conv_;
  int64_t stride_;
  bool causal_;

  std::array<Plane, 3> ring_;  //!< the last three inputs, those that are still needed
  int64_t pushed_ = 0;
};

//! A 1x1x1 convolution of one frame. Reads "weight" [out, in, 1, 1, 1] and "bias".
class PointConv {
public:
  PointConv() = default;
  PointConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype);
  Frame operator()(const Frame& frame, const Norm* norm) const;

private:
  int64_t in_ = 0, out_ = 0;
  DType dtype_ = DType::f32;
  Tensor weight_, bias_;
  std::string name_;
  mutable kernels::PackedMatrix packed_;
};

}  // namespace prax::nn
