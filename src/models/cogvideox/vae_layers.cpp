#include "models/cogvideox/vae_layers.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/parallel.h"

namespace prax::models::cogvideox {

namespace {

constexpr float spatial_norm_eps = 1e-6f;  // CogVideoXSpatialNorm3D
constexpr int64_t values_of_a_piece = 32768;

int64_t rows_of_a_piece(int64_t row_values) { return std::max<int64_t>(1, values_of_a_piece / (row_values + 1)); }

//! torch's nearest neighbour: floor(to * (in / out)), the ratio in f32.
int64_t nearest(int64_t to, int64_t in, int64_t out) {
  const float ratio = static_cast<float>(in) / static_cast<float>(out);
  return std::min(static_cast<int64_t>(std::floor(static_cast<float>(to) * ratio)), in - 1);
}

//! The latent frame of a frame. The first of an odd number belongs to the first alone.
int64_t nearest_frame(int64_t t, int64_t in, int64_t out) {
  if (out == 1 || out % 2 == 0) return nearest(t, in, out);
  return t == 0 ? 0 : 1 + nearest(t - 1, in - 1, out - 1);
}

char* pixel_of(nn::Plane& plane, int64_t y, int64_t x) {
  return static_cast<char*>(plane.data.raw()) +
         static_cast<size_t>(plane.offset(y + 1, x + 1)) * size_of(plane.data.dtype());
}

bool share(const nn::Frame& a, const nn::Frame& b) { return a.data.raw() == b.data.raw(); }

}  // namespace

ChunkNorm::ChunkNorm(const checkpoint::Weights& weights, int64_t channels, int64_t groups, float eps,
                     kernels::Activation activation)
    : norm_(weights, channels, groups, eps), activation_(activation) {}

ChunkNorm::ChunkNorm(const checkpoint::Weights& weights, int64_t channels, int64_t latent_channels, int64_t groups,
                     DType dtype, kernels::Activation activation)
    : norm_(weights["norm_layer"], channels, groups, spatial_norm_eps),
      activation_(activation),
      conditioned_(true),
      conv_y_(weights["conv_y"]["conv"], latent_channels, channels, dtype),
      conv_b_(weights["conv_b"]["conv"], latent_channels, channels, dtype) {}

void ChunkNorm::begin(const Chunk& chunk, const Chunk& latents) {
  end();
  affine_ = norm_.over(chunk);
  frames_ = static_cast<int64_t>(chunk.size());
  if (!conditioned_) return;
  for (const nn::Frame& z : latents) {
    y_.push_back(conv_y_(z, nullptr));
    b_.push_back(conv_b_(z, nullptr));
  }
}

void ChunkNorm::end() {
  y_.clear();
  b_.clear();
}

void ChunkNorm::operator()(const nn::Frame& frame, int64_t t, nn::Plane& plane) const {
  const auto& k = kernels::kernels();
  const DType dtype = plane.data.dtype();
  const int64_t channels = frame.channels;
  const nn::Frame *of_y = nullptr, *of_b = nullptr;
  if (conditioned_) {
    const auto z = static_cast<size_t>(nearest_frame(t, static_cast<int64_t>(y_.size()), frames_));
    of_y = &y_[z];
    of_b = &b_[z];
  }
  parallel_for(frame.height, rows_of_a_piece(frame.width * channels), [&](int64_t begin, int64_t end) {
    std::vector<float> scale = affine_.scale, shift = affine_.shift;
    for (int64_t y = begin; y < end; ++y) {
      int64_t cell = -1;  // the latent pixel that scale and shift are made for
      for (int64_t x = 0; x < frame.width; ++x) {
        if (of_y) {
          const int64_t at = nearest(x, of_y->width, frame.width);
          if (at != cell) {
            cell = at;
            const int64_t row = nearest(y, of_y->height, frame.height);
            const float *ys = of_y->pixel(row, at), *bs = of_b->pixel(row, at);
            for (size_t c = 0; c < scale.size(); ++c) {
              scale[c] = affine_.scale[c] * ys[c];
              shift[c] = affine_.shift[c] * ys[c] + bs[c];
            }
          }
        }
        k.affine(frame.pixel(y, x), channels, scale.data(), shift.data(), activation_, pixel_of(plane, y, x), dtype);
      }
    }
  });
}

CausalConv::CausalConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype)
    : conv_(weights["conv"], in, out, 3, dtype), dtype_(dtype) {}

void CausalConv::begin() {
  ring_ = {};
  pushed_ = 0;
}

nn::Frame CausalConv::push(int64_t height, int64_t width, const Fill& fill, const nn::Frame* residual, bool take) {
  const int64_t t = pushed_++;
  if (!plane(t).data.defined()) plane(t) = conv_.plane(height, width);
  fill(plane(t));
  const DType dtype = plane(t).data.dtype();
  for (nn::Plane& p : ring_)
    if (p.data.defined() && p.data.dtype() != dtype) p.data = p.data.to(dtype);
  const std::array<const nn::Plane*, 3> planes{&plane(t - 2), &plane(t - 1), &plane(t)};
  nn::Frame out = take ? *residual : nn::Frame::empty(height, width, conv_.out());
  conv_(planes, out, residual ? &residual->data : nullptr);
  return out;
}

void CausalConv::rest() {
  plane(pushed_).data = {};
  // Where bf16 weights meet f32 inputs (the processor multiplies no bf16), what was rounded is still as good as what
  // other processors compute with.
  for (nn::Plane& p : ring_)
    if (p.data.defined()) p.data = p.data.to(dtype_);
}

