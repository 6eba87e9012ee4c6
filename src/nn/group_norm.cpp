#include "nn/group_norm.h"

#include <cmath>

#include "base/error.h"
#include "nn/linear.h"
#include "tensor/parallel.h"

namespace prax::nn {

namespace {

int64_t rows_grain(const Frame& frame) { return std::max<int64_t>(1, 32768 / (frame.width * frame.channels + 1)); }

}  // namespace

Frame affine(const Frame& frame, const ChannelAffine& map, kernels::Activation activation, const Frame* residual) {
  const int64_t channels = frame.channels, row = frame.width * channels;
  Frame out = Frame::empty(frame.height, frame.width, channels);
  const auto& k = kernels::kernels();
  parallel_for(frame.height, rows_grain(frame), [&](int64_t begin, int64_t end) {
    const float *scale = map.scale.data(), *shift = map.shift.data();
    for (int64_t y = begin; y < end; ++y) {
      float* to = out.pixel(y, 0);
      const auto last = residual ? kernels::Activation::none : activation;
      for (int64_t x = 0; x < frame.width; ++x)
        k.affine(frame.pixel(y, x), channels, scale, shift, last, to + x * channels, DType::f32);
      if (!residual) continue;
      k.add(to, residual->pixel(y, 0), DType::f32, row, to);
      if (activation != kernels::Activation::none) k.activate(to, DType::f32, row, activation, to, DType::f32);
    }
  });
  return out;
}

GroupNorm::GroupNorm(const checkpoint::Weights& weights, int64_t channels, int64_t groups, float eps)
    : channels_(channels), groups_(groups), eps_(eps) {
  if (groups < 1 || channels < 1 || channels % groups != 0)
    throw Error(ErrorKind::checkpoint,
                weights.path("weight") + ": " + std::to_string(channels) +
                    " channels are not a multiple of the norm's " + std::to_string(groups) + " groups",
                "the model's config.json does not fit its design");
  weight_ = load_f32(weights, "weight", {channels});
  bias_ = load_f32(weights, "bias", {channels});
}

void GroupNorm::Statistics::add(const Frame& frame) {
  const int64_t channels = norm_.channels_, groups = norm_.groups_, size = channels / groups;
  if (frame.channels != channels)
    throw Error(ErrorKind::internal,
                "a norm of " + std::to_string(channels) + " channels was given " + std::to_string(frame.channels));
  // Sums of single rows, added in order: the result does not depend on who computed which.
  std::vector<double> rows(static_cast<size_t>(frame.height * groups * 2));
  parallel_for(frame.height, rows_grain(frame), [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(channels)), squares(static_cast<size_t>(channels));
    for (int64_t y = begin; y < end; ++y) {
      std::fill(sums.begin(), sums.end(), 0.0);
      std::fill(squares.begin(), squares.end(), 0.0);
      kernels::kernels().channel_sums(frame.pixel(y, 0), frame.width, channels, sums.data(), squares.data());
      for (int64_t c = 0; c < channels; ++c) {
        rows[static_cast<size_t>((y * groups + c / size) * 2)] += sums[static_cast<size_t>(c)];
        rows[static_cast<size_t>((y * groups + c / size) * 2 + 1)] += squares[static_cast<size_t>(c)];
      }
    }
  });
  for (size_t i = 0; i < rows.size(); ++i) sums_[i % sums_.size()] += rows[i];
  pixels_ += frame.height * frame.width;
}

ChannelAffine GroupNorm::Statistics::affine() const {
  const int64_t channels = norm_.channels_, size = channels / norm_.groups_;
  const double count = static_cast<double>(pixels_ * size);
  ChannelAffine map{std::vector<float>(static_cast<size_t>(channels)),
                    std::vector<float>(static_cast<size_t>(channels))};
  for (int64_t c = 0; c < channels; ++c) {
    const size_t group = static_cast<size_t>(c / size), i = static_cast<size_t>(c);
    const double mean = sums_[group * 2] / count;
    const double variance = std::max(0.0, sums_[group * 2 + 1] / count - mean * mean);
    const double scale = norm_.weight_.data<float>()[c] / std::sqrt(variance + static_cast<double>(norm_.eps_));
    map.scale[i] = static_cast<float>(scale);
    map.shift[i] = static_cast<float>(norm_.bias_.data<float>()[c] - mean * scale);
  }
  return map;
}

ChannelAffine GroupNorm::over(std::span<const Frame> frames) const {
  Statistics statistics(*this);
  for (const Frame& frame : frames) statistics.add(frame);
  return statistics.affine();
}

std::vector<Frame> GroupNorm::operator()(std::span<const Frame> frames, kernels::Activation activation) const {
  const ChannelAffine map = over(frames);
  std::vector<Frame> out;
  out.reserve(frames.size());
  for (const Frame& frame : frames) out.push_back(affine(frame, map, activation));
  return out;
}

}  // namespace prax::nn
