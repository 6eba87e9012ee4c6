#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "nn/frame.h"
#include "nn/group_norm.h"
#include "nn/linear.h"
#include "nn/plane_conv.h"

namespace prax::models::mochi {

//! Takes the frames that a layer makes, one by one.
using Emit = std::function<void(nn::Frame)>;

//! A layer of the autoencoder as a stage that frames flow through.
class Stage {
public:
  virtual ~Stage() = default;
  //! Forgets the clip before.
  virtual void begin() = 0;
  virtual void push(nn::Frame frame, const Emit& emit) = 0;
  //! The last frame has come.
  virtual void finish(const Emit& emit) = 0;
};

//! Pushes frames through stages in order.
class Chain : public Stage {
public:
  void add(std::unique_ptr<Stage> stage) { stages_.push_back(std::move(stage)); }
  void begin() override;
  void push(nn::Frame frame, const Emit& emit) override { push_from(0, std::move(frame), emit); }
  void finish(const Emit& emit) override;

private:
  void push_from(size_t index, nn::Frame frame, const Emit& emit);
  std::vector<std::unique_ptr<Stage>> stages_;
};

//! MochiChunkedGroupNorm3D: a group norm of each frame on its own.
class FrameNorm {
public:
  FrameNorm() = default;
  FrameNorm(const checkpoint::Weights& weights, int64_t channels);
  nn::ChannelAffine operator()(const nn::Frame& frame) const { return norm_.over(std::span(&frame, 1)); }

private:
  nn::GroupNorm norm_;
};

//! CogVideoXCausalConv3d with pad_mode "replicate": 3x3x3, stride 1, the outermost pixels repeated around the picture
//! and the first frame before the clip. Between frames it keeps the last two inputs, in the weights' dtype.
class CausalConv {
public:
  CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype);
  void begin() { history_.clear(); }
  //! conv(silu(norm(frame))), added to `sum` in place where there is one.
  nn::Frame operator()(nn::Frame frame, const nn::ChannelAffine& norm, nn::Frame sum = {});

private:
  DType dtype_;
  nn::PlaneConv conv_;
  std::deque<nn::Plane> history_;
};

//! MochiResnetBlock3D: x + conv2(silu(norm2(conv1(silu(norm1(x))))))
class ResnetStage : public Stage {
public:
  ResnetStage(const checkpoint::Weights& weights, int64_t channels, DType dtype);
  void begin() override;
  void push(nn::Frame frame, const Emit& emit) override;
  void finish(const Emit&) override { begin(); }

private:
  FrameNorm norm1_, norm2_;
  CausalConv conv1_, conv2_;
};

//! Each pixel of a frame attends to the same pixel of this frame and those before it: x + attention(norm(x)), with
//! queries and keys of length one (Attention with qk_norm "l2", MochiVaeAttnProcessor2_0). Waits for the whole clip.
class AttentionStage : public Stage {
public:
  //! Names under `norm`: norm_layer; under `attention`: to_q, to_k, to_v, to_out.0.
  AttentionStage(const checkpoint::Weights& norm, const checkpoint::Weights& attention, int64_t channels, DType dtype);
  void begin() override { frames_.clear(); }
  void push(nn::Frame frame, const Emit&) override { frames_.push_back(std::move(frame)); }
  void finish(const Emit& emit) override;

private:
  void attend_rows(int64_t first_row, int64_t rows, const std::vector<nn::ChannelAffine>& norms);

  int64_t channels_;
  FrameNorm norm_;
  nn::Linear qkv_, out_;
  std::deque<nn::Frame> frames_;
};

//! The resnets of a block, each with its attention where the block has any: `resnets`, `norms` and `attentions`.
void add_resnets(Chain& chain, const checkpoint::Weights& block, int64_t layers, int64_t channels, bool attention,
                 DType dtype);

//! The convolution in front of MochiDownBlock3D, whose stride is its kernel: (time, size, size) pixels become one. The
//! first frame is repeated before the clip; the last frames are left out where they do not fill a step.
class DownsampleStage : public Stage {
public:
  DownsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t time, int64_t size, DType dtype);
  void begin() override;
  void push(nn::Frame frame, const Emit& emit) override;
  void finish(const Emit&) override { frames_.clear(); }

private:
  nn::Frame convolve() const;

  int64_t in_, time_, size_;
  nn::Linear conv_;
  std::deque<nn::Frame> frames_;
  bool first_ = true;
};

//! The end of MochiUpBlock3D: a projection whose channels become (time, size, size) pixels each.
class UpsampleStage : public Stage {
public:
  UpsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t time, int64_t size, DType dtype);
  void begin() override {}
  void push(nn::Frame frame, const Emit& emit) override;
  void finish(const Emit&) override {}

private:
  int64_t out_, time_, size_;
  nn::Linear proj_;
};

//! A projection of each pixel on its own; frames keep their size.
class ProjectionStage : public Stage {
public:
  explicit ProjectionStage(nn::Linear linear) : linear_(std::move(linear)) {}
  void begin() override {}
  void push(nn::Frame frame, const Emit& emit) override;
  void finish(const Emit&) override {}

private:
  nn::Linear linear_;
};

}  // namespace prax::models::mochi
