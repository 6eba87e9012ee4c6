#include "models/mochi/vae_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "kernels/attention.h"
#include "tensor/parallel.h"

namespace prax::models::mochi {

namespace {

constexpr int64_t norm_groups = 32;
constexpr float vae_norm_eps = 1e-5f;
constexpr int64_t attention_head_dim = 32;
constexpr float l2_eps = 1e-5f;  // Attention hands its eps on to the l2 norm
//! Queries, keys and values of the rows of pixels that attend together stay below this.
constexpr int64_t attention_bytes = int64_t{64} << 20;

int64_t rows_grain(int64_t width, int64_t channels) { return std::max<int64_t>(1, 32768 / (width * channels + 1)); }

//! silu(norm(frame)) as a convolution's input with the outermost pixels repeated around it.
nn::Plane plane_of(const nn::Frame& frame, const nn::ChannelAffine& norm, int64_t pitch, DType dtype) {
  nn::Plane plane{frame.height, frame.width, pitch, {}};
  const int64_t pixels = (frame.height + 2) * plane.row_pixels() + nn::Plane::slack(plane.row_pixels());
  plane.data = Tensor::empty({pixels, pitch}, dtype);
  const auto& k = kernels::kernels();
  const size_t size = size_of(dtype), pixel = static_cast<size_t>(pitch) * size;
  const size_t used = static_cast<size_t>(frame.channels) * size;
  const size_t row = static_cast<size_t>(plane.row_pixels()) * pixel;
  char* top = static_cast<char*>(plane.data.raw());
  parallel_for(frame.height, rows_grain(frame.width, frame.channels), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      char* left = top + static_cast<size_t>(y + 1) * row;
      char* right = left + static_cast<size_t>(frame.width + 1) * pixel;
      for (int64_t x = 0; x < frame.width; ++x) {
        char* to = left + static_cast<size_t>(x + 1) * pixel;
        k.affine(frame.pixel(y, x), frame.channels, norm.scale.data(), norm.shift.data(), kernels::Activation::silu, to,
                 dtype);
        std::memset(to + used, 0, pixel - used);
      }
      std::memcpy(left, left + pixel, pixel);
      std::memcpy(right, right - pixel, pixel);
    }
  });
  char* bottom = top + static_cast<size_t>(frame.height + 1) * row;
  std::memcpy(top, top + row, row);
  std::memcpy(bottom, bottom - row, row);
  return plane;
}

}  // namespace

void Chain::begin() {
  for (auto& stage : stages_) stage->begin();
}

void Chain::push_from(size_t index, nn::Frame frame, const Emit& emit) {
  if (index == stages_.size()) return emit(std::move(frame));
  stages_[index]->push(std::move(frame), [&, index](nn::Frame out) { push_from(index + 1, std::move(out), emit); });
}

void Chain::finish(const Emit& emit) {
  for (size_t i = 0; i < stages_.size(); ++i)
    stages_[i]->finish([&, i](nn::Frame out) { push_from(i + 1, std::move(out), emit); });
}

FrameNorm::FrameNorm(const checkpoint::Weights& weights, int64_t channels)
    : norm_(weights["norm_layer"], channels, norm_groups, vae_norm_eps) {}

CausalConv::CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype)
    : dtype_(dtype), conv_(weights["conv"], in, out, 3, dtype) {}

nn::Frame CausalConv::operator()(nn::Frame frame, const nn::ChannelAffine& norm, nn::Frame sum) {
  nn::Frame out = sum.defined() ? sum : nn::Frame::empty(frame.height, frame.width, conv_.out());
  const int64_t pitch = conv_.pitch();
  const nn::Plane now = plane_of(frame, norm, pitch, dtype_);
  frame = {};
  const nn::Plane& last = history_.empty() ? now : history_.back();
  const nn::Plane& first = history_.empty() ? now : history_.front();
  conv_(std::array<const nn::Plane*, 3>{&first, &last, &now}, out, sum.defined() ? &out.data : nullptr);
  history_.push_back(now);
  if (history_.size() > 2) history_.pop_front();
  return out;
}

ResnetStage::ResnetStage(const checkpoint::Weights& weights, int64_t channels, DType dtype)
    : norm1_(weights["norm1"], channels),
      norm2_(weights["norm2"], channels),
      conv1_(weights["conv1"], channels, channels, dtype),
      conv2_(weights["conv2"], channels, channels, dtype) {}

