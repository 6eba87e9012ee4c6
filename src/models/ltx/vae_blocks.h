#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "nn/conv3d.h"
#include "nn/embeddings.h"
#include "tensor/random.h"

namespace prax::models::ltx {

//! What a clip's size and conditioning mean for one layer.
struct ClipContext {
  int64_t height = 0, width = 0;   //!< of the layer's input
  std::optional<float> timestep;   //!< already multiplied by timestep_scale_multiplier
  Generator* generator = nullptr;  //!< of injected noise
};

//! A layer of the autoencoder as a stage that frames flow through.
class Stage {
public:
  virtual ~Stage() = default;
  //! A new clip; sets context.height and width to those of the layer's output.
  virtual void begin(ClipContext& context) = 0;
  virtual void push(nn::Frame frame, const nn::Emit& emit) = 0;
  virtual void finish(const nn::Emit& emit) = 0;
  //! Drops what it packed of large weights; the next use packs it again.
  virtual void release() {}
};

//! Pushes frames through stages in order.
class Chain : public Stage {
public:
  void add(std::unique_ptr<Stage> stage) { stages_.push_back(std::move(stage)); }
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void finish(const nn::Emit& emit) override;
  void release() override;

private:
  void push_from(size_t index, nn::Frame frame, const nn::Emit& emit);
  std::vector<std::unique_ptr<Stage>> stages_;
};

//! One convolution.
class ConvStage : public Stage {
public:
  ConvStage(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype, int64_t stride = 1);
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override { conv_.push(std::move(frame), nullptr, emit); }
  void finish(const nn::Emit& emit) override { conv_.finish(emit); }
  void release() override { conv_.release(); }

private:
  int64_t stride_;
  nn::Conv3d conv_;
};

//! The last layers of encoder and decoder: conv(silu(rms_norm(x) * (1 + scale) + shift)), scale and shift from the
//! timestep where the decoder is conditioned on it (`scale_shift_table` and `time_embedder` beside `conv_out`).
class OutputStage : public Stage {
public:
  OutputStage(const checkpoint::Weights& parent, int64_t in, int64_t out, bool causal, bool timestep_conditioning,
              DType dtype);
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void finish(const nn::Emit& emit) override { conv_.finish(emit); }

private:
  std::optional<nn::TimestepEmbedder> time_embedder_;
  Tensor scale_shift_table_, modulation_;
  nn::Norm norm_;
  nn::Conv3d conv_;
};

//! LTXVideoResnetBlock3d: x + conv2(silu(mod2(norm2(noise1(conv1(silu(mod1(norm1(x)))))))) with a 1x1x1 shortcut of
//! layer_norm(x) where the width changes.
class ResnetStage : public Stage {
public:
  struct Options {
    int64_t in, out;
    float eps;
    bool causal = true, inject_noise = false, timestep_conditioning = false;
  };
  ResnetStage(const checkpoint::Weights& weights, const Options& options, DType dtype);
  //! [4 * in] from the block's time embedder; set before begin() where the block is conditioned.
  void set_time_embedding(const Tensor& embedding) { time_embedding_ = embedding; }
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void finish(const nn::Emit& emit) override;
  void release() override;

private:
  void after_conv1(nn::Frame frame, const nn::Emit& emit);
  void after_conv2(nn::Frame frame, const nn::Emit& emit);

  Options options_;
  nn::Conv3d conv1_, conv2_;
  Tensor norm3_weight_, norm3_bias_, noise_scale1_, noise_scale2_, scale_shift_table_, time_embedding_;
  nn::PointConv shortcut_;
  nn::Norm norm1_, norm2_, norm3_;
  Tensor modulation_, noise1_, noise2_;
  nn::WaitingFrames residuals_;
};

//! Resnets that share one time embedder: LTXVideoMidBlock3d, and the tail of LTXVideoUpBlock3d.
class ResnetsStage : public Stage {
public:
  ResnetsStage(const checkpoint::Weights& block, int64_t layers, const ResnetStage::Options& options,
               int64_t time_channels, DType dtype);
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override { chain_.push(std::move(frame), emit); }
  void finish(const nn::Emit& emit) override { chain_.finish(emit); }
  void release() override { chain_.release(); }

private:
  std::optional<nn::TimestepEmbedder> time_embedder_;
  std::vector<ResnetStage*> resnets_;
  Chain chain_;
};

//! LTXVideoDownsampler3d: space-to-depth of a convolution plus the mean of groups of space-to-depth of the input.
class DownsampleStage : public Stage {
public:
  DownsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t stride_t, int64_t stride_hw,
                  bool causal, DType dtype);
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void finish(const nn::Emit& emit) override;
  void release() override { conv_.release(); }

private:
  void after_conv(nn::Frame frame, const nn::Emit& emit);

  int64_t in_, out_, stride_t_, stride_hw_;
  nn::Conv3d conv_;
  std::deque<nn::Frame> inputs_, convolved_;
  bool first_ = true;
};

//! LTXVideoUpsampler3d: depth-to-space (2, 2, 2) of a convolution, plus depth-to-space of the input repeated over
//! the channels (`residual`); the first of the new frames is dropped.
class UpsampleStage : public Stage {
public:
  UpsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t factor, bool residual, bool causal,
                DType dtype);
  void begin(ClipContext& context) override;
  void push(nn::Frame frame, const nn::Emit& emit) override;
  void finish(const nn::Emit& emit) override;

private:
  void after_conv(nn::Frame frame, const nn::Emit& emit);

  int64_t in_, out_;
  bool residual_;
  nn::Conv3d conv_;
  std::deque<nn::Frame> inputs_;
  bool first_ = true;
};

}  // namespace prax::models::ltx
