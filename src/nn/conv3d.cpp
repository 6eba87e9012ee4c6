#include "nn/conv3d.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::nn {

namespace {

constexpr size_t depth = 3;  // pictures that make one

}  // namespace

Conv3d::Conv3d(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype, int64_t stride)
    : conv_(weights, in, out, depth, dtype), stride_(stride), causal_(causal) {}

void Conv3d::begin() {
  ring_.clear();
  pushed_ = 0;
}

Plane& Conv3d::next_plane(const Frame& frame) {
  const size_t place = static_cast<size_t>(pushed_) % depth;
  if (ring_.size() < depth) return ring_.emplace_back(conv_.plane(frame.height, frame.width));
  Plane& plane = ring_[place];
  if (plane.height != frame.height || plane.width != frame.width) plane = conv_.plane(frame.height, frame.width);
  return plane;
}

const Plane& Conv3d::input(int64_t frame) const {
  return ring_[static_cast<size_t>(std::max<int64_t>(frame, 0)) % depth];
}

void Conv3d::push(const Frame& frame, const Norm* norm, const Emit& emit, std::deque<Frame>* residuals) {
  if (frame.channels != in())
    throw Error(ErrorKind::internal,
                "a convolution of " + std::to_string(in()) + " channels was given " + std::to_string(frame.channels));
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
  const std::array<const Plane*, depth> planes{&before, &now, &after};
  Frame out = Frame::empty((now.height - 1) / stride_ + 1, (now.width - 1) / stride_ + 1, this->out());
  Frame residual;
  if (residuals) {
    residual = std::move(residuals->front());
    residuals->pop_front();
  }
  conv_(planes, out, residuals ? &residual : nullptr, stride_);
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
