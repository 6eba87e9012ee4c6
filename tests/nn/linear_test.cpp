#include "nn/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "base/error.h"
#include "support/errors.h"
#include "support/golden.h"
#include "tensor/random.h"

namespace prax::nn::linear_test {
namespace {

using checkpoint::SyntheticSource;
using checkpoint::Weights;

Weights random_weights() { return Weights(std::make_shared<SyntheticSource>(DType::f32)); }

TEST(Linear, StackedWeightsAreTheSingleOnesSideBySide) {
  const Weights w = random_weights();
  const Tensor x = Tensor::full({3, 24}, 0.5f);
  const Linear a(w["a"], 24, 10, true, DType::f32), b(w["b"], 24, 40, true, DType::f32);
  for (Residency residency : {Residency::packed, Residency::streamed}) {
    const Linear both({w["a"], w["b"]}, 24, {10, 40}, true, DType::f32, residency);
    const Tensor got = both(x, DType::f32), first = a(x, DType::f32), second = b(x, DType::f32);
    for (int64_t r = 0; r < 3; ++r)
      for (int64_t c = 0; c < 50; ++c)
        EXPECT_NEAR(got.data<float>()[r * 50 + c],
                    c < 10 ? first.data<float>()[r * 10 + c] : second.data<float>()[r * 40 + c - 10], 1e-6);
  }
}

TEST(Linear, PacksAgainAfterRelease) {
  Linear l(random_weights()["x"], 16, 16, true, DType::bf16);
  const Tensor x = Tensor::full({2, 16}, 1);
  const Tensor before = l(x, DType::f32);
  l.release();
  const Tensor after = l(x, DType::f32);
  EXPECT_TRUE(std::equal(before.span<float>().begin(), before.span<float>().end(), after.span<float>().begin()));
}

class Bad : public checkpoint::TensorSource {
public:
  explicit Bad(Tensor t) : tensor_(std::move(t)) {}
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string&, const Shape&) override { return tensor_; }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "bad"; }

private:
  Tensor tensor_;
};

TEST(Linear, NamesNonFiniteAndIntegerWeights) {
  const Linear nan(Weights(std::make_shared<Bad>(Tensor::full({4, 4}, INFINITY)), "block"), 4, 4, false, DType::bf16);
  try {
    nan(Tensor::full({1, 4}, 1), DType::f32);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::checkpoint);
    EXPECT_NE(std::string(e.what()).find("block.weight"), std::string::npos) << e.what();
  }
  EXPECT_THROW(Linear(Weights(std::make_shared<Bad>(Tensor::zeros({4, 4}, DType::i64))), 4, 4, false, DType::f32),
               Error);
}

TEST(Linear, FindsTheOneWeightThatIsNotFinite) {
  const int64_t in = 300, out = 500;
  test::on_every_isa([&] {
    for (const DType stored : {DType::f32, DType::bf16})
      for (const DType dtype : {DType::f32, DType::bf16, DType::i8})
        for (const Residency residency : {Residency::packed, Residency::streamed})
          for (const auto& [value, row, column] :
               {std::tuple{NAN, 0, 0}, {INFINITY, 499, 299}, {-INFINITY, 260, 255}}) {
            Tensor w = Generator(1).randn({out, in});
            w.data<float>()[row * in + column] = value;
            const Linear l(Weights(std::make_shared<Bad>(w.to(stored)), "block"), in, out, false, dtype, residency);
            // Whatever it is multiplied with: nothing, too.
            const std::string said = test::error_of(ErrorKind::checkpoint, [&] {
              l(Tensor::zeros({3, in}), DType::f32);
            });
            const std::string at = "[" + std::to_string(row) + ", " + std::to_string(column) + "]";
            EXPECT_TRUE(test::contains(said, "block.weight") && test::contains(said, at)) << said;
          }
  });
}

TEST(Linear, LetsWhatItIsGivenBeNotFinite) {
  Tensor x = Tensor::full({3, 16}, 1);
  x.data<float>()[20] = NAN;
  for (const Residency residency : {Residency::packed, Residency::streamed}) {
    const Linear l(random_weights()["x"], 16, 8, true, DType::f32, residency);
    const Tensor y = l(x, DType::f32);
    EXPECT_TRUE(std::isfinite(y.data<float>()[7]) && std::isnan(y.data<float>()[8]) &&
                std::isfinite(y.data<float>()[16]));
  }
}

//! |got - want| over |want|, as vectors.
double distance(const Tensor& got, const Tensor& want) {
  double error = 0, size = 0;
  for (int64_t i = 0; i < want.numel(); ++i) {
    const double w = want.data<float>()[i], d = got.data<float>()[i] - w;
    error += d * d;
    size += w * w;
  }
  return std::sqrt(error / size);
}

Linear of(const Tensor& weight, DType dtype) {
  return Linear(Weights(std::make_shared<Bad>(weight)), weight.dim(1), weight.dim(0), false, dtype);
}

TEST(Linear, Int8IsNearWhereValuesAreEven) {
  Generator g(1);
  const Tensor w = g.randn({96, 640}), x = g.randn({50, 640});
  const double error = distance(of(w, DType::i8)(x, DType::f32), of(w, DType::f32)(x, DType::f32));
  EXPECT_LT(error, 0.02);
  EXPECT_GT(error, 0.002) << "these are products of int8";
}