ChunkNorm Resnet::norm_of(const checkpoint::Weights& weights, const Options& o, int64_t channels, DType dtype) {
  if (o.latent_channels > 0) return {weights, channels, o.latent_channels, o.groups, dtype, o.activation};
  return {weights, channels, o.groups, o.eps, o.activation};
}

Resnet::Resnet(const checkpoint::Weights& weights, const Options& o, DType dtype)
    : norm1_(norm_of(weights["norm1"], o, o.in, dtype)),
      norm2_(norm_of(weights["norm2"], o, o.out, dtype)),
      conv1_(weights["conv1"], o.in, o.out, dtype),
      conv2_(weights["conv2"], o.out, o.out, dtype),
      has_shortcut_(o.in != o.out) {
  if (has_shortcut_) shortcut_ = nn::PointConv(weights["conv_shortcut"], o.in, o.out, dtype);
}

void Resnet::begin() {
  conv1_.begin();
  conv2_.begin();
}

Chunk Resnet::operator()(Chunk x, const Chunk& latents) {
  Chunk inner(x.size());
  norm1_.begin(x, latents);
  for (size_t t = 0; t < x.size(); ++t) {
    inner[t] =
        conv1_.push(x[t].height, x[t].width, [&](nn::Plane& plane) { norm1_(x[t], static_cast<int64_t>(t), plane); });
    if (has_shortcut_) x[t] = shortcut_(x[t], nullptr);
  }
  norm1_.end();
  conv1_.rest();
  norm2_.begin(inner, latents);
  for (size_t t = 0; t < x.size(); ++t) {
    const bool last_user = t + 1 == x.size() || !share(x[t], x[t + 1]);
    x[t] = conv2_.push(
        x[t].height, x[t].width, [&](nn::Plane& plane) { norm2_(inner[t], static_cast<int64_t>(t), plane); }, &x[t],
        last_user);
    inner[t] = {};
  }
  norm2_.end();
  conv2_.rest();
  return x;
}

Downsample::Downsample(const checkpoint::Weights& weights, int64_t channels, bool compress_time, DType dtype)
    : conv_(weights["conv"], channels, channels, 1, dtype), compress_time_(compress_time) {}

Chunk Downsample::operator()(Chunk x) const {
  const int64_t height = x.at(0).height, width = x[0].width;
  if (height < 2 || width < 2)
    throw Error(ErrorKind::usage, "the picture is too small for the video encoder",
                "use a width and height of at least 8 pixels");
  const auto& k = kernels::kernels();
  nn::Plane plane = conv_.plane(height, width);
  const nn::Plane* const planes[] = {&plane};
  // Frames a and b of the input make one of the output.
  const auto convolve = [&](const nn::Frame& a, const nn::Frame& b) {
    const bool pair = &a != &b;
    const int64_t row = width * a.channels;
    parallel_for(height, rows_of_a_piece(row), [&](int64_t begin, int64_t end) {
      std::vector<float> mean(static_cast<size_t>(pair ? row : 0));
      for (int64_t y = begin; y < end; ++y) {
        const float *first = a.pixel(y, 0), *second = b.pixel(y, 0), *from = first;
        if (pair) {
          for (int64_t i = 0; i < row; ++i) mean[static_cast<size_t>(i)] = (first[i] + second[i]) / 2.0f;
          from = mean.data();
        }
        for (int64_t at = 0; at < width; ++at)
          k.convert(from + at * a.channels, DType::f32, a.channels, pixel_of(plane, y, at), plane.data.dtype());
      }
    });
    nn::Frame out = nn::Frame::empty(height / 2, width / 2, conv_.out());
    conv_(planes, out, nullptr, 2, 1);
    return out;
  };
  Chunk out;
  for (size_t t = 0; t < x.size();) {
    const size_t next = compress_time_ && (t > 0 || x.size() % 2 == 0) ? t + 1 : t;
    out.push_back(convolve(x[t], x[next]));
    while (t <= next) x[t++] = {};
  }
  return out;
}

Upsample::Upsample(const checkpoint::Weights& weights, int64_t channels, bool compress_time, DType dtype)
    : conv_(weights["conv"], channels, channels, 1, dtype), compress_time_(compress_time) {}

Chunk Upsample::operator()(Chunk x) const {
  const int64_t height = 2 * x.at(0).height, width = 2 * x[0].width;
  nn::Plane plane = conv_.plane(height, width);
  const nn::Plane* const planes[] = {&plane};
  const auto& k = kernels::kernels();
  Chunk out;
  for (size_t t = 0; t < x.size(); ++t) {
    const nn::Frame& frame = x[t];
    parallel_for(height, rows_of_a_piece(width * frame.channels), [&](int64_t begin, int64_t end) {
      for (int64_t y = begin; y < end; ++y)
        for (int64_t at = 0; at < width; ++at)
          k.convert(frame.pixel(y / 2, at / 2), DType::f32, frame.channels, pixel_of(plane, y, at), plane.data.dtype());
    });
    nn::Frame larger = nn::Frame::empty(height, width, conv_.out());
    conv_(planes, larger);
    x[t] = {};
    if (compress_time_ && (t > 0 || (x.size() % 2 == 0 && x.size() > 1))) out.push_back(larger);
    out.push_back(std::move(larger));
  }
  return out;
}

}  // namespace prax::models::cogvideox
