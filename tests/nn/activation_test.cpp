#include "nn/activation.h"

#include <gtest/gtest.h>

#include "support/errors.h"

namespace prax::nn::activation_test {
namespace {

using kernels::Activation;

TEST(Activation, HasTheNamesOfBothLibraries) {
  EXPECT_EQ(activation_named("silu"), Activation::silu);
  EXPECT_EQ(activation_named("Swish"), Activation::silu);
  EXPECT_EQ(activation_named("linear-silu"), Activation::silu);
  EXPECT_EQ(activation_named("gelu"), Activation::gelu);
  EXPECT_EQ(activation_named("gelu-approximate"), Activation::gelu_tanh);
  EXPECT_EQ(activation_named("gelu_new"), Activation::gelu_tanh);
  EXPECT_EQ(activation_named("gelu_pytorch_tanh"), Activation::gelu_tanh);
  EXPECT_EQ(activation_named("quick_gelu"), Activation::quick_gelu);
  EXPECT_EQ(activation_named("mish"), Activation::mish);
  EXPECT_EQ(activation_named("relu"), Activation::relu);
  EXPECT_EQ(activation_named("geglu"), std::nullopt);
  EXPECT_EQ(activation_named(""), std::nullopt);
}

TEST(Activation, IsReadFromAConfig) {
  const checkpoint::Config config(nlohmann::json{{"act_fn", "mish"}, {"other_fn", "snake"}}, "config.json");
  EXPECT_EQ(read_activation(config, "act_fn", "silu", "it has \"silu\""), Activation::mish);
  EXPECT_EQ(read_activation(config, "absent_fn", "silu", "it has \"silu\""), Activation::silu);
  const std::string said =
      test::error_of(ErrorKind::checkpoint, [&] { read_activation(config, "other_fn", "silu", "it has \"silu\""); });
  EXPECT_TRUE(test::contains(said, "other_fn \"snake\" is not an activation that prax knows"));
  EXPECT_TRUE(test::contains(said, "it has \"silu\""));
}

}  // namespace
}  // namespace prax::nn::activation_test