void ResnetStage::begin() {
  conv1_.begin();
  conv2_.begin();
}

void ResnetStage::push(nn::Frame frame, const Emit& emit) {
  nn::Frame hidden = conv1_(frame, norm1_(frame));
  const nn::ChannelAffine norm = norm2_(hidden);
  emit(conv2_(std::move(hidden), norm, std::move(frame)));
}

AttentionStage::AttentionStage(const checkpoint::Weights& norm, const checkpoint::Weights& attention, int64_t channels,
                               DType dtype)
    : channels_(channels),
      norm_(norm, channels),
      qkv_({attention["to_q"], attention["to_k"], attention["to_v"]}, channels, {channels, channels, channels}, false,
           dtype),
      out_(attention["to_out"][0], channels, channels, true, dtype) {}

void AttentionStage::finish(const Emit& emit) {
  if (!frames_.empty()) {
    std::vector<nn::ChannelAffine> norms;
    for (const nn::Frame& frame : frames_) norms.push_back(norm_(frame));
    const nn::Frame& frame = frames_.front();
    const int64_t row = static_cast<int64_t>(frames_.size()) * frame.width * 3 * channels_ * 4;
    const int64_t step = std::max<int64_t>(1, attention_bytes / row);
    for (int64_t y = 0; y < frame.height; y += step) attend_rows(y, std::min(step, frame.height - y), norms);
  }
  while (!frames_.empty()) {
    nn::Frame frame = std::move(frames_.front());
    frames_.pop_front();
    emit(std::move(frame));
  }
}

void AttentionStage::attend_rows(int64_t first_row, int64_t rows, const std::vector<nn::ChannelAffine>& norms) {
  const int64_t frames = static_cast<int64_t>(frames_.size()), width = frames_.front().width, pixels = rows * width;
  const int64_t heads = channels_ / attention_head_dim;
  // Row t * pixels + p of these is pixel p of frame t.
  Tensor x = Tensor::empty({frames * pixels, channels_});
  const auto pixel_of = [&](int64_t row) {
    return frames_[static_cast<size_t>(row / pixels)].pixel(first_row + row % pixels / width, row % width);
  };
  const int64_t grain = std::max<int64_t>(1, 16384 / channels_);
  parallel_for(frames * pixels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const nn::ChannelAffine& norm = norms[static_cast<size_t>(r / pixels)];
      const float* from = pixel_of(r);
      float* to = x.data<float>() + r * channels_;
      for (int64_t c = 0; c < channels_; ++c)
        to[c] = from[c] * norm.scale[static_cast<size_t>(c)] + norm.shift[static_cast<size_t>(c)];
    }
  });
  Tensor qkv = qkv_(x, DType::f32);
  parallel_for(frames * pixels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t h = 0; h < 2 * heads; ++h) {  // of the queries, then of the keys
        float* v = qkv.data<float>() + r * 3 * channels_ + h * attention_head_dim;
        float sum = 0;
        for (int64_t c = 0; c < attention_head_dim; ++c) sum += v[c] * v[c];
        const float length = std::max(std::sqrt(sum), l2_eps);
        for (int64_t c = 0; c < attention_head_dim; ++c) v[c] /= length;
      }
  });
  Tensor later = Tensor::zeros({heads, frames, frames});
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t t = 0; t < frames; ++t)
      for (int64_t s = t + 1; s < frames; ++s) later.data<float>()[(h * frames + t) * frames + s] = -INFINITY;
  kernels::AttentionArguments a;
  a.shape = {pixels, heads, frames, frames, attention_head_dim};
  const auto part = [&](int64_t i) {
    return kernels::AttentionOperand{qkv.data<float>() + i * channels_, 3 * channels_, pixels * 3 * channels_,
                                     attention_head_dim};
  };
  a.query = part(0);
  a.key = part(1);
  a.value = part(2);
  a.out = x.raw();
  a.out_batch_stride = channels_;
  a.out_token_stride = pixels * channels_;
  a.out_head_stride = attention_head_dim;
  a.scale = 1.0f / std::sqrt(static_cast<float>(attention_head_dim));
  a.score_bias = later.data<float>();
  kernels::attention(a);
  const Tensor attended = out_(x, DType::f32);
  parallel_for(frames * pixels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* to = pixel_of(r);
      for (int64_t c = 0; c < channels_; ++c) to[c] += attended.data<float>()[r * channels_ + c];
    }
  });
}

