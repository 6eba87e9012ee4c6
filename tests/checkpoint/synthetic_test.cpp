#include <cmath>
#include <cstring>
#include <set>

#include "checkpoint/support.h"
#include "checkpoint/weights.h"
#include "support/tensors.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"

namespace prax::checkpoint {
namespace {

struct Moments {
  double mean = 0, deviation = 0, kurtosis = 0, largest = 0;
};

Moments moments(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f32);
  double sum = 0, square = 0, fourth = 0, largest = 0;
  const auto n = static_cast<double>(wide.numel());
  for (float v : wide.span<float>()) sum += v;
  for (float v : wide.span<float>()) {
    const double d = v - sum / n;
    square += d * d;
    fourth += d * d * d * d;
    largest = std::max(largest, std::abs(d));
  }
  return {sum / n, std::sqrt(square / n), fourth / n / (square / n * square / n), largest};
}

TEST(Synthetic, MatricesAreNormalByFanIn) {
  SyntheticSource source;
  for (const Shape& shape : {Shape{1024, 2048}, Shape{256, 128, 3, 3, 3}, Shape{6, 4096}}) {
    const Tensor tensor = source.get("w", shape);
    EXPECT_EQ(tensor.shape(), shape);
    EXPECT_EQ(tensor.dtype(), DType::bf16);
    const double wanted = 1 / std::sqrt(static_cast<double>(tensor.numel() / shape[0]));
    const Moments m = moments(tensor);
    EXPECT_NEAR(m.deviation / wanted, 1, 0.02);
    EXPECT_NEAR(m.mean / wanted, 0, 0.03);
    EXPECT_NEAR(m.kurtosis, 2.7, 0.1);  // of the sum of four uniform numbers; 3 is normal
    EXPECT_LT(m.largest, 4 * wanted);
  }
}

TEST(Synthetic, VectorsAreGainsOrSmall) {
  SyntheticSource source(DType::f32);
  EXPECT_NEAR(moments(source.get("attn1.norm_q.weight", {2048})).mean, 1, 0.01);
  EXPECT_NEAR(moments(source.get("attn1.norm_q.weight", {2048})).deviation, 0.02, 0.005);
  EXPECT_NEAR(moments(source.get("latents_std", {128})).mean, 1, 0.02);
  EXPECT_NEAR(moments(source.get("to_q.bias", {2048})).mean, 0, 0.01);
  EXPECT_NEAR(moments(source.get("to_q.bias", {2048})).deviation, 0.02, 0.005);
  EXPECT_LT(std::abs(source.get("scale", {}).data<float>()[0]), 0.1f);
  EXPECT_EQ(source.get("none", {0, 5}).numel(), 0);
  EXPECT_EQ(source.get("none", {5, 0}).numel(), 0);
}

TEST(Synthetic, TheSameNameGivesTheSameNumbersOnAnyThreads) {
  const Shape shape{1500, 1001};  // beyond one tile
  SyntheticSource source, other;
  const Tensor first = source.get("a.weight", shape);
  EXPECT_TRUE(test::same(first, other.get("a.weight", shape)));
  EXPECT_FALSE(test::same(first, source.get("b.weight", shape)));
  set_thread_count(1);
  EXPECT_TRUE(test::same(first, source.get("a.weight", shape)));
  set_thread_count(3);
  EXPECT_TRUE(test::same(first, source.get("a.weight", shape)));
  set_thread_count(0);
}

TEST(Synthetic, RowsOfAMatrixDiffer) {
  SyntheticSource source;
  const Tensor tensor = source.get("embedding", {4096, 1024});
  std::set<std::string> rows;
  for (int64_t row = 0; row < 4096; ++row) rows.emplace(static_cast<const char*>(tensor.raw()) + row * 2048, 2048);
  EXPECT_EQ(rows.size(), 4096u);
}

TEST(Synthetic, GiantMatricesAreNormalByFanInToo) {
  for (const DType dtype : {DType::bf16, DType::f16, DType::f32}) {
    SyntheticSource source(dtype);
    const Tensor tensor = source.get("w", {6000, 4001});  // beyond one file in f32, ends inside a page
    EXPECT_EQ(tensor.shape(), (Shape{6000, 4001}));
    EXPECT_EQ(tensor.dtype(), dtype);
    const double wanted = 1 / std::sqrt(4001.0);
    const Moments m = moments(tensor);
    EXPECT_NEAR(m.deviation / wanted, 1, 0.01);
    EXPECT_NEAR(m.mean / wanted, 0, 0.01);
    EXPECT_NEAR(m.kurtosis, 2.7, 0.05);
  }
}

TEST(Synthetic, GiantMatricesTakeNoAnonymousMemory) {
  SyntheticSource source;
  source.get("warm", {4096, 4096});  // makes the file that all of this fan-in share
  const size_t before = anonymous_memory();
  std::vector<Tensor> tensors;
  double sum = 0;
  for (int i = 0; i < 40; ++i) {  // 2.7 GB
    tensors.push_back(source.get("layer." + std::to_string(i), {8192, 4096}));
    const auto values = tensors.back().span<bfloat16>();
    for (size_t j = 0; j < values.size(); j += 1024) sum += values[j];
  }
  EXPECT_TRUE(std::isfinite(sum));
  EXPECT_LT(anonymous_memory(), before + (size_t{32} << 20));
}

TEST(Synthetic, GiantMatricesOfOneNameAreTheSameAndOthersAreNot) {
  SyntheticSource source, other;
  const Shape shape{5000, 3000};
  const Tensor first = source.get("a.weight", shape);
  EXPECT_TRUE(test::same(first, other.get("a.weight", shape)));
  EXPECT_FALSE(test::same(first, source.get("b.weight", shape)));
  std::set<std::string> rows;
  for (int64_t row = 0; row < 5000; ++row) rows.emplace(static_cast<const char*>(first.raw()) + row * 6000, 6000);
  EXPECT_EQ(rows.size(), 5000u);
}

TEST(Synthetic, AGiantMatrixOutlivesItsSource) {
  Tensor tensor;
  {
    SyntheticSource source;
    tensor = source.get("w", {4096, 2048});
  }
  EXPECT_NEAR(moments(tensor).deviation * std::sqrt(2048.0), 1, 0.01);
}

TEST(Synthetic, TypesAreHonoured) {
  EXPECT_EQ(SyntheticSource(DType::f16).get("x", {8, 8}).dtype(), DType::f16);
  EXPECT_EQ(SyntheticSource(DType::f32).get("x", {8, 8}).dtype(), DType::f32);
  expect_error(ErrorKind::usage, "f8_e4m3", [] { SyntheticSource{DType::f8_e4m3}; });
  EXPECT_TRUE(
      test::same(SyntheticSource(DType::f32).get("x", {8, 8}).to(DType::bf16), SyntheticSource().get("x", {8, 8})));
}

}  // namespace
}  // namespace prax::checkpoint
