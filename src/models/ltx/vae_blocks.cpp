#include "models/ltx/vae_blocks.h"

#include <algorithm>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::models::ltx {

namespace {

constexpr float rms_eps = 1e-8f;
constexpr int64_t upsample_stride = 2;

nn::Norm silu_norm() {
  nn::Norm norm;
  norm.eps = rms_eps;
  norm.activation = kernels::Activation::silu;
  return norm;
}

//! table [parts, channels] + embedding [parts * channels]
Tensor add_table(const Tensor& table, const Tensor& embedding) {
  if (!embedding.defined() || embedding.numel() != table.numel())
    throw Error(ErrorKind::checkpoint, "the video decoder is conditioned on a timestep in a block that has no embedder",
                "the vae's config.json does not fit its design");
  Tensor sum = table.clone();
  for (int64_t i = 0; i < sum.numel(); ++i) sum.data<float>()[i] += embedding.data<float>()[i];
  return sum;
}

}  // namespace

void Chain::begin(ClipContext& context) {
  for (auto& stage : stages_) stage->begin(context);
}

void Chain::push_from(size_t index, nn::Frame frame, const nn::Emit& emit) {
  if (index == stages_.size()) return emit(std::move(frame));
  stages_[index]->push(std::move(frame), [&, index](nn::Frame out) { push_from(index + 1, std::move(out), emit); });
}

void Chain::push(nn::Frame frame, const nn::Emit& emit) { push_from(0, std::move(frame), emit); }

void Chain::finish(const nn::Emit& emit) {
  for (size_t i = 0; i < stages_.size(); ++i)
    stages_[i]->finish([&, i](nn::Frame out) { push_from(i + 1, std::move(out), emit); });
}

void Chain::release() {
  for (auto& stage : stages_) stage->release();
}

ConvStage::ConvStage(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype,
                     int64_t stride)
    : stride_(stride), conv_(weights["conv"], in, out, causal, dtype, stride) {}

void ConvStage::begin(ClipContext& context) {
  conv_.begin();
  context.height = (context.height - 1) / stride_ + 1;
  context.width = (context.width - 1) / stride_ + 1;
}

OutputStage::OutputStage(const checkpoint::Weights& parent, int64_t in, int64_t out, bool causal,
                         bool timestep_conditioning, DType dtype)
    : norm_(silu_norm()), conv_(parent["conv_out"]["conv"], in, out, causal, dtype) {
  if (!timestep_conditioning) return;
  time_embedder_.emplace(parent["time_embedder"]["timestep_embedder"], 2 * in, dtype);
  scale_shift_table_ = nn::load_f32(parent, "scale_shift_table", {2, in});
}

void OutputStage::begin(ClipContext& context) {
  if (time_embedder_) {
    modulation_ = add_table(scale_shift_table_, (*time_embedder_)(std::span(&*context.timestep, 1)));
    norm_.shift = modulation_.data<float>();
    norm_.scale = modulation_.data<float>() + conv_.in();
  }
  conv_.begin();
}

void OutputStage::push(nn::Frame frame, const nn::Emit& emit) { conv_.push(std::move(frame), &norm_, emit); }

ResnetStage::ResnetStage(const checkpoint::Weights& weights, const Options& o, DType dtype)
    : options_(o),
      conv1_(weights["conv1"]["conv"], o.in, o.out, o.causal, dtype),
      conv2_(weights["conv2"]["conv"], o.out, o.out, o.causal, dtype),
      norm1_(silu_norm()),
      norm2_(silu_norm()),
      residuals_(dtype) {
  if (o.in != o.out) {
    norm3_weight_ = nn::load_f32(weights["norm3"], "weight", {o.in});
    norm3_bias_ = nn::load_f32(weights["norm3"], "bias", {o.in});
    shortcut_ = nn::PointConv(weights["conv_shortcut"]["conv"], o.in, o.out, dtype);
    if (norm3_weight_.has_storage()) {
      norm3_.rms = false;
      norm3_.eps = o.eps;
      norm3_.weight = norm3_weight_.data<float>();
      norm3_.bias = norm3_bias_.data<float>();
    }
  }
  if (o.inject_noise) {
    noise_scale1_ = nn::load_f32(weights, "per_channel_scale1", {o.in, 1, 1});
    noise_scale2_ = nn::load_f32(weights, "per_channel_scale2", {o.in, 1, 1});
  }
  if (o.timestep_conditioning) scale_shift_table_ = nn::load_f32(weights, "scale_shift_table", {4, o.in});
}

