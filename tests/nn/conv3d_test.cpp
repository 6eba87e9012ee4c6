#include "nn/conv3d.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "tensor/random.h"

namespace prax::nn::conv3d_test {
namespace {

//! Hands out the tensors that it was given.
class Given : public checkpoint::TensorSource {
public:
  bool contains(const std::string& name) const override { return name == "weight" || name == "bias"; }
  Tensor get(const std::string& name, const Shape&) override { return name == "weight" ? weight : bias; }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "given"; }
  Tensor weight, bias;
};

struct Clip {
  int64_t frames, height, width, channels;
  std::vector<float> data;  //!< [frames, height, width, channels]
  float at(int64_t t, int64_t y, int64_t x, int64_t c) const {
    if (y < 0 || y >= height || x < 0 || x >= width) return 0;
    t = std::clamp<int64_t>(t, 0, frames - 1);
    return data[static_cast<size_t>(((t * height + y) * width + x) * channels + c)];
  }
};

Clip draw(int64_t frames, int64_t height, int64_t width, int64_t channels) {
  const Tensor t = Generator(3).randn({frames, height, width, channels});
  return {frames, height, width, channels, {t.span<float>().begin(), t.span<float>().end()}};
}

struct Case {
  int64_t frames, height, width, in, out;
  bool causal;
  int64_t stride;
};

class Convolution : public testing::TestWithParam<Case> {};

TEST_P(Convolution, StreamsWhatTheWholeClipGives) {
  const Case c = GetParam();
  auto source = std::make_shared<Given>();
  source->weight = Generator(1).randn({c.out, c.in, 3, 3, 3});
  source->bias = Generator(2).randn({c.out});
  const Clip clip = draw(c.frames, c.height, c.width, c.in);
  const auto before = kernels::isa();
  for (kernels::Isa isa : kernels::available_isas()) {
    SCOPED_TRACE(std::string(kernels::name_of(isa)));
    kernels::set_isa(isa);
    Conv3d conv(checkpoint::Weights(source), c.in, c.out, c.causal, DType::f32, c.stride);
    for (int repeat = 0; repeat < 2; ++repeat) {  // a second clip must not see the first
      std::vector<Frame> out;
      const Emit keep = [&](Frame f) { out.push_back(std::move(f)); };
      conv.begin();
      for (int64_t t = 0; t < c.frames; ++t)
        conv.push(frame_from(clip.data.data() + t * c.height * c.width * c.in, c.height, c.width, c.in), nullptr, keep);
      conv.finish(keep);
      ASSERT_EQ(static_cast<int64_t>(out.size()), (c.frames - 1) / c.stride + 1);
      for (size_t j = 0; j < out.size(); ++j)
        for (int64_t y = 0; y < out[j].height; ++y)
          for (int64_t x = 0; x < out[j].width; ++x)
            for (int64_t o = 0; o < c.out; ++o) {
              double want = source->bias.data<float>()[o];
              for (int64_t dt = 0; dt < 3; ++dt)
                for (int64_t dy = 0; dy < 3; ++dy)
                  for (int64_t dx = 0; dx < 3; ++dx)
                    for (int64_t i = 0; i < c.in; ++i)
                      want += static_cast<double>(clip.at(static_cast<int64_t>(j) * c.stride + dt - (c.causal ? 2 : 1),
                                                          y * c.stride + dy - 1, x * c.stride + dx - 1, i)) *
                              source->weight.data<float>()[(((o * c.in + i) * 3 + dt) * 3 + dy) * 3 + dx];
              ASSERT_NEAR(out[j].pixel(y, x)[o], want, 1e-3) << j << " " << y << " " << x << " " << o;
            }
    }
  }
  kernels::set_isa(before);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Convolution,
                         testing::Values(Case{1, 1, 1, 3, 2, true, 1}, Case{1, 4, 3, 5, 7, false, 1},
                                         Case{5, 6, 9, 8, 40, true, 1}, Case{4, 5, 7, 33, 12, false, 1},
                                         Case{5, 6, 8, 6, 9, true, 2}, Case{5, 4, 6, 4, 3, false, 2},
                                         Case{2, 3, 4, 200, 5, false, 1}));

TEST(Conv3d, AddsResidualsInOrder) {
  constexpr int64_t channels = 40;  // wide enough for every way of convolving
  auto source = std::make_shared<Given>();
  source->weight = Tensor::zeros({channels, channels, 3, 3, 3});
  source->bias = Tensor::zeros({channels});
  for (const int64_t side : {2, 12})
    for (const DType dtype : {DType::f32, DType::bf16}) {
      Conv3d conv(checkpoint::Weights(source), channels, channels, false, dtype);
      WaitingFrames residuals(dtype);
      std::vector<Frame> out;
      const Emit keep = [&](Frame f) { out.push_back(std::move(f)); };
      conv.begin();
      const Clip clip = draw(4, side, side, channels);
      for (int64_t t = 0; t < 4; ++t) {
        const Frame f = frame_from(clip.data.data() + t * side * side * channels, side, side, channels);
        residuals.push(f);
        conv.push(f, nullptr, keep, &residuals);
      }
      conv.finish(keep, &residuals);
      ASSERT_EQ(out.size(), 4u);
      const float rounding = dtype == DType::f32 ? 0.0f : 1.0f / 256;
      for (int64_t t = 0; t < 4; ++t) {
        const float want = clip.at(t, 1, 1, channels - 1);
        EXPECT_NEAR(out[static_cast<size_t>(t)].pixel(1, 1)[channels - 1], want, rounding * std::abs(want));
      }
    }
}

TEST(Conv3d, RefusesNonFiniteWeights) {
  auto source = std::make_shared<Given>();
  source->weight = Tensor::full({2, 2, 3, 3, 3}, NAN);
  source->bias = Tensor::zeros({2});
  Conv3d conv(checkpoint::Weights(source), 2, 2, true, DType::bf16);
  conv.begin();
  EXPECT_THROW(conv.push(Frame::empty(2, 2, 2), nullptr, [](Frame) {}), Error);
}

}  // namespace
}  // namespace prax::nn::conv3d_test
