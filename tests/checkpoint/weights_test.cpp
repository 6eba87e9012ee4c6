#include "checkpoint/weights.h"

#include <cmath>
#include <limits>

#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

class Names : public TensorSource {
public:
  explicit Names(std::vector<std::string> unused) : unused_(std::move(unused)) {}
  bool contains(const std::string& name) const override { return name == "a.b"; }
  Tensor get(const std::string&, const Shape& shape) override { return Tensor::zeros(shape); }
  std::vector<std::string> unused() const override { return unused_; }
  std::string description() const override { return "names"; }

private:
  std::vector<std::string> unused_;
};

TEST(Weights, CursorJoinsNamesWithDots) {
  const auto manifest = std::make_shared<ManifestSource>();
  const Weights root(manifest);
  EXPECT_EQ(root.path("x"), "x");
  root.tensor("proj_in.weight", {2, 3});
  root["transformer_blocks"][3]["attn1"].tensor("to_q.weight", {4, 4});
  Weights(manifest, "vae")["decoder"].tensor("bias", {});
  const std::vector<std::pair<std::string, Shape>> expected{
      {"proj_in.weight", {2, 3}}, {"transformer_blocks.3.attn1.to_q.weight", {4, 4}}, {"vae.decoder.bias", {}}};
  EXPECT_EQ(manifest->requested(), expected);
  const Weights names(std::make_shared<Names>(std::vector<std::string>{}));
  EXPECT_TRUE(names["a"].contains("b"));
  EXPECT_FALSE(names.contains("b"));
  EXPECT_EQ(&names["a"].source(), &names.source());
}

TEST(Weights, ManifestHasNoStorage) {
  ManifestSource manifest;
  const Tensor tensor = manifest.get("x", {1000000, 1000000});
  EXPECT_FALSE(tensor.has_storage());
  EXPECT_EQ(tensor.shape(), (Shape{1000000, 1000000}));
}

TEST(Weights, RequireAllUsed) {
  EXPECT_NO_THROW(require_all_used(Names({})));
  EXPECT_NO_THROW(require_all_used(Names({"encoder.a", "encoder.b", "x"}), {"encoder.*", "x"}));
  expect_error(ErrorKind::checkpoint, "'encoder.a'", [] { require_all_used(Names({"encoder.a"}), {"encoder"}); });
  expect_error(ErrorKind::checkpoint, "'xy'", [] { require_all_used(Names({"x", "xy"}), {"x"}); });
  expect_error(ErrorKind::checkpoint, "'a', 'b', 'c', 'd', 'e' and 2 more", [] {
    require_all_used(Names({"a", "b", "c", "d", "e", "f", "g"}));
  });
}

template <typename Bits>
Tensor of_bits(DType dtype, Shape shape, Bits fill) {
  Tensor tensor = Tensor::empty(std::move(shape), dtype);
  for (int64_t i = 0; i < tensor.numel(); ++i) static_cast<Bits*>(tensor.raw())[i] = fill;
  return tensor;
}

//! The largest finite number passes everywhere, a bad one is found wherever it is.
template <typename Bits>
void check_finite(DType dtype, Bits largest, std::vector<Bits> bad) {
  SCOPED_TRACE(name_of(dtype));
  const Bits sign = static_cast<Bits>(Bits{1} << (8 * sizeof(Bits) - 1));
  for (Bits fill : {Bits{0}, largest, static_cast<Bits>(largest | sign)})
    EXPECT_NO_THROW(require_finite(of_bits<Bits>(dtype, {7, 1000}, fill), "x"));
  bad.push_back(static_cast<Bits>(bad[0] | sign));
  for (Bits value : bad)
    for (int64_t at : {0, 999, 1000, 1024, 4321, 6999}) {
      Tensor tensor = of_bits<Bits>(dtype, {7, 1000}, largest);
      static_cast<Bits*>(tensor.raw())[at] = value;
      expect_error(ErrorKind::checkpoint,
                   "tensor 'to_q.weight' is infinite or not a number at [" + std::to_string(at / 1000) + ", " +
                       std::to_string(at % 1000) + "] of [7, 1000]",
                   [&] { require_finite(tensor, "to_q.weight"); });
    }
}

TEST(Weights, RequireFiniteInEachType) {
  check_finite<uint64_t>(DType::f64, 0x7fefffffffffffff, {0x7ff0000000000000, 0x7ff8000000000001});
  check_finite<uint32_t>(DType::f32, 0x7f7fffff, {0x7f800000, 0x7fc00000, 0x7f800001});
  check_finite<uint16_t>(DType::f16, 0x7bff, {0x7c00, 0x7e01});
  check_finite<uint16_t>(DType::bf16, 0x7f7f, {0x7f80, 0x7fc0});
  check_finite<uint8_t>(DType::f8_e5m2, 0x7b, {0x7c, 0x7d});
  check_finite<uint8_t>(DType::f8_e4m3, 0x7e, {0x7f});
}

TEST(Weights, RequireFiniteFindsTheFirstOfMany) {
  Tensor tensor = Tensor::zeros({3, 1 << 20});
  for (int64_t i : {700'001, 1'500'000, 3'000'000}) tensor.data<float>()[i] = std::numeric_limits<float>::quiet_NaN();
  expect_error(ErrorKind::checkpoint, "at [0, 700001]", [&] { require_finite(tensor, "x"); });
}

TEST(Weights, RequireFiniteLetsIntegersAndNothingPass) {
  EXPECT_NO_THROW(require_finite(of_bits<int64_t>(DType::i64, {9}, -1), "x"));
  EXPECT_NO_THROW(require_finite(of_bits<uint8_t>(DType::u8, {9}, 255), "x"));
  EXPECT_NO_THROW(require_finite(Tensor::empty({0, 3}), "x"));
  EXPECT_NO_THROW(require_finite(Tensor::meta({2, 3}, DType::f32), "x"));
}

TEST(Weights, RequireFloating) {
  EXPECT_NO_THROW(require_floating(Tensor::meta({1}, DType::f8_e4m3), "x"));
  EXPECT_NO_THROW(require_floating(Tensor::meta({1}, DType::bf16), "x"));
  expect_error(ErrorKind::checkpoint, "tensor 'x' has elements of type u8",
               [] { require_floating(Tensor::meta({1}, DType::u8), "x"); });
}

}  // namespace
}  // namespace prax::checkpoint
