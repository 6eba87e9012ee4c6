#include "models/pyramid_flow/vae_layers.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/attention.h"
#include "tensor/parallel.h"

namespace prax::models::pyramid_flow {

namespace {

constexpr size_t kernel_frames = 3;

int64_t rows_grain(const nn::Frame& frame) { return std::max<int64_t>(1, 32768 / (frame.width * frame.channels + 1)); }

//! The inside of a plane = activation(frame * scale + shift), or the frame as it is without a map.
void fill(const nn::Frame& frame, const nn::ChannelAffine* map, kernels::Activation activation, nn::Plane& plane) {
  const auto& k = kernels::kernels();
  const int64_t channels = frame.channels, row = frame.width * channels;
  const DType dtype = plane.data.dtype();
  parallel_for(frame.height, rows_grain(frame), [&](int64_t begin, int64_t end) {
    std::vector<float> values(map ? static_cast<size_t>(row) : 0);
    for (int64_t y = begin; y < end; ++y) {
      const float* from = frame.pixel(y, 0);
      if (map) {
        const float *scale = map->scale.data(), *shift = map->shift.data();
        for (int64_t x = 0; x < row; x += channels)
          for (int64_t c = 0; c < channels; ++c) values[static_cast<size_t>(x + c)] = from[x + c] * scale[c] + shift[c];
        k.activate(values.data(), DType::f32, row, activation, values.data(), DType::f32);
        from = values.data();
      }
      for (int64_t x = 0; x < frame.width; ++x)
        k.convert(
            from + x * channels, DType::f32, channels,
            static_cast<char*>(plane.data.raw()) + static_cast<size_t>(plane.offset(y + 1, x + 1)) * size_of(dtype),
            dtype);
    }
  });
}

}  // namespace

void Chain::each_conv(const std::function<void(CausalConv&)>& fn) {
  for (auto& layer : layers_) layer->each_conv(fn);
}

void Chain::begin() {
  each_conv([](CausalConv& conv) { conv.begin(); });
}

void Chain::push_from(size_t index, nn::Frame frame, const nn::Emit& emit) {
  if (index == layers_.size()) return emit(std::move(frame));
  layers_[index]->push(std::move(frame), [&, index](nn::Frame out) { push_from(index + 1, std::move(out), emit); });
}

CausalConv::CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype, int64_t time_stride,
                       int64_t space_stride)
    : conv_(weights["conv"], in, out, static_cast<int64_t>(kernel_frames), dtype),
      time_stride_(time_stride),
      space_stride_(space_stride) {}

nn::Frame CausalConv::push(const nn::Frame& frame, const nn::GroupNorm* norm, kernels::Activation activation,
                           const nn::Frame* residual) {
  nn::Plane plane = conv_.plane(frame.height, frame.width);
  if (norm) {
    const nn::ChannelAffine map = norm->over(std::span(&frame, 1));
    fill(frame, &map, activation, plane);
  } else {
    fill(frame, nullptr, kernels::Activation::none, plane);
  }
  auto& past = past_.planes;
  if (past.empty())
    past.assign(kernel_frames - 1, nn::Plane::zeros(frame.height, frame.width, plane.pitch, plane.data.dtype()));
  nn::Frame out;
  if (past_.pushed++ % time_stride_ == 0) {
    out = nn::Frame::empty((frame.height - 1) / space_stride_ + 1, (frame.width - 1) / space_stride_ + 1, conv_.out());
    const std::array<const nn::Plane*, kernel_frames> planes{&past[0], &past[1], &plane};
    conv_(planes, out, residual ? &residual->data : nullptr, space_stride_);
  }
  past.pop_front();
  past.push_back(std::move(plane));
  return out;
}

void ConvLayer::push(nn::Frame frame, const nn::Emit& emit) {
  nn::Frame out = conv_.push(frame, norm_.channels() > 0 ? &norm_ : nullptr);
  if (out.defined()) emit(std::move(out));
}

ResnetLayer::ResnetLayer(const checkpoint::Weights& weights, int64_t in, int64_t out, int64_t groups,
                         kernels::Activation activation, DType dtype)
    : norm1_(weights["norm1"], in, groups, vae_norm_eps),
      norm2_(weights["norm2"], out, groups, vae_norm_eps),
      activation_(activation),
      conv1_(weights["conv1"], in, out, dtype),
      conv2_(weights["conv2"], out, out, dtype),
      shortcut_(in != out) {
  if (shortcut_) conv_shortcut_ = nn::PointConv(weights["conv_shortcut"]["conv"], in, out, dtype);
}

void ResnetLayer::push(nn::Frame frame, const nn::Emit& emit) {
  const nn::Frame inner = conv1_.push(frame, &norm1_, activation_);
  if (shortcut_) frame = conv_shortcut_(frame, nullptr);
  emit(conv2_.push(inner, &norm2_, activation_, &frame));
}

