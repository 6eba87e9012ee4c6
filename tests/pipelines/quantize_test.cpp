#include "pipelines/quantize.h"

#include <cstring>

#include "checkpoint/safetensors.h"
#include "pipelines/denoisers.h"
#include "pipelines/pipeline.h"
#include "support/golden.h"

namespace prax::pipelines {
namespace {

namespace fs = std::filesystem;

//! A small model folder that a test may change.
class QuantizeFolder : public testing::Test {
protected:
  QuantizeFolder() {
    std::string name = (fs::temp_directory_path() / "prax-quantize-XXXXXX").string();
    if (!::mkdtemp(name.data())) std::abort();
    scratch_ = name;
    fs::copy(fs::path(PRAX_SOURCE_DIR) / "models/nano", from(), fs::copy_options::recursive);
  }
  ~QuantizeFolder() override { fs::remove_all(scratch_); }

  fs::path from() const { return scratch_ / "model"; }
  fs::path to() const { return scratch_ / "int8"; }
  fs::path weights() const { return from() / "transformer/diffusion_pytorch_model.safetensors"; }

  fs::path scratch_;
};

TEST_F(QuantizeFolder, KeepsMatricesFromWhichInt8WouldTakeTooMuch) {
  auto tensors = [&] {
    const auto file = checkpoint::SafetensorsFile::open(weights());
    std::map<std::string, Tensor> all;
    for (const auto& [name, entry] : file->entries()) all.emplace(name, file->tensor(name).to(DType::f32).clone());
    return all;
  }();
  const std::string uneven = "transformer_blocks.0.ff.net.2.weight";
  Tensor& weight = tensors.at(uneven);
  for (int64_t row = 0; row < weight.dim(0); ++row) weight.data<float>()[row * weight.dim(1)] = 1000;
  checkpoint::write_safetensors(weights(), tensors);
  const auto report = quantize(from(), to());
  std::vector<std::string> kept;
  for (const auto& matrix : report.kept) {
    kept.push_back(matrix.name);
    EXPECT_GT(matrix.error, 0.05);
  }
  EXPECT_EQ(kept, std::vector{uneven});
  const auto made = checkpoint::SafetensorsFile::open(to() / "transformer/diffusion_pytorch_model.safetensors");
  for (const auto& [name, tensor] : tensors) {
    const bool matrix = made->entries().contains(name + "_scale");
    EXPECT_EQ(made->entries().at(name).dtype, matrix ? DType::i8 : DType::f32) << name;
    EXPECT_EQ(made->entries().at(name).shape, tensor.shape()) << name;
    if (!matrix) continue;
    const Tensor bytes = made->tensor(name), scale = made->tensor(name + "_scale");
    ASSERT_EQ(scale.shape(), Shape{tensor.dim(0)});
    const int64_t width = tensor.numel() / tensor.dim(0);
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      const float s = scale.data<float>()[i / width];
      ASSERT_NEAR(s * static_cast<const int8_t*>(bytes.raw())[i], tensor.data<float>()[i], 0.501f * s) << name;
    }
  }
  EXPECT_EQ(made->metadata().at("prax.quantization"), "int8-rows");
  EXPECT_EQ(stored_dtype(checkpoint::Folder::open(to())), DType::i8);
  EXPECT_EQ(stored_dtype(checkpoint::Folder::open(from())), DType::bf16);
}

TEST_F(QuantizeFolder, CutsLargeWeightsIntoShards) {
  QuantizeOptions options;
  options.shard_bytes = 1'000'000;
  quantize(from(), to(), options);
  quantize(from(), scratch_ / "whole");
  const fs::path folder = to() / "transformer";
  size_t shards = 0;
  for (const auto& entry : fs::directory_iterator(folder)) shards += entry.path().extension() == ".safetensors";
  EXPECT_GT(shards, 1u);
  EXPECT_TRUE(fs::exists(folder / "diffusion_pytorch_model.safetensors.index.json"));
  const auto sharded = checkpoint::Folder::open(to()).weights("transformer");
  const auto whole = checkpoint::Folder::open(scratch_ / "whole").weights("transformer");
  ASSERT_EQ(sharded->list().size(), whole->list().size());
  for (const auto& info : whole->list()) {
    const Tensor a = sharded->get(info.name, info.shape), b = whole->get(info.name, info.shape);
    ASSERT_EQ(a.dtype(), b.dtype());
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << info.name;
  }
  EXPECT_NO_THROW(load(to()));
}

TEST_F(QuantizeFolder, LoadsWithoutTheOriginal) {
  std::ofstream(from() / "ltx-video-2b.safetensors") << "a checkpoint of another layout";
  quantize(from(), to());
  fs::remove_all(from());
  LoadOptions options;
  options.dtype = DType::i8;
  EXPECT_NO_THROW(load(to(), options));
  EXPECT_FALSE(fs::exists(to() / "ltx-video-2b.safetensors"));
  EXPECT_TRUE(fs::exists(to() / "tokenizer"));
}

TEST_F(QuantizeFolder, LeavesNothingWhenInterrupted) {
  CancelToken cancel;
  QuantizeOptions options;
  options.cancel = &cancel;
  options.progress = [&](const Progress& p) {
    if (p.stage == "write" && p.step == 3) cancel.cancel();
  };
  EXPECT_THROW(quantize(from(), to(), options), Error);
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch_), {}), 1);
}

}  // namespace
}  // namespace prax::pipelines
