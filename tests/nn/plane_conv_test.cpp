#include "nn/plane_conv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>

#include "base/error.h"
#include "tensor/random.h"

namespace prax::nn::plane_conv_test {
namespace {

//! Hands out the tensors that it was given.
class Given : public checkpoint::TensorSource {
public:
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string& name, const Shape&) override { return name == "weight" ? weight : bias; }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "given"; }
  Tensor weight, bias;
};

struct Case {
  int64_t pictures, height, width, in, out, stride, first;
};

int64_t size_of_output(int64_t size, const Case& c) { return (size + 2 - c.first - 3) / c.stride + 1; }

//! Tap by tap, in f64.
double wanted(const Case& c, const std::vector<Frame>& frames, const Given& given, int64_t y, int64_t x, int64_t o) {
  double sum = given.bias.data<float>()[o];
  const float* w = given.weight.data<float>() + o * c.in * c.pictures * 9;
  for (int64_t channel = 0; channel < c.in; ++channel)
    for (int64_t t = 0; t < c.pictures; ++t)
      for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 3; ++j, ++w) {
          const int64_t row = y * c.stride + c.first + i - 1, column = x * c.stride + c.first + j - 1;
          if (row < 0 || row >= c.height || column < 0 || column >= c.width) continue;
          sum += double{*w} * frames[static_cast<size_t>(t)].pixel(row, column)[channel];
        }
  return sum;
}

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.pictures << "x" << c.height << "x" << c.width << "_" << c.in << "_to_" << c.out << "_stride_" << c.stride;
}

class PlaneConvolution : public testing::TestWithParam<Case> {};

TEST_P(PlaneConvolution, SumsOverTheTaps) {
  const Case c = GetParam();
  auto given = std::make_shared<Given>();
  given->weight = Generator(1).randn({c.out, c.in, c.pictures, 3, 3});
  given->bias = Generator(2).randn({c.out});
  std::vector<Frame> frames;
  Generator generator(3);
  for (int64_t t = 0; t < c.pictures; ++t) {
    const Tensor pixels = generator.randn({c.height, c.width, c.in});
    frames.push_back(frame_from(pixels.data<float>(), c.height, c.width, c.in));
  }
  const int64_t height = size_of_output(c.height, c), width = size_of_output(c.width, c);
  const Tensor added = generator.randn({height, width, c.out});
  const auto before = kernels::isa();
  // Sums of products of normal values, one after another in f32: the error of the partial sums grows with their number.
  const double tolerance = 2e-5 + 2e-7 * static_cast<double>(c.in * c.pictures * 9);
  for (kernels::Isa isa : kernels::available_isas()) {
    SCOPED_TRACE(std::string(kernels::name_of(isa)));
    kernels::set_isa(isa);
    const PlaneConv conv(checkpoint::Weights(given), c.in, c.out, c.pictures, DType::f32);
    // Planes come back from the pool with what they held before.
    conv.plane(c.height, c.width).data.span<float>()[5] = NAN;
    std::vector<Plane> planes;
    std::vector<const Plane*> inputs;
    for (const Frame& frame : frames) {
      planes.push_back(conv.plane(c.height, c.width));
      fill_plane(frame, nullptr, planes.back());
    }
    for (const Plane& plane : planes) inputs.push_back(&plane);
    Frame out = Frame::empty(height, width, c.out);
    conv(inputs, out, nullptr, c.stride, c.first);
    Frame sum = frame_from(added.data<float>(), height, width, c.out);
    conv(inputs, sum, &sum.data, c.stride, c.first);
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t o = 0; o < c.out; ++o) {
          const double want = wanted(c, frames, *given, y, x, o);
          ASSERT_NEAR(out.pixel(y, x)[o], want, tolerance) << y << " " << x << " " << o;
          ASSERT_NEAR(sum.pixel(y, x)[o], want + added.data<float>()[(y * width + x) * c.out + o], tolerance);
        }
  }
  kernels::set_isa(before);
}

INSTANTIATE_TEST_SUITE_P(Sizes, PlaneConvolution,
                         testing::Values(Case{1, 1, 1, 1, 1, 1, 0}, Case{1, 5, 7, 3, 8, 1, 0},
                                         Case{3, 4, 6, 5, 9, 1, 0}, Case{3, 3, 5, 200, 17, 1, 0},
                                         Case{1, 6, 9, 256, 4, 1, 0}, Case{1, 6, 8, 7, 5, 2, 1},
                                         Case{1, 5, 9, 16, 33, 2, 1}, Case{1, 2, 2, 4, 4, 2, 1}));

//! Large enough for fewer products than taps have; the reference is the f32 convolution.
TEST(PlaneConv, TakesFewerProductsInBf16) {
  auto given = std::make_shared<Given>();
  const int64_t in = 64, out = 40, height = 13, width = 16;
  given->weight = Generator(1).randn({out, in, 3, 3, 3});
  given->bias = Generator(2).randn({out});
  const Tensor pixels = Generator(3).randn({height, width, in}), added = Generator(4).randn({height, width, out});
  const auto run = [&](DType dtype) {
    const PlaneConv conv(checkpoint::Weights(given), in, out, 3, dtype);
    Plane plane = conv.plane(height, width);
    fill_plane(frame_from(pixels.data<float>(), height, width, in), nullptr, plane);
    const Plane* const three[] = {&plane, &plane, &plane};
    Frame sum = frame_from(added.data<float>(), height, width, out);
    conv(three, sum, &sum.data);
    return sum;
  };
  const auto before = kernels::isa();
  for (kernels::Isa isa : kernels::available_isas()) {
    SCOPED_TRACE(std::string(kernels::name_of(isa)));
    kernels::set_isa(isa);
    const Frame exact = run(DType::f32), rounded = run(DType::bf16);
    for (int64_t y = 0; y < height; ++y)
      for (int64_t x = 0; x < width; ++x)
        for (int64_t o = 0; o < out; ++o) ASSERT_NEAR(exact.pixel(y, x)[o], rounded.pixel(y, x)[o], 1.5) << y << x << o;
  }
  kernels::set_isa(before);
}

TEST(PlaneConv, RefusesPicturesThatDoNotFit) {
  auto given = std::make_shared<Given>();
  given->weight = Tensor::zeros({4, 3, 3, 3});
  given->bias = Tensor::zeros({4});
  const PlaneConv conv(checkpoint::Weights(given), 3, 4, 1, DType::f32);
  const Plane plane = conv.plane(4, 4);
  const Plane* const one[] = {&plane};
  const Plane* const two[] = {&plane, &plane};
  Frame out = Frame::empty(4, 4, 4), large = Frame::empty(5, 4, 4), wide = Frame::empty(4, 4, 5);
  EXPECT_NO_THROW(conv(one, out));
  EXPECT_THROW(conv(two, out), Error);
  EXPECT_THROW(conv(one, large), Error);
  EXPECT_THROW(conv(one, wide), Error);
  EXPECT_THROW(conv(one, out, nullptr, 2, 1), Error);
}

TEST(PlaneConv, RefusesWeightsThatAreNoNumbers) {
  auto given = std::make_shared<Given>();
  given->weight = Tensor::full({4, 3, 3, 3}, NAN);
  given->bias = Tensor::zeros({4});
  const PlaneConv conv(checkpoint::Weights(given), 3, 4, 1, DType::f32);
  const Plane plane = conv.plane(4, 4);
  const Plane* const one[] = {&plane};
  Frame out = Frame::empty(4, 4, 4);
  EXPECT_THROW(conv(one, out), Error);
}

}  // namespace
}  // namespace prax::nn::plane_conv_test
