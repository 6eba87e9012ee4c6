#include "nn/conv3d.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::nn {

namespace {

constexpr int64_t depth = 3;  // pictures that make one

}  // namespace

Conv3d::Conv3d(const checkpoint::Weights& weights, int64_t in, int64_t out, bool causal, DType dtype, int64_t stride)
    : conv_(weights, in, out, depth, dtype), stride_(stride), causal_(causal) {}

void Residuals::push(const Frame& frame) {
  Tensor kept = frame.data;
  if (dtype_ != DType::f32) {
    kept = Tensor::empty(frame.data.shape(), dtype_);
    convert(frame.data, kept);
  }
  waiting_.push_back(std::move(kept));
}

Tensor Residuals::pop() {
  Tensor next = std::move(waiting_.front());
  waiting_.pop_front();
  return next;
}

void Conv3d::begin() {
  ring_ = {};
  pushed_ = 0;
}

void Conv3d::push(Frame frame, const Norm* norm, const Emit& emit, Residuals* residuals) {
  if (frame.channels != in())
    throw Error(ErrorKind::internal,
                "a convolution of " + std::to_string(in()) + " channels was given " + std::to_string(frame.channels));
  const int64_t t = pushed_++;
  place_of(t) = conv_.plane(frame.height, frame.width);
  fill_plane(frame, norm, place_of(t));
  frame = {};
  const bool due = causal_ ? t % stride_ == 0 : t > 0 && (t - 1) % stride_ == 0;
  if (due) {
    emit(convolve(t - 2, t - 1, t, residuals));
  } else if (t >= 2) {
    place_of(t - 2) = {};
  }
}

void Conv3d::finish(const Emit& emit, Residuals* residuals) {
  const int64_t last = pushed_ - 1;
  if (!causal_ && last >= 0 && last % stride_ == 0) emit(convolve(last - 1, last, last, residuals));
  ring_ = {};
}

Frame Conv3d::convolve(int64_t before, int64_t now, int64_t after, Residuals* residuals) {
  const std::array<const Plane*, 3> planes{&place_of(before), &place_of(now), &place_of(after)};
  Frame out = Frame::empty((planes[1]->height - 1) / stride_ + 1, (planes[1]->width - 1) / stride_ + 1, this->out());
  Tensor residual;
  if (residuals) residual = residuals->pop();
  conv_(planes, out, residuals ? &residual : nullptr, stride_);
  if (before >= 0 && before < now) place_of(before) = {};
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
