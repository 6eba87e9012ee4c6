#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "nn/conv3d.h"
#include "nn/group_norm.h"
#include "nn/linear.h"
#include "nn/plane_conv.h"

namespace prax::models::pyramid_flow {

constexpr float vae_norm_eps = 1e-6f;

class CausalConv;

//! A layer of the autoencoder that frames flow through one by one. Everything is causal, so that what a frame gives is
//! known when it comes.
class Layer {
public:
  virtual ~Layer() = default;
  virtual void push(nn::Frame frame, const nn::Emit& emit) = 0;
  //! Calls fn with every convolution, which are all that remembers earlier frames; always in the same order.
  virtual void each_conv(const std::function<void(CausalConv&)>& fn) = 0;
};

//! Layers in a row.
class Chain : public Layer {
public:
  void add(std::unique_ptr<Layer> layer) { layers_.push_back(std::move(layer)); }
  void push(nn::Frame frame, const nn::Emit& emit) override { push_from(0, std::move(frame), emit); }
  void each_conv(const std::function<void(CausalConv&)>& fn) override;
  //! A new clip: forgets the frames of the one before.
  void begin();

private:
  void push_from(size_t index, nn::Frame frame, const nn::Emit& emit);
  std::vector<std::unique_ptr<Layer>> layers_;
};

//! CausalConv3d of the authors' code: kernel 3x3x3, two frames of zeros before the first, a border of zeros.
class CausalConv {
public:
  //! What is remembered of a clip.
  struct Past {
    std::deque<nn::Plane> planes;  //!< the last two inputs
    int64_t pushed = 0;
  };

  CausalConv() = default;
  //! Reads "conv.weight" [out, in, 3, 3, 3] and "conv.bias".
  CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype, int64_t time_stride = 1,
             int64_t space_stride = 1);

  void begin() { past_ = {}; }
  const Past& past() const { return past_; }
  void swap_past(Past& other) { std::swap(past_, other); }
  //! The frame after those before. With `norm`, activation(norm(frame)) takes its place. The output, plus `residual`
  //! if given; an undefined frame where the stride over time has none.
  nn::Frame push(const nn::Frame& frame, const nn::GroupNorm* norm = nullptr,
                 kernels::Activation activation = kernels::Activation::silu, const nn::Frame* residual = nullptr);

private:
  nn::PlaneConv conv_;
  int64_t time_stride_ = 1, space_stride_ = 1;
  Past past_;
};

//! A convolution, with a norm and silu before it where there is one.
class ConvLayer : public Layer {
public:
  ConvLayer(CausalConv conv, nn::GroupNorm norm = {}) : conv_(std::move(conv)), norm_(std::move(norm)) {}
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void each_conv(const std::function<void(CausalConv&)>& fn) override { fn(conv_); }

private:
  CausalConv conv_;
  nn::GroupNorm norm_;
};

//! quant_conv and post_quant_conv: a product for every pixel.
class PointLayer : public Layer {
public:
  PointLayer(const checkpoint::Weights& weights, int64_t channels, DType dtype)
      : conv_(weights["conv"], channels, channels, dtype) {}
  void push(nn::Frame frame, const nn::Emit& emit) override { emit(conv_(frame, nullptr)); }
  void each_conv(const std::function<void(CausalConv&)>&) override {}

private:
  nn::PointConv conv_;
};

//! CausalResnetBlock3D: x + conv2(activation(norm2(conv1(activation(norm1(x)))))), x through a product where the width
//! changes.
class ResnetLayer : public Layer {
public:
  ResnetLayer(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t groups,
              kernels::Activation activation, DType dtype);
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void each_conv(const std::function<void(CausalConv&)>& fn) override {
    fn(conv1_);
    fn(conv2_);
  }

private:
  nn::GroupNorm norm1_, norm2_;
  kernels::Activation activation_;
  CausalConv conv1_, conv2_;
  bool shortcut_ = false;
  nn::PointConv conv_shortcut_;
};

//! Every pixel of a frame attends to all of its frame, with one head: x + to_out(attention(group_norm(x))).
class AttentionLayer : public Layer {
public:
  AttentionLayer(const checkpoint::Weights& weights, int64_t channels, int64_t groups, DType dtype);
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void each_conv(const std::function<void(CausalConv&)>&) override {}

private:
  DType dtype_;
  nn::GroupNorm norm_;
  nn::Linear qkv_, out_;
};

//! CausalUpsample2x: four times the channels, which become the pixels of a 2x2 cell.
class SpatialUpsample : public Layer {
public:
  SpatialUpsample(const checkpoint::Weights& weights, int64_t channels, DType dtype)
      : conv_(weights["conv"], channels, 4 * channels, dtype) {}
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void each_conv(const std::function<void(CausalConv&)>& fn) override { fn(conv_); }

private:
  CausalConv conv_;
};

//! CausalTemporalUpsample2x: twice the channels, which become two frames; the first of a clip is dropped.
class TemporalUpsample : public Layer {
public:
  TemporalUpsample(const checkpoint::Weights& weights, int64_t channels, DType dtype)
      : conv_(weights["conv"], channels, 2 * channels, dtype) {}
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void each_conv(const std::function<void(CausalConv&)>& fn) override { fn(conv_); }

private:
  CausalConv conv_;
};

}  // namespace prax::models::pyramid_flow