void ResnetStage::begin(ClipContext& context) {
  residuals_.clear();
  conv1_.begin();
  conv2_.begin();
  if (scale_shift_table_.defined()) {
    modulation_ = add_table(scale_shift_table_, time_embedding_);
    const float* m = modulation_.data<float>();
    norm1_.shift = m;
    norm1_.scale = m + options_.in;
    norm2_.shift = m + 2 * options_.in;
    norm2_.scale = m + 3 * options_.in;
  }
  if (noise_scale1_.defined()) {
    noise1_ = context.generator->randn({context.height, context.width});
    noise2_ = context.generator->randn({context.height, context.width});
  }
}

void ResnetStage::push(nn::Frame frame, const nn::Emit& emit) {
  residuals_.push(norm3_weight_.defined() ? shortcut_(frame, &norm3_) : frame);
  conv1_.push(std::move(frame), &norm1_, [&](nn::Frame out) { after_conv1(std::move(out), emit); });
}

void ResnetStage::after_conv1(nn::Frame frame, const nn::Emit& emit) {
  if (noise1_.defined()) nn::add_noise(frame, noise1_, noise_scale1_.data<float>());
  conv2_.push(
      std::move(frame), &norm2_, [&](nn::Frame out) { after_conv2(std::move(out), emit); }, &residuals_);
}

void ResnetStage::after_conv2(nn::Frame frame, const nn::Emit& emit) {
  if (noise2_.defined()) nn::add_noise(frame, noise2_, noise_scale2_.data<float>());
  emit(std::move(frame));
}

void ResnetStage::finish(const nn::Emit& emit) {
  conv1_.finish([&](nn::Frame out) { after_conv1(std::move(out), emit); });
  conv2_.finish([&](nn::Frame out) { after_conv2(std::move(out), emit); }, &residuals_);
}

void ResnetStage::release() {
  conv1_.release();
  conv2_.release();
}

ResnetsStage::ResnetsStage(const checkpoint::Weights& block, int64_t layers, const ResnetStage::Options& options,
                           int64_t time_channels, DType dtype) {
  if (options.timestep_conditioning)
    time_embedder_.emplace(block["time_embedder"]["timestep_embedder"], 4 * time_channels, dtype);
  for (int64_t i = 0; i < layers; ++i) {
    auto resnet = std::make_unique<ResnetStage>(block["resnets"][static_cast<int>(i)], options, dtype);
    resnets_.push_back(resnet.get());
    chain_.add(std::move(resnet));
  }
}

void ResnetsStage::begin(ClipContext& context) {
  if (time_embedder_) {
    const Tensor embedding = (*time_embedder_)(std::span(&*context.timestep, 1));
    for (ResnetStage* resnet : resnets_) resnet->set_time_embedding(embedding);
  }
  chain_.begin(context);
}

DownsampleStage::DownsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t stride_t,
                                 int64_t stride_hw, bool causal, DType dtype)
    : in_(in),
      out_(out),
      stride_t_(stride_t),
      stride_hw_(stride_hw),
      conv_(weights["conv"]["conv"], in, out / (stride_t * stride_hw * stride_hw), causal, dtype) {}

void DownsampleStage::begin(ClipContext& context) {
  if (context.height % stride_hw_ || context.width % stride_hw_)
    throw Error(ErrorKind::usage, "the picture's size does not fit the video encoder", "use a multiple of 32 pixels");
  context.height /= stride_hw_;
  context.width /= stride_hw_;
  inputs_.clear();
  convolved_.clear();
  first_ = true;
  conv_.begin();
}

void DownsampleStage::push(nn::Frame frame, const nn::Emit& emit) {
  // The reference repeats the first stride_t - 1 frames in front.
  const int times = first_ && stride_t_ == 2 ? 2 : 1;
  first_ = false;
  for (int i = 0; i < times; ++i) {
    inputs_.push_back(frame);
    conv_.push(frame, nullptr, [&](nn::Frame out) { after_conv(std::move(out), emit); });
  }
}

