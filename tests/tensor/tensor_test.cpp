#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <numeric>

#include "base/error.h"

namespace prax {
namespace {

Tensor counting(Shape shape) {
  Tensor t = Tensor::empty(std::move(shape));
  std::iota(t.span<float>().begin(), t.span<float>().end(), 0.0f);
  return t;
}

std::vector<float> values(const Tensor& t) { return {t.span<float>().begin(), t.span<float>().end()}; }

TEST(Tensor, SharesStorageAcrossViewsAndSlices) {
  Tensor t = counting({2, 3});
  Tensor flat = t.view({-1});
  EXPECT_EQ(flat.shape(), (Shape{6}));
  flat.data<float>()[4] = 40;
  EXPECT_EQ(t.slice(1, 2).data<float>()[1], 40);
  Tensor copy = t.clone();
  copy.data<float>()[0] = 7;
  EXPECT_EQ(t.data<float>()[0], 0);
}

TEST(Tensor, SliceKeepsTheStorageAlive) {
  Tensor row;
  {
    const Tensor t = counting({1000, 3});
    row = t.slice(999, 1000);
  }
  EXPECT_EQ(values(row), (std::vector<float>{2997, 2998, 2999}));
}

TEST(Tensor, Permutes) {
  EXPECT_EQ(values(counting({2, 3}).permute({1, 0})), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  const Tensor t = counting({2, 3, 4}).permute({2, 0, 1});
  EXPECT_EQ(t.shape(), (Shape{4, 2, 3}));
  EXPECT_EQ(t.data<float>()[0], 0);
  EXPECT_EQ(t.data<float>()[1], 4);
  EXPECT_EQ(t.data<float>()[6], 1);
  EXPECT_EQ(t.data<float>()[23], 23);
  EXPECT_EQ(values(Tensor::full({}, 3).permute({})), std::vector<float>{3});
}

TEST(Tensor, Concatenates) {
  const Tensor a = counting({2, 1}), b = counting({2, 2});
  EXPECT_EQ(values(Tensor::concat({a, b}, 1)), (std::vector<float>{0, 0, 1, 1, 2, 3}));
  EXPECT_EQ(Tensor::concat({b, b}, 0).shape(), (Shape{4, 2}));
}

TEST(Tensor, ConvertsThroughF32) {
  const Tensor t = Tensor::from<float>({3}, std::vector<float>{1.0f, -2.5f, 1.00390625f});
  const Tensor b = t.to(DType::bf16);
  EXPECT_EQ(b.bytes(), 6u);
  EXPECT_EQ(values(b.to(DType::f32)), (std::vector<float>{1.0f, -2.5f, 1.0f}));  // tie to even
  const Tensor ints = Tensor::from<int64_t>({2}, std::vector<int64_t>{3, -4});
  EXPECT_EQ(values(ints.to(DType::f32)), (std::vector<float>{3, -4}));
}

TEST(Tensor, RefusesWhatCannotBe) {
  const Tensor t = counting({2, 3});
  EXPECT_THROW(t.view({4}), Error);
  EXPECT_THROW(t.view({-1, 4}), Error);
  EXPECT_THROW(t.slice(1, 3), Error);
  EXPECT_THROW(t.data<int64_t>(), Error);
  EXPECT_THROW(Tensor::meta({2}, DType::f32).data<float>(), Error);
  EXPECT_NO_THROW(Tensor::empty({0}).data<float>());
}

TEST(Tensor, LettingGoDoesNothingToOwnedStorage) {
  const Tensor t = Tensor::full({1 << 14}, 2.5f);
  t.let_go();
  for (const float v : t.span<float>()) ASSERT_EQ(v, 2.5f);
}

}  // namespace
}  // namespace prax