void add_resnets(Chain& chain, const checkpoint::Weights& block, int64_t layers, int64_t channels, bool attention,
                 DType dtype) {
  for (int64_t i = 0; i < layers; ++i) {
    const int layer = static_cast<int>(i);
    chain.add(std::make_unique<ResnetStage>(block["resnets"][layer], channels, dtype));
    if (attention)
      chain.add(std::make_unique<AttentionStage>(block["norms"][layer], block["attentions"][layer], channels, dtype));
  }
}

DownsampleStage::DownsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t time,
                                 int64_t size, DType dtype)
    : in_(in),
      time_(time),
      size_(size),
      conv_(nn::Linear::of_patches(weights["conv"], {out, in, time, size, size}, true, dtype)) {}

void DownsampleStage::begin() {
  frames_.clear();
  first_ = true;
}

void DownsampleStage::push(nn::Frame frame, const Emit& emit) {
  if (first_) frames_.assign(static_cast<size_t>(time_ - 1), frame);
  first_ = false;
  frames_.push_back(std::move(frame));
  if (static_cast<int64_t>(frames_.size()) < time_) return;
  nn::Frame out = convolve();
  frames_.clear();
  emit(std::move(out));
}

nn::Frame DownsampleStage::convolve() const {
  const nn::Frame& shape = frames_.front();
  const int64_t padding = (size_ - 1) / 2;
  const int64_t height = (shape.height + 2 * padding) / size_, width = (shape.width + 2 * padding) / size_;
  if (height < 1 || width < 1)
    throw Error(ErrorKind::usage, "the pictures are too small for the video encoder", "take larger ones");
  const int64_t row = in_ * time_ * size_ * size_;
  Tensor patches = Tensor::empty({height * width, row});
  parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < width; ++x) {
        float* to = patches.data<float>() + (y * width + x) * row;
        for (int64_t tap = 0; tap < time_ * size_ * size_; ++tap) {
          const int64_t py = std::clamp<int64_t>(y * size_ + tap / size_ % size_ - padding, 0, shape.height - 1);
          const int64_t px = std::clamp<int64_t>(x * size_ + tap % size_ - padding, 0, shape.width - 1);
          const float* from = frames_[static_cast<size_t>(tap / (size_ * size_))].pixel(py, px);
          for (int64_t c = 0; c < in_; ++c) to[c * time_ * size_ * size_ + tap] = from[c];
        }
      }
  });
  const Tensor pixels = conv_(patches, DType::f32);
  return nn::frame_from(pixels.data<float>(), height, width, conv_.out());
}

UpsampleStage::UpsampleStage(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t time, int64_t size,
                             DType dtype)
    : out_(out), time_(time), size_(size), proj_(weights, in, out * time * size * size, true, dtype) {}

//! Channel ((c * time + a) * size + b) * size + d of the projection is channel c of frame a at pixel (b, d) of a cell.
void UpsampleStage::push(nn::Frame frame, const Emit& emit) {
  const int64_t height = frame.height, width = frame.width, line = frame.row_pixels(), cell = time_ * size_ * size_;
  Tensor projected = proj_(frame.data, DType::f32);
  frame = {};
  for (int64_t a = 0; a < time_; ++a) {
    nn::Frame out = nn::Frame::empty(height * size_, width * size_, out_);
    parallel_for(out.height, 1, [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
          const float* from = projected.data<float>() + (y / size_ * line + x / size_) * projected.dim(1) +
                              (a * size_ + y % size_) * size_ + x % size_;
          float* to = out.pixel(y, x);
          for (int64_t c = 0; c < out_; ++c) to[c] = from[c * cell];
        }
    });
    if (a + 1 == time_) projected = {};
    emit(std::move(out));
  }
}

void ProjectionStage::push(nn::Frame frame, const Emit& emit) {
  nn::Frame out{frame.height, frame.width, linear_.out(), linear_(frame.data, DType::f32)};
  frame = {};
  emit(std::move(out));
}

}  // namespace prax::models::mochi
