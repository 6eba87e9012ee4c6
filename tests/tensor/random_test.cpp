#include "tensor/random.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <string>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "tensor/parallel.h"

namespace prax {
namespace {

//! Distance of two floats in units of the last place.
int64_t ulps(float a, float b) {
  const auto ordered = [](float v) {
    const int32_t bits = std::bit_cast<int32_t>(v);
    return static_cast<int64_t>(bits < 0 ? INT32_MIN - static_cast<int64_t>(bits) : bits);
  };
  return std::abs(ordered(a) - ordered(b));
}

void expect_equal(const Tensor& got, const Tensor& wanted, const std::string& name, int64_t allowed_ulps = 0) {
  ASSERT_EQ(got.shape(), wanted.shape()) << name;
  const Tensor wide = got.to(DType::f32);
  const auto a = wide.span<float>(), b = wanted.span<float>();
  for (size_t i = 0; i < a.size(); ++i)
    ASSERT_LE(ulps(a[i], b[i]), allowed_ulps) << name << " at " << i << ": " << a[i] << " is not " << b[i];
}

std::string message_of(const std::string& state) {
  try {
    Generator::from_state(state);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::input);
    EXPECT_FALSE(e.hint().empty());
    return e.what();
  }
  return "accepted";
}

class Random : public testing::Test {
protected:
  void TearDown() override { set_thread_count(0); }
};

TEST_F(Random, DrawsWhatTorchDraws) {
  const auto golden = checkpoint::SafetensorsFile::open(PRAX_TEST_DATA "/cases/random_numbers/tensors.safetensors");
  int seeds = 0;
  for (uint64_t seed : {uint64_t{0}, uint64_t{42}, (uint64_t{1} << 31) + 7, (uint64_t{1} << 63) + 12345}) {
    const std::string prefix = "seed" + std::to_string(seed) + ".";
    Generator generator(seed);
    for (int i = 0; i < 8; ++i) {
      const std::string name = prefix + std::to_string(i);
      const Tensor wanted = golden->tensor(name);
      // Under 16 values the C library computes them in f64.
      expect_equal(generator.randn(wanted.shape()), wanted, name, wanted.numel() < 16 ? 1 : 0);
    }
    expect_equal(generator.randn({5, 23}, DType::bf16), golden->tensor(prefix + "bfloat16"), prefix + "bfloat16");
    expect_equal(generator.randn({5, 23}, DType::f16), golden->tensor(prefix + "float16"), prefix + "float16");
    expect_equal(generator.rand({19}), golden->tensor(prefix + "rand"), prefix + "rand");
    expect_equal(generator.randn({40}), golden->tensor(prefix + "last"), prefix + "last");
    ++seeds;
  }
  EXPECT_EQ(static_cast<size_t>(seeds * 12), golden->entries().size());
}

TEST_F(Random, FirstWordsAreThoseOfTheMersenneTwister) {
  // mt19937 seeded with 5489 begins with 3499211612 (Matsumoto and Nishimura's reference output); torch.rand keeps the
  // lower 24 bits.
  Generator generator(5489);
  EXPECT_EQ(generator.rand({1}).span<float>()[0], static_cast<float>(3499211612u & 0xffffffu) * 0x1p-24f);
  generator.rand({9998});
  EXPECT_EQ(generator.rand({1}).span<float>()[0], static_cast<float>(4123659995u & 0xffffffu) * 0x1p-24f);
}

TEST_F(Random, SmallDrawsInHalfPrecisionAreRoundedOnes) {
  for (DType dtype : {DType::bf16, DType::f16}) {
    Generator wide(3), narrow(3);
    expect_equal(narrow.randn({9}, dtype), wide.randn({9}).to(dtype).to(DType::f32), "9 values");
  }
}

TEST_F(Random, LongDrawsInHalfPrecisionAreRoundedOnes) {
  const Shape shape{3, 400000};  // whole blocks, more than one piece
  for (DType dtype : {DType::bf16, DType::f16}) {
    Generator wide(11), narrow(11);
    expect_equal(narrow.randn(shape, dtype), wide.randn(shape).to(dtype).to(DType::f32), "1200000 values");
    EXPECT_EQ(narrow.state(), wide.state());
  }
}

TEST_F(Random, DoesNotDependOnTheNumberOfThreads) {
  set_thread_count(1);
  const Tensor one = Generator(5).randn({200003});
  set_thread_count(5);
  expect_equal(Generator(5).randn({200003}), one, "five threads");
}

TEST_F(Random, NumbersAreNormal) {
  const int64_t count = 1000000;
  const Tensor values = Generator(123).randn({count});
  double sum = 0, squares = 0;
  int64_t beyond_two = 0;
  for (float v : values.span<float>()) {
    sum += v;
    squares += static_cast<double>(v) * v;
    beyond_two += std::abs(v) > 2;
  }
  EXPECT_NEAR(sum / count, 0, 0.005);
  EXPECT_NEAR(squares / count, 1, 0.005);
  EXPECT_NEAR(static_cast<double>(beyond_two) / count, 0.0455, 0.001);
}

TEST_F(Random, UsesTheLowerHalfOfTheSeedAsTorchDoes) {
  EXPECT_EQ(Generator(7).state(), Generator((uint64_t{1} << 40) + 7).state());
  EXPECT_NE(Generator(7).state(), Generator(8).state());
}

TEST_F(Random, EmptyShapesDrawNothing) {
  Generator generator(1);
  const std::string before = generator.state();
  EXPECT_EQ(generator.randn({4, 0}).numel(), 0);
  EXPECT_EQ(generator.rand({0}).numel(), 0);
  EXPECT_EQ(generator.state(), before);
  EXPECT_EQ(generator.randn({}).numel(), 1);
}

TEST_F(Random, ALoadedStateDrawsOn) {
  Generator generator(9);
  generator.randn({7});    // leaves a second value behind
  generator.randn({300});  // and stops between two refills
  Generator loaded = Generator::from_state(generator.state());
  EXPECT_EQ(loaded.state(), generator.state());
  for (const Shape& shape : {Shape{3}, Shape{1000}, Shape{5}})
    expect_equal(loaded.randn(shape), generator.randn(shape), "after loading");
  EXPECT_EQ(loaded.state(), generator.state());
}

TEST_F(Random, ACopyIsIndependent) {
  Generator generator(9);
  Generator copy = generator;
  const Tensor first = generator.randn({20});
  expect_equal(copy.randn({20}), first, "copy");
}

TEST_F(Random, RefusesDamagedStates) {
  const std::string good = Generator(4).state();
  const size_t position = good.find(' ') + 1;
  const auto with = [&](size_t at, const std::string& text) {
    return std::string(good).replace(at, text.size(), text);
  };
  EXPECT_EQ(message_of(good), "accepted");
  EXPECT_NE(message_of("").find("begin"), std::string::npos);
  EXPECT_NE(message_of("mt19937.2" + good.substr(9)).find("begin"), std::string::npos);
  EXPECT_NE(message_of(good.substr(0, good.size() - 3)).find("hexadecimal"), std::string::npos);
  EXPECT_NE(message_of(good.substr(0, good.rfind(' '))).find("cut short"), std::string::npos);
  EXPECT_NE(message_of(good + " 0").find("behind"), std::string::npos);
  EXPECT_NE(message_of(with(position, "0271")).find("position"), std::string::npos);  // 625
  EXPECT_NE(message_of(with(position, "-001")).find("hexadecimal"), std::string::npos);
  EXPECT_NE(message_of(with(position + 5, "2")).find("flag"), std::string::npos);
  EXPECT_NE(message_of(with(position + 7, "7ff0000000000000")).find("finite"), std::string::npos);
  EXPECT_NE(message_of(with(position + 24, "xyz")).find("hexadecimal"), std::string::npos);
  std::string zeros = good.substr(0, position + 24);
  for (int i = 0; i < 624; ++i) zeros += " 00000000";
  EXPECT_NE(message_of(zeros).find("zero"), std::string::npos);
}

TEST_F(Random, RefusesOtherTypesAndShapes) {
  Generator generator;
  EXPECT_THROW(generator.randn({3}, DType::i64), Error);
  EXPECT_THROW(generator.randn({3, -1}), Error);
  EXPECT_THROW(generator.rand({-3}), Error);
}

}  // namespace
}  // namespace prax