void DownsampleStage::finish(const nn::Emit& emit) {
  conv_.finish([&](nn::Frame out) { after_conv(std::move(out), emit); });
  if (!convolved_.empty())
    throw Error(ErrorKind::usage, "the number of frames does not fit the video encoder",
                "encode 1, 9, 17, ... frames: one more than a multiple of 8");
}

//! Channel ((c * st + a) * s + b) * s + d of the output is channel c of frame a at pixel (b, d) of each cell.
void DownsampleStage::after_conv(nn::Frame frame, const nn::Emit& emit) {
  convolved_.push_back(std::move(frame));
  if (static_cast<int64_t>(convolved_.size()) < stride_t_) return;
  const int64_t s = stride_hw_, cell = stride_t_ * s * s, group = in_ * cell / out_;
  const nn::Frame& shape = convolved_.front();
  nn::Frame out = nn::Frame::empty(shape.height / s, shape.width / s, out_);
  parallel_for(out.height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < out.width; ++x) {
        const auto at = [&](const std::deque<nn::Frame>& frames, int64_t channel) {
          const int64_t d = channel % s, b = channel / s % s, a = channel / (s * s) % stride_t_, c = channel / cell;
          return frames[static_cast<size_t>(a)].pixel(y * s + b, x * s + d)[c];
        };
        float* to = out.pixel(y, x);
        for (int64_t j = 0; j < out_; ++j) {
          float sum = 0;
          for (int64_t g = 0; g < group; ++g) sum += at(inputs_, j * group + g);
          to[j] = at(convolved_, j) + sum / static_cast<float>(group);
        }
      }
  });
  for (int64_t i = 0; i < stride_t_; ++i) inputs_.pop_front();
  convolved_.clear();
  emit(std::move(out));
}

UpsampleStage::UpsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t factor, bool residual, bool causal,
                             DType dtype)
    : in_(in),
      out_(in / factor),
      residual_(residual),
      conv_(weights["conv"]["conv"], in, in * 8 / factor, causal, dtype) {
  if (residual && in % 8 != 0)
    throw Error(ErrorKind::checkpoint,
                "an upsampling block of " + std::to_string(in) + " channels cannot have a residual",
                "the vae's config.json does not fit its design");
}

void UpsampleStage::begin(ClipContext& context) {
  context.height *= upsample_stride;
  context.width *= upsample_stride;
  inputs_.clear();
  first_ = true;
  conv_.begin();
}

void UpsampleStage::push(nn::Frame frame, const nn::Emit& emit) {
  if (residual_) inputs_.push_back(frame);
  conv_.push(std::move(frame), nullptr, [&](nn::Frame out) { after_conv(std::move(out), emit); });
}

void UpsampleStage::finish(const nn::Emit& emit) {
  conv_.finish([&](nn::Frame out) { after_conv(std::move(out), emit); });
}

void UpsampleStage::after_conv(nn::Frame frame, const nn::Emit& emit) {
  nn::Frame input;
  if (residual_) {
    input = std::move(inputs_.front());
    inputs_.pop_front();
  }
  const int64_t repeated = in_ / 8;
  std::vector<nn::Frame> outs;
  for (int64_t a = first_ ? 1 : 0; a < upsample_stride; ++a) {
    nn::Frame out = nn::Frame::empty(frame.height * 2, frame.width * 2, out_);
    parallel_for(out.height, 1, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
          const int64_t corner = a * 4 + y % 2 * 2 + x % 2;
          const float* from = frame.pixel(y / 2, x / 2) + corner;
          float* to = out.pixel(y, x);
          for (int64_t c = 0; c < out_; ++c) to[c] = from[c * 8];
          if (!residual_) continue;
          const float* before = input.pixel(y / 2, x / 2) + corner;
          for (int64_t c0 = 0; c0 < out_; c0 += repeated)
            for (int64_t c = 0; c < std::min(repeated, out_ - c0); ++c) to[c0 + c] += before[c * 8];
        }
    });
    outs.push_back(std::move(out));
  }
  first_ = false;
  frame = input = {};
  for (nn::Frame& out : outs) emit(std::move(out));
}

}  // namespace prax::models::ltx
