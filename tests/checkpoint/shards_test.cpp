#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

class Shards : public testing::Test {
protected:
  Shards() {
    write_safetensors(folder_ / "1", {{"blocks.0.to_q.weight", Tensor::full({2, 3}, 1.0f)},
                                      {"blocks.0.to_k.weight", Tensor::full({2, 3}, 2.0f)}});
    write_safetensors(folder_ / "2", {{"proj_out.bias", Tensor::full({4}, 3.0f)}});
  }
  TemporaryFolder folder_;
};

TEST_F(Shards, AreOneSource) {
  const auto source = open_safetensors({folder_ / "1", folder_ / "2"});
  EXPECT_TRUE(source->contains("blocks.0.to_q.weight"));
  EXPECT_TRUE(source->contains("proj_out.bias"));
  EXPECT_FALSE(source->contains("proj_out.weight"));
  EXPECT_EQ(source->get("blocks.0.to_k.weight", {2, 3}).data<float>()[0], 2.0f);
  EXPECT_EQ(source->get("proj_out.bias", {4}).data<float>()[3], 3.0f);
  EXPECT_EQ(source->unused(), std::vector<std::string>{"blocks.0.to_q.weight"});
  EXPECT_NE(source->description().find("2 files"), std::string::npos);
  EXPECT_EQ(open_safetensors({folder_ / "1"})->description(), (folder_ / "1").string());
}

TEST_F(Shards, TensorsOutliveTheSourceAndLettingGo) {
  auto source = open_safetensors({folder_ / "1", folder_ / "2"});
  const Tensor bias = source->get("proj_out.bias", {4});
  bias.let_go();
  source.reset();
  EXPECT_EQ(bias.data<float>()[2], 3.0f);
}

TEST_F(Shards, ATensorInTwoShardsIsAnError) {
  write_safetensors(folder_ / "3", {{"proj_out.bias", Tensor::full({4}, 3.0f)}});
  expect_error(ErrorKind::checkpoint, "tensor 'proj_out.bias' is in", [&] {
    open_safetensors({folder_ / "2", folder_ / "3"});
  });
}

TEST_F(Shards, WrongShapeNamesBothShapes) {
  const auto source = open_safetensors({folder_ / "1"});
  expect_error(ErrorKind::checkpoint, "has the shape [2, 3] where the configuration makes it [3, 2]", [&] {
    source->get("blocks.0.to_q.weight", {3, 2});
  });
  expect_error(ErrorKind::checkpoint, "[6]", [&] { source->get("blocks.0.to_q.weight", {6}); });
  EXPECT_EQ(source->unused().size(), 2u);  // what was refused is not used
}

TEST_F(Shards, MissingTensorNamesItsNeighbours) {
  const auto source = open_safetensors({folder_ / "1", folder_ / "2"});
  expect_error(ErrorKind::checkpoint, "tensor 'blocks.0.to_v.weight' is missing", [&] {
    source->get("blocks.0.to_v.weight", {2, 3});
  });
  expect_error(ErrorKind::checkpoint, "'blocks.0.to_k.weight', 'blocks.0.to_q.weight'", [&] {
    source->get("blocks.0.to_v.weight", {2, 3});
  });
  expect_error(ErrorKind::checkpoint, "nearest names there are 'proj_out.bias'",
               [&] { source->get("model.proj_out.bias", {4}); });
  expect_error(ErrorKind::checkpoint, "incomplete or of another model",
               [&] { source->get("decoder.conv_in.conv.weight", {4}); });
}

}  // namespace
}  // namespace prax::checkpoint
