#include "nn/group_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace prax::nn::group_norm_test {
namespace {

//! Draws what it is asked for.
class Drawn : public checkpoint::TensorSource {
public:
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string& name, const Shape& shape) override { return Generator(name.size()).randn(shape); }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "drawn"; }
};

std::vector<Frame> clip(int64_t frames, int64_t height, int64_t width, int64_t channels, float offset) {
  std::vector<Frame> out;
  for (int64_t t = 0; t < frames; ++t) {
    Tensor values = Generator(static_cast<uint64_t>(t + 1)).randn({height, width, channels});
    for (float& v : values.span<float>()) v += offset;
    Frame frame = frame_from(values.data<float>(), height, width, channels);
    for (int64_t y = 0; y < height; ++y)  // what is beside the picture must not count
      std::fill_n(frame.pixel(y, width), 2 * channels, std::numeric_limits<float>::quiet_NaN());
    out.push_back(frame);
  }
  return out;
}

//! silu of the norm of one value, by the definition.
double wanted(const std::vector<Frame>& frames, int64_t size, const Frame& frame, int64_t y, int64_t x, int64_t c) {
  const int64_t first = c / size * size, channels = frame.channels;
  double sum = 0, squares = 0, count = 0;
  const auto for_group = [&](auto&& fn) {
    for (const Frame& f : frames)
      for (int64_t yy = 0; yy < f.height; ++yy)
        for (int64_t xx = 0; xx < f.width; ++xx)
          for (int64_t cc = first; cc < first + size; ++cc) fn(f.pixel(yy, xx)[cc]);
  };
  for_group([&](double v) { sum += v, count += 1; });
  for_group([&](double v) { squares += (v - sum / count) * (v - sum / count); });
  const Tensor weight = Drawn().get("weight", {channels}), bias = Drawn().get("bias", {channels});
  const double normed = (frame.pixel(y, x)[c] - sum / count) / std::sqrt(squares / count + 1e-5);
  const double v = normed * weight.data<float>()[c] + bias.data<float>()[c];
  return v / (1 + std::exp(-v));
}

TEST(GroupNorm, TakesItsStatisticsFromAllPixelsOfAllFrames) {
  const checkpoint::Weights weights(std::make_shared<Drawn>());
  const auto before = kernels::isa();
  for (kernels::Isa isa : kernels::available_isas()) {
    kernels::set_isa(isa);
    for (const int64_t groups : {1, 3, 12})
      for (const float offset : {0.0f, 300.0f}) {
        const auto frames = clip(3, 2, 5, 12, offset);
        const auto out = GroupNorm(weights, 12, groups)(frames, kernels::Activation::silu);
        ASSERT_EQ(out.size(), 3u);
        for (size_t t = 0; t < out.size(); ++t)
          for (int64_t y = 0; y < 2; ++y)
            for (int64_t x = 0; x < 5; ++x)
              for (int64_t c = 0; c < 12; ++c)
                ASSERT_NEAR(out[t].pixel(y, x)[c], wanted(frames, 12 / groups, frames[t], y, x, c),
                            offset == 0 ? 1e-5 : 2e-3);
      }
  }
  kernels::set_isa(before);
}

TEST(GroupNorm, AddsAResidualBeforeTheActivation) {
  const auto frames = clip(2, 3, 2, 4, 0);
  const ChannelAffine map{{1, 2, 3, 4}, {0.5f, 0, 0, -1}};
  const Frame out = affine(frames[0], map, kernels::Activation::none, &frames[1]);
  for (size_t c = 0; c < 4; ++c) {
    const auto i = static_cast<int64_t>(c);
    EXPECT_NEAR(out.pixel(2, 1)[i], frames[0].pixel(2, 1)[i] * map.scale[c] + map.shift[c] + frames[1].pixel(2, 1)[i],
                1e-5);
  }
}

TEST(GroupNorm, DoesNotDependOnTheNumberOfThreads) {
  const GroupNorm norm(checkpoint::Weights(std::make_shared<Drawn>()), 64, 8);
  const auto frames = clip(2, 40, 50, 64, 1);
  const int threads = thread_count();
  set_thread_count(1);
  const ChannelAffine one = norm.over(frames);
  set_thread_count(3);
  const ChannelAffine three = norm.over(frames);
  set_thread_count(threads);
  EXPECT_EQ(one.scale, three.scale);
  EXPECT_EQ(one.shift, three.shift);
}

TEST(GroupNorm, RefusesGroupsThatDoNotDivideTheChannels) {
  const checkpoint::Weights weights(std::make_shared<Drawn>());
  EXPECT_THROW(GroupNorm(weights, 12, 5), Error);
  EXPECT_THROW(GroupNorm(weights, 12, 0), Error);
  EXPECT_THROW(GroupNorm(weights, 12, 3).over(clip(1, 2, 2, 6, 0)), Error);
}

}  // namespace
}  // namespace prax::nn::group_norm_test