AttentionLayer::AttentionLayer(const checkpoint::Weights& weights, int64_t channels, int64_t groups, DType dtype)
    : dtype_(dtype), norm_(weights["group_norm"], channels, groups, vae_norm_eps) {
  // Releases of diffusers before 0.18 called them otherwise.
  const bool old = !weights.contains("to_q.weight") && weights.contains("query.weight");
  qkv_ = nn::Linear({weights[old ? "query" : "to_q"], weights[old ? "key" : "to_k"], weights[old ? "value" : "to_v"]},
                    channels, {channels, channels, channels}, true, dtype);
  out_ = nn::Linear(old ? weights["proj_attn"] : weights["to_out"][0], channels, channels, true, dtype);
}

void AttentionLayer::push(nn::Frame frame, const nn::Emit& emit) {
  const int64_t channels = frame.channels, tokens = frame.height * frame.width;
  const DType dtype = kernels::activation_dtype(dtype_);
  const nn::ChannelAffine map = norm_.over(std::span(&frame, 1));
  const auto& k = kernels::kernels();
  Tensor x = Tensor::empty({tokens, channels}), normed = Tensor::empty({tokens, channels}, dtype);
  parallel_for(frame.height, rows_grain(frame), [&](int64_t begin, int64_t end) {
    const int64_t row = frame.width * channels;
    std::vector<float> values(static_cast<size_t>(row));
    for (int64_t y = begin; y < end; ++y) {
      const float* from = frame.pixel(y, 0);
      std::copy_n(from, row, x.data<float>() + y * row);
      for (int64_t i = 0; i < row; i += channels)
        for (int64_t c = 0; c < channels; ++c)
          values[static_cast<size_t>(i + c)] =
              from[i + c] * map.scale[static_cast<size_t>(c)] + map.shift[static_cast<size_t>(c)];
      k.convert(values.data(), DType::f32, row,
                static_cast<char*>(normed.raw()) + static_cast<size_t>(y * row) * size_of(dtype), dtype);
    }
  });
  Tensor qkv = qkv_(normed, dtype);
  normed = {};
  const auto part = [&](int64_t i) {
    const size_t offset = static_cast<size_t>(i * channels) * size_of(dtype);
    return kernels::AttentionOperand{static_cast<const char*>(qkv.raw()) + offset, 0, qkv.dim(1), channels};
  };
  Tensor attended = Tensor::empty({tokens, channels}, dtype);
  kernels::AttentionArguments a;
  a.shape = {1, 1, tokens, tokens, channels};
  a.dtype = dtype;
  a.query = part(0);
  a.key = part(1);
  a.value = part(2);
  a.out = attended.raw();
  a.out_token_stride = channels;
  a.out_head_stride = channels;
  a.scale = 1.0f / std::sqrt(static_cast<float>(channels));
  kernels::attention(a);
  nn::Fusion add;
  add.residual = &x;
  out_.into(attended, x, add);
  emit(nn::frame_from(x.data<float>(), frame.height, frame.width, channels));
}

//! Channel (c * 2 + p) * 2 + q is channel c of the pixel (p, q) of each cell.
void SpatialUpsample::push(nn::Frame frame, const nn::Emit& emit) {
  const nn::Frame wide = conv_.push(frame);
  const int64_t channels = wide.channels / 4;
  nn::Frame out = nn::Frame::empty(wide.height * 2, wide.width * 2, channels);
  parallel_for(out.height, rows_grain(out), [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      for (int64_t x = 0; x < out.width; ++x) {
        const float* from = wide.pixel(y / 2, x / 2) + y % 2 * 2 + x % 2;
        float* to = out.pixel(y, x);
        for (int64_t c = 0; c < channels; ++c) to[c] = from[c * 4];
      }
  });
  emit(std::move(out));
}

//! Channel c * 2 + p is channel c of frame p.
void TemporalUpsample::push(nn::Frame frame, const nn::Emit& emit) {
  const bool first = conv_.past().pushed == 0;
  const nn::Frame wide = conv_.push(frame);
  const int64_t channels = wide.channels / 2;
  for (int64_t p = first ? 1 : 0; p < 2; ++p) {
    nn::Frame out = nn::Frame::empty(wide.height, wide.width, channels);
    parallel_for(out.height, rows_grain(out), [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
          const float* from = wide.pixel(y, x) + p;
          float* to = out.pixel(y, x);
          for (int64_t c = 0; c < channels; ++c) to[c] = from[c * 2];
        }
    });
    emit(std::move(out));
  }
}

}  // namespace prax::models::pyramid_flow