TEST(Linear, Int8GivesWayWhereAFewValuesOutweighTheOthers) {
  Generator g(2);
  const Tensor even_w = g.randn({96, 640}), even_x = g.randn({50, 640});
  Tensor w = even_w.clone(), x = even_x.clone();
  for (int64_t r = 0; r < 96; ++r) w.data<float>()[r * 640 + 3] = 300.0f;
  for (int64_t r = 10; r < 30; ++r) x.data<float>()[r * 640 + 5] = 300.0f;
  const auto product = [](const Tensor& of_w, const Tensor& of_x, DType dtype) {
    return of(of_w, dtype)(of_x, DType::f32);
  };
  EXPECT_EQ(distance(product(w, even_x, DType::i8), product(w, even_x, DType::bf16)), 0.0);
  const Tensor i8 = product(even_w, x, DType::i8), bf16 = product(even_w, x, DType::bf16);
  for (int64_t r = 0; r < 50; ++r)
    EXPECT_EQ(distance(i8.slice(r, r + 1), bf16.slice(r, r + 1)) == 0.0, r >= 10 && r < 30) << r;
}

//! Tensors by name, of which nothing else is there.
class Stored : public checkpoint::TensorSource {
public:
  explicit Stored(std::map<std::string, Tensor> tensors) : tensors_(std::move(tensors)) {}
  bool contains(const std::string& name) const override { return tensors_.contains(name); }
  Tensor get(const std::string& name, const Shape&) override { return tensors_.at(name); }
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "stored"; }

private:
  std::map<std::string, Tensor> tensors_;
};

TEST(Linear, TakesStoredInt8AsItIs) {
  Generator g(3);
  const Tensor a = g.randn({40, 640}), b = g.randn({33, 640}), x = g.randn({50, 640});
  kernels::QuantizationLoss loss;
  const auto qa = kernels::quantize_rows(a, loss), qb = kernels::quantize_rows(b, loss);
  EXPECT_LT(loss.relative(), Linear::most_int8_error);
  const Weights floats(std::make_shared<Stored>(std::map<std::string, Tensor>{{"a.weight", a}, {"b.weight", b}}));
  const Weights bytes(std::make_shared<Stored>(std::map<std::string, Tensor>{
      {"a.weight", qa.bytes}, {"a.weight_scale", qa.scales}, {"b.weight", qb.bytes}, {"b.weight_scale", qb.scales}}));
  const Weights mixed(std::make_shared<Stored>(
      std::map<std::string, Tensor>{{"a.weight", qa.bytes}, {"a.weight_scale", qa.scales}, {"b.weight", b}}));
  const auto product = [&](const Weights& w, DType dtype, Residency residency) {
    return Linear({w["a"], w["b"]}, 640, {40, 33}, false, dtype, residency)(x, DType::f32);
  };
  const Tensor want = product(floats, DType::i8, Residency::packed);
  for (const Weights& w : {bytes, mixed, floats})
    for (const Residency residency : {Residency::packed, Residency::streamed})
      EXPECT_EQ(distance(product(w, DType::i8, residency), want), 0.0);
  // The numbers that the bytes stand for, in other arithmetic.
  const Weights numbers(std::make_shared<Stored>(
      std::map<std::string, Tensor>{{"a.weight", kernels::dequantize_rows(qa.bytes, qa.scales)},
                                    {"b.weight", kernels::dequantize_rows(qb.bytes, qb.scales)}}));
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const Residency residency : {Residency::packed, Residency::streamed})
      EXPECT_EQ(distance(product(bytes, dtype, residency), product(numbers, dtype, Residency::packed)), 0.0);
}

TEST(Linear, Int8LosesLittleOnEveryIsa) {
  Generator g(5);
  Tensor w = g.randn({96, 640});
  const Tensor x = g.randn({50, 640});
  for (int64_t r = 0; r < 96; ++r) w.data<float>()[r * 640 + 3] = 16.0f;  // 8 bits can still hold the others
  kernels::QuantizationLoss loss;
  const auto q = kernels::quantize_rows(w, loss);
  EXPECT_GT(loss.relative(), 0.03);
  EXPECT_LT(loss.relative(), Linear::most_int8_error);
  const Weights bytes(
      std::make_shared<Stored>(std::map<std::string, Tensor>{{"weight", q.bytes}, {"weight_scale", q.scales}}));
  const Tensor want = of(w, DType::f32)(x, DType::f32);
  const kernels::Isa before = kernels::isa();
  for (const kernels::Isa isa : kernels::available_isas()) {
    kernels::set_isa(isa);
    EXPECT_LT(distance(of(w, DType::i8)(x, DType::f32), want), 0.05) << kernels::name_of(isa);
    EXPECT_LT(distance(Linear(bytes, 640, 96, false, DType::i8)(x, DType::f32), want), 0.05) << kernels::name_of(isa);
  }
  kernels::set_isa(before);
}

TEST(Linear, HalvesOfStoredInt8AreItsOutputs) {
  Generator g(4);
  const Tensor w = g.randn({64, 128}), x = g.randn({7, 128});
  kernels::QuantizationLoss loss;
  const auto q = kernels::quantize_rows(w, loss);
  const Weights bytes(
      std::make_shared<Stored>(std::map<std::string, Tensor>{{"weight", q.bytes}, {"weight_scale", q.scales}}));
  const Tensor whole = Linear(bytes, 128, 64, false, DType::i8)(x, DType::f32);
  const auto halves = Linear::halves(bytes, 128, 32, false, DType::i8);
  const Tensor first = halves[0](x, DType::f32), second = halves[1](x, DType::f32);
  for (int64_t r = 0; r < 7; ++r)
    for (int64_t c = 0; c < 64; ++c)
      EXPECT_EQ(whole.data<float>()[r * 64 + c], (c < 32 ? first : second).data<float>()[r * 32 + c % 32]);
}

TEST(Linear, RefusesInputsThatDoNotFit) {
  const Linear l(random_weights()["x"], 16, 8, true, DType::f32);
  EXPECT_THROW(l(Tensor::full({2, 15}, 1), DType::f32), Error);
}

}  // namespace
}  // namespace prax::nn::linear_test
