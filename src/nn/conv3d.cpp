#include "nn/conv3d.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::nn {

namespace {

constexpr int64_t taps = 3;
//! Channels of one segment: three of them side by side are the k of one panel, which should stay in L1.
constexpr int64_t most_channels = 192;

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

Conv3d::Conv3d(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype, int64_t stride)
    : in_(in), out_(out), stride_(stride), causal_(causal), dtype_(dtype) {
  weight_ = weights.tensor("weight", {out, in, taps, taps, taps});
  name_ = weights.path("weight");
  checkpoint::require_floating(weight_, name_);
  bias_ = load_f32(weights, "bias", {out});
}

void Conv3d::pack() {
  checkpoint::require_finite(weight_, name_);
  const auto& kernel = dtype_ == DType::f32 ? kernels::kernels().f32 : kernels::kernels().bf16;
  chunks_ = (in_ + most_channels - 1) / most_channels;
  chunk_ = round_up((in_ + chunks_ - 1) / chunks_, kernel.depth_multiple);
  pitch_ = chunks_ * chunk_;
  // Pixels a multiple of 1 KiB apart fall into few sets of the L1 cache.
  if (pitch_ * static_cast<int64_t>(size_of(kernel.a_dtype)) % 1024 == 0) pitch_ += 32;
  // [out][dt][dy][chunk][dx][channel]: a group is three neighbouring pixels of one row and one chunk.
  Tensor ordered = Tensor::zeros({out_, taps * taps * chunks_ * taps * chunk_}, dtype_);
  const Tensor stored = weight_.dtype() == dtype_ ? weight_ : weight_.to(dtype_);
  const auto reorder = [&]<typename T>(const T* from, T* to) {
    parallel_for(out_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        for (int64_t t = 0; t < taps * taps; ++t)
          for (int64_t dx = 0; dx < taps; ++dx)
            for (int64_t c = 0; c < in_; ++c)
              to[o * ordered.dim(1) + ((t * chunks_ + c / chunk_) * taps + dx) * chunk_ + c % chunk_] =
                  from[((o * in_ + c) * taps * taps + t) * taps + dx];
    });
  };
  if (dtype_ == DType::f32) {
    reorder(stored.data<float>(), ordered.data<float>());
  } else {
    reorder(stored.data<bfloat16>(), ordered.data<bfloat16>());
  }
  packed_ = kernels::PackedMatrix::pack_taps(ordered, dtype_, taps * taps * chunks_, taps, chunk_);
  weight_.let_go();
}

void Conv3d::begin() {
  if (!packed_.defined()) pack();
  ring_.clear();
  pushed_ = 0;
}

Plane& Conv3d::next_plane(const Frame& frame) {
  const auto wanted = [&](const Plane& p) { return p.height == frame.height && p.width == frame.width; };
  if (ring_.size() < taps || !wanted(ring_[static_cast<size_t>(pushed_ % taps)])) {
    Plane plane = Plane::zeros(frame.height, frame.width, pitch_, packed_.kernel().a_dtype);
    if (ring_.size() < taps) {
      ring_.push_back(std::move(plane));
    } else {
      ring_[static_cast<size_t>(pushed_ % taps)] = std::move(plane);
    }
  }
  return ring_[static_cast<size_t>(pushed_ % taps)];
}

const Plane& Conv3d::input(int64_t frame) const {
  return ring_[static_cast<size_t>(std::max<int64_t>(frame, 0) % taps)];
}

void Conv3d::push(const Frame& frame, const Norm* norm, const Emit& emit, std::deque<Frame>* residuals) {
  if (frame.channels != in_)
    throw Error(ErrorKind::internal,
                "a convolution of " + std::to_string(in_) + " channels was given " + std::to_string(frame.channels));
  fill_plane(frame, norm, next_plane(frame));
  const int64_t t = pushed_++;
  if (causal_) {
    if (t % stride_ == 0) emit(convolve(input(t - 2), input(t - 1), input(t), residuals));
  } else if (t > 0 && (t - 1) % stride_ == 0) {
    emit(convolve(input(t - 2), input(t - 1), input(t), residuals));
  }
}

void Conv3d::finish(const Emit& emit, std::deque<Frame>* residuals) {
  if (!causal_ && pushed_ > 0 && (pushed_ - 1) % stride_ == 0) {
    emit(convolve(input(pushed_ - 2), input(pushed_ - 1), input(pushed_ - 1), residuals));
  }
  ring_.clear();
}

Frame Conv3d::convolve(const Plane& before, const Plane& now, const Plane& after, std::deque<Frame>* residuals) {
  const std::array<const Plane*, taps> planes{&before, &now, &after};
  const size_t size = size_of(now.data.dtype());
  const int64_t height = (now.height - 1) / stride_ + 1, width = (now.width - 1) / stride_ + 1;
  Frame out = Frame::empty(height, width, out_);
  const int64_t offsets[taps] = {0, now.pitch, 2 * now.pitch};
  kernels::Epilogue e;
  e.bias = bias_.data<float>();
  e.out_stride = out_;
  Frame residual;
  if (residuals) {
    residual = std::move(residuals->front());
    residuals->pop_front();
    e.residual_stride = out_;
  }
  // One product for the whole picture, or (stride 2) one a row of it.
  const int64_t runs = stride_ == 1 ? 1 : height;
  const int64_t pixels = stride_ == 1 ? height * out.row_pixels() : width;
  std::vector<const void*> groups(static_cast<size_t>(taps * taps * chunks_));
  for (int64_t run = 0; run < runs; ++run) {
    for (int64_t g = 0; g < taps * taps * chunks_; ++g) {
      const Plane& plane = *planes[static_cast<size_t>(g / (taps * chunks_))];
      const int64_t dy = g / chunks_ % taps, channel = g % chunks_ * chunk_;
      groups[static_cast<size_t>(g)] = static_cast<const char*>(plane.data.raw()) +
                                       static_cast<size_t>(plane.offset(run * stride_ + dy, 0) + channel) * size;
    }
    e.out = out.pixel(run, 0);
    if (residuals) e.residual = residual.pixel(run, 0);
    kernels::matmul_taps(groups, offsets, pixels, now.pitch * stride_, packed_, e);
  }
  return out;
}

PointConv::PointConv(const checkpoint::Weights& weights, int64_t in, int64_t out, DType dtype)
    : in_(in), out_(out), dtype_(dtype) {
  weight_ = weights.tensor("weight", {out, in, 1, 1, 1});
  name_ = weights.path("weight");
  checkpoint::require_floating(weight_, name_);
  bias_ = load_f32(weights, "bias", {out});
}

Frame PointConv::operator()(const Frame& frame, const Norm* norm) const {
  if (!packed_.defined()) {
    checkpoint::require_finite(weight_, name_);
    packed_ = kernels::PackedMatrix::pack(weight_.view({out_, in_}), dtype_);
  }
  const DType a_dtype = packed_.kernel().a_dtype;
  const Tensor input = norm ? normalize(frame.data, *norm, a_dtype) : frame.data;
  Frame out = Frame::empty(frame.height, frame.width, out_);
  kernels::Epilogue e;
  e.bias = bias_.data<float>();
  e.out = out.data.raw();
  e.out_stride = out_;
  kernels::matmul(input.raw(), input.dtype(), frame.data.dim(0), in_, packed_, e);
  return out;
}

}  // namespace prax::nn
