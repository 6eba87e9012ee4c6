#include "nn/linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"

namespace prax::nn {
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

TEST(Linear, RefusesInputsThatDoNotFit) {
  const Linear l(random_weights()["x"], 16, 8, true, DType::f32);
  EXPECT_THROW(l(Tensor::full({2, 15}, 1), DType::f32), Error);
}

}  // namespace
}  // namespace prax::nn
