#include "checkpoint/lora.h"

#include <cmath>

#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"
#include "checkpoint/weights.h"

namespace prax::checkpoint {
namespace {

using Tensors = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

//! Matrices of one module under the names that follow it, each filled with a number that tells them apart.
void add(Tensors& tensors, const std::string& module, int64_t rank, int64_t in, int64_t out,
         const std::string& a = ".lora_A.weight", const std::string& b = ".lora_B.weight") {
  tensors[module + a] = Tensor::full({rank, in}, 0.5f);
  tensors[module + b] = Tensor::full({out, rank}, 0.25f);
}

class Lora : public testing::Test {
protected:
  std::filesystem::path write(const Tensors& tensors, const Metadata& metadata = {}, const std::string& name = "lora") {
    const auto path = folder_ / (name + ".safetensors");
    write_safetensors(path, tensors, metadata);
    return path;
  }
  LoraFile open(const Tensors& tensors, const Metadata& metadata = {}) {
    return LoraFile::open(write(tensors, metadata));
  }
  //! A file with one module of rank 4 and this metadata.
  LoraFile with_config(const std::string& config, const std::string& module = "transformer.blocks.0.to_q") {
    Tensors tensors;
    add(tensors, module, 4, 6, 8);
    return open(tensors, {{"lora_adapter_metadata", config}});
  }

  TemporaryFolder folder_;
};

struct Layout {
  std::string written, a, b, read;
};

class LoraLayout : public testing::TestWithParam<Layout> {};

TEST_P(LoraLayout, IsReadUnderTheModelsName) {
  const Layout& layout = GetParam();
  Tensors tensors;
  add(tensors, layout.written, 2, 6, 8, layout.a, layout.b);
  TemporaryFolder folder;
  write_safetensors(folder / "x.safetensors", tensors);
  const LoraFile file = LoraFile::open(folder / "x.safetensors");
  ASSERT_EQ(file.modules().size(), 1u);
  EXPECT_EQ(file.modules().begin()->first, layout.read);
  const auto& module = file.modules().begin()->second;
  EXPECT_EQ(module.a.shape(), (Shape{2, 6}));
  EXPECT_EQ(module.b.shape(), (Shape{8, 2}));
  EXPECT_EQ(module.a.data<float>()[0], 0.5f);
  EXPECT_EQ(module.scale, 1.0) << "alpha is the rank when nothing says otherwise";
}

INSTANTIATE_TEST_SUITE_P(
    Known, LoraLayout,
    testing::Values(
        Layout{"transformer.blocks.0.attn1.to_q", ".lora_A.weight", ".lora_B.weight", "blocks.0.attn1.to_q"},
        Layout{"blocks.0.attn1.to_q", ".lora_A.weight", ".lora_B.weight", "blocks.0.attn1.to_q"},
        Layout{"transformer_blocks.0.ff.net.2", ".lora_A.weight", ".lora_B.weight", "transformer_blocks.0.ff.net.2"},
        Layout{"base_model.model.blocks.0.to_q", ".lora_A.weight", ".lora_B.weight", "blocks.0.to_q"},
        Layout{"base_model.model.blocks.0.to_q", ".lora_A.default.weight", ".lora_B.default.weight", "blocks.0.to_q"},
        Layout{"transformer.blocks.0.to_q", ".lora.down.weight", ".lora.up.weight", "blocks.0.to_q"},
        Layout{"transformer.blocks.0.to_q", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight",
               "blocks.0.to_q"},
        Layout{"transformer.blocks.0.attn1.processor.to_q", "_lora.down.weight", "_lora.up.weight",
               "blocks.0.attn1.to_q"},
        Layout{"transformer.blocks.0.attn1.processor.to_out", "_lora.down.weight", "_lora.up.weight",
               "blocks.0.attn1.to_out.0"},
        Layout{"diffusion_model.blocks.0.to_q", ".lora_A.weight", ".lora_B.weight", "blocks.0.to_q"},
        Layout{"model.diffusion_model.blocks.0.to_q", ".lora_down.weight", ".lora_up.weight", "blocks.0.to_q"},
        Layout{"blocks.0.to_q", ".lora_A", ".lora_B", "blocks.0.to_q"},
        Layout{"diffusion_model.patchify_proj", ".lora_A.weight", ".lora_B.weight", "proj_in"},
        Layout{"diffusion_model.adaln_single.linear", ".lora_A.weight", ".lora_B.weight", "time_embed.linear"},
        Layout{"lora_unet_blocks_0_to_q", ".lora_down.weight", ".lora_up.weight", "blocks_0_to_q"}));

TEST_F(Lora, AlphaTensorsScale) {
  Tensors tensors;
  add(tensors, "diffusion_model.a.to_q", 4, 6, 8, ".lora_down.weight", ".lora_up.weight");
  add(tensors, "diffusion_model.a.to_k", 2, 6, 8, ".lora_down.weight", ".lora_up.weight");
  tensors["diffusion_model.a.to_q.alpha"] = Tensor::full({}, 1.0f);
  tensors["diffusion_model.a.to_k.alpha"] = Tensor::full({1}, 8.0f).to(DType::bf16);
  const LoraFile file = open(tensors);
  EXPECT_EQ(file.modules().at("a.to_q").scale, 0.25);
  EXPECT_EQ(file.modules().at("a.to_k").scale, 4.0);
}

TEST_F(Lora, MetadataScales) {
  EXPECT_EQ(with_config(R"({"transformer.r": 4, "transformer.lora_alpha": 6})").modules().begin()->second.scale, 1.5);
  EXPECT_EQ(with_config(R"({"r": 4, "lora_alpha": 2.5})").modules().begin()->second.scale, 0.625);
  EXPECT_EQ(with_config(R"({"transformer.r": 4})").modules().begin()->second.scale, 2.0) << "PEFT's default alpha is 8";
  EXPECT_EQ(with_config(R"({"transformer.r": 4, "transformer.lora_alpha": 6, "transformer.use_rslora": true})")
                .modules()
                .begin()
                ->second.scale,
            3.0);
  EXPECT_EQ(with_config(R"({"text_encoder.r": 2, "text_encoder.lora_alpha": 6})").modules().begin()->second.scale, 1.0);
}

TEST_F(Lora, PatternsOfRankAndAlpha) {
  Tensors tensors;
  add(tensors, "transformer.blocks.0.to_q", 4, 6, 8);
  add(tensors, "transformer.blocks.1.to_q", 2, 6, 8);
  add(tensors, "transformer.blocks.1.not_to_q", 4, 6, 8);
  add(tensors, "transformer.blocks.2.ff.up", 4, 6, 8);
  add(tensors, "transformer.up", 1, 6, 8);
  const LoraFile file = open(tensors, {{"lora_adapter_metadata", R"({
    "transformer.r": 4, "transformer.lora_alpha": 4,
    "transformer.rank_pattern": {"blocks.1.to_q": 2, "^up": 1},
    "transformer.alpha_pattern": {"to_q": 16, "^up": 3, ".*\\.(ff|gg)\\.[a-z]+": 2}})"}});
  const auto scale = [&](const char* name) { return file.modules().at(name).scale; };
  EXPECT_EQ(scale("blocks.0.to_q"), 4.0);
  EXPECT_EQ(scale("blocks.1.to_q"), 8.0);
  EXPECT_EQ(scale("blocks.1.not_to_q"), 1.0) << "a pattern begins at a dot";
  EXPECT_EQ(scale("blocks.2.ff.up"), 0.5) << "a regular expression";
  EXPECT_EQ(scale("up"), 3.0) << "^ is the beginning";
}

TEST_F(Lora, ReadsTheConfigurationBesideAFileOfPeft) {
  Tensors tensors;
  add(tensors, "base_model.model.blocks.0.to_q", 4, 6, 8);
  folder_.write("adapter_config.json", R"({"peft_type": "LORA", "r": 4, "lora_alpha": 2})");
  EXPECT_EQ(open(tensors).modules().begin()->second.scale, 0.5);
  Tensors other;
  add(other, "transformer.blocks.0.to_q", 4, 6, 8);
  EXPECT_EQ(open(other).modules().begin()->second.scale, 1.0) << "it belongs to another file";
}

TEST_F(Lora, RefusesMetadataThatItCannotFollow) {
  const auto refused = [&](const std::string& part, const std::string& config) {
    expect_error(ErrorKind::checkpoint, part, [&] { with_config(config); });
  };
  refused("use_dora = 'true'", R"({"transformer.r": 4, "transformer.use_dora": true})");
  refused("layer_replication", R"({"transformer.r": 4, "transformer.layer_replication": [[0, 2]]})");
  refused("init_lora_weights = '\"pissa\"'", R"({"transformer.r": 4, "transformer.init_lora_weights": "pissa"})");
  refused("peft_type", R"({"transformer.r": 4, "transformer.peft_type": "LOHA"})");
  refused("the rank 8, but its matrices have the rank 4", R"({"transformer.r": 8})");
  refused("not a finite number", R"({"transformer.r": 4, "transformer.lora_alpha": NaN})");
  refused("'r' in", R"({"transformer.r": "four"})");
  refused("rank_pattern", R"({"transformer.r": 4, "transformer.rank_pattern": {"to_q": "a"}})");
  refused("rank_pattern", R"({"transformer.r": 4, "transformer.rank_pattern": [1]})");
  refused("the pattern '(' cannot be used", R"({"transformer.r": 4, "transformer.alpha_pattern": {"(": 1}})");
  refused("cannot be used", R"({"transformer.r": 4, "transformer.alpha_pattern": {"(a{999}){999}": 1}})");
  refused("lora_adapter_metadata", R"({"transformer.r": )");
  refused("is no JSON object", "[]");
  with_config(R"({"transformer.r": 4, "transformer.use_dora": false, "transformer.loftq_config": {},
                  "transformer.init_lora_weights": "gaussian", "transformer.peft_type": "LORA"})");
}

TEST_F(Lora, HostilePatternsTakeNoExponentialTime) {
  const std::string name = "transformer." + std::string(200, 'a');
  with_config(R"({"transformer.r": 4, "transformer.alpha_pattern": {"(a*)*(a|aa)+b": 1}})", name);
}

TEST_F(Lora, RefusesWhatIsNoPlainLora) {
  const auto refused = [&](const std::string& part, const Tensors& more) {
    Tensors tensors = more;
    add(tensors, "transformer.x", 2, 6, 8);
    expect_error(ErrorKind::checkpoint, part, [&] { open(tensors); });
  };
  refused("is a DoRA", {{"transformer.x.lora_magnitude_vector", Tensor::full({8}, 1)}});
  refused("'transformer.x.dora_scale'", {{"transformer.x.dora_scale", Tensor::full({8}, 1)}});
  refused("'transformer.y.lokr_w1'", {{"transformer.y.lokr_w1", Tensor::full({8, 8}, 1)}});
  refused("'transformer.y.diff_b'", {{"transformer.y.diff_b", Tensor::full({8}, 1)}});
  refused("no B for the module 'y'", {{"transformer.y.lora_A.weight", Tensor::full({2, 6}, 1)}});
  refused("no A for the module 'y'", {{"transformer.y.lora_B.weight", Tensor::full({2, 6}, 1)}});
  refused("no matrices for the module 'y'", {{"transformer.y.alpha", Tensor::full({}, 1)}});
  refused("twice", {{"transformer.x.lora.down.weight", Tensor::full({2, 6}, 1)}});
  refused("twice", {{"diffusion_model.x.lora_A.weight", Tensor::full({2, 6}, 1)}});
  refused("has elements of type i64", {{"transformer.y.lora_A.weight", Tensor::zeros({2, 6}, DType::i64)}});
  refused("infinite or not a number at [0, 0]", {{"transformer.y.lora_A.weight", Tensor::full({2, 6}, NAN)}});
  refused("alpha that is not finite", {{"transformer.x.alpha", Tensor::full({}, INFINITY)}});
  refused("alpha 'transformer.x.alpha' of shape [2]", {{"transformer.x.alpha", Tensor::full({2}, 1)}});
  refused("a bias [3]", {{"transformer.x.lora_B.bias", Tensor::full({3}, 1)}});
  expect_error(ErrorKind::checkpoint, "is no LoRA: its tensors are 'proj_in.weight'", [&] {
    open({{"proj_in.weight", Tensor::full({2, 2}, 1)}});
  });
  expect_error(ErrorKind::checkpoint, "is no LoRA", [&] { open({}); });
  expect_error(ErrorKind::io, "absent.safetensors", [&] { LoraFile::open(folder_ / "absent.safetensors"); });
  expect_error(ErrorKind::checkpoint, "claims a header of",
               [&] { LoraFile::open(folder_.write("huge.safetensors", little_endian(uint64_t{1} << 40) + "{}")); });
}

TEST_F(Lora, RefusesMatricesThatDoNotGoTogether) {
  const auto refused = [&](const std::string& part, const Shape& a, const Shape& b) {
    expect_error(ErrorKind::checkpoint, part, [&] {
      open({{"transformer.x.lora_A.weight", Tensor::zeros(a)}, {"transformer.x.lora_B.weight", Tensor::zeros(b)}});
    });
  };
  refused("do not go together: A [2, 6], B [8, 3]", {2, 6}, {8, 3});
  refused("do not go together", {2}, {8, 2});
  refused("do not go together", {2, 6}, {8, 2, 3, 3});
  refused("a rank is at least 1", {0, 6}, {8, 0});
}

//! What a model does when it is built: a name and a shape for each layer.
void build(LoraSet& set, const std::map<std::string, Shape>& model) {
  for (const auto& [name, shape] : model) set.changes(name, shape);
}

TEST_F(Lora, SetGivesEachLayerItsChanges) {
  Tensors first, second;
  add(first, "transformer.blocks.0.to_q", 2, 6, 8);
  add(first, "transformer.patch", 2, 6, 8);
  first["transformer.patch.lora_A.weight"] = Tensor::full({2, 3, 2, 1}, 1);
  first["transformer.patch.lora_B.weight"] = Tensor::full({8, 2, 1, 1}, 1);
  add(second, "lora_unet_blocks_0_to_q", 4, 6, 8, ".lora_down.weight", ".lora_up.weight");
  second["lora_unet_blocks_0_to_q.alpha"] = Tensor::full({}, 2.0f);
  const auto set = LoraSet::open({{write(first, {}, "first"), 0.75}, {write(second, {}, "second"), -0.5}});
  const auto q = set->changes("blocks.0.to_q", {8, 6});
  ASSERT_EQ(q.size(), 2u);
  EXPECT_EQ(q[0].scale, 0.75f);
  EXPECT_EQ(q[1].scale, -0.25f);
  EXPECT_EQ(q[1].a.shape(), (Shape{4, 6}));
  const auto patch = set->changes("patch", {8, 3, 2, 1});
  ASSERT_EQ(patch.size(), 1u);
  EXPECT_EQ(patch[0].a.shape(), (Shape{2, 6}));
  EXPECT_EQ(patch[0].b.shape(), (Shape{8, 2}));
  EXPECT_TRUE(set->changes("blocks.0.to_k", {8, 6}).empty());
  set->require_all_used();
}

TEST_F(Lora, WeightZeroChecksAndChangesNothing) {
  Tensors tensors;
  add(tensors, "transformer.x", 2, 6, 8);
  const auto path = write(tensors);
  auto set = LoraSet::open({{path, 0.0}});
  EXPECT_THROW(set->require_all_used(), Error);
  EXPECT_TRUE(set->changes("x", {8, 6}).empty());
  set->require_all_used();
  LoraSet::open({})->require_all_used();
}

TEST_F(Lora, SaysWhatTheModelHas) {
  Tensors tensors;
  for (int i = 0; i < 4; ++i) add(tensors, "single_blocks." + std::to_string(i) + ".to_q", 2, 6, 8);
  auto set = LoraSet::open({{write(tensors)}});
  build(*set, {{"a", {2, 2}}, {"blocks.0.to_q", {8, 6}}});
  for (const char* part : {"'single_blocks.0.to_q' (A [2, 6] and B [8, 2])", "and 1 more",
                           "this one has 'blocks.0.to_q' [8, 6], 'a' [2, 2]"})
    expect_error(ErrorKind::checkpoint, part, [&] { set->require_all_used(); });
}

TEST_F(Lora, RefusesMatricesOfAnotherSize) {
  Tensors tensors;
  add(tensors, "x", 2, 6, 8);
  const auto path = write(tensors);
  for (const Shape& shape : {Shape{8, 7}, Shape{9, 6}, Shape{6, 8}, Shape{8, 6, 2}})
    expect_error(ErrorKind::checkpoint, "the model's weight there is " + to_string(shape),
                 [&] { LoraSet::open({{path}})->changes("x", shape); });
}

TEST_F(Lora, RefusesBadRequests) {
  Tensors tensors;
  add(tensors, "x", 2, 6, 8);
  const auto path = write(tensors);
  expect_error(ErrorKind::usage, "not a finite number", [&] { LoraSet::open({{path, NAN}}); });
  expect_error(ErrorKind::usage, "not a finite number", [&] { LoraSet::open({{path, INFINITY}}); });
  expect_error(ErrorKind::usage, "too large", [&] { LoraSet::open({{path, 1e300}}); });
  expect_error(ErrorKind::usage, "is given twice", [&] {
    LoraSet::open({{path, 1}, {folder_ / "." / "lora.safetensors", -0.4}});
  });
  tensors["lora_unet_a_b.lora_down.weight"] = tensors["a.b.lora_A.weight"] = Tensor::full({2, 6}, 1);
  tensors["lora_unet_a_b.lora_up.weight"] = tensors["a.b.lora_B.weight"] = Tensor::full({8, 2}, 1);
  const auto both = write(tensors, {}, "both");
  expect_error(ErrorKind::checkpoint, "changes 'a.b' twice", [&] { LoraSet::open({{both}})->changes("a.b", {8, 6}); });
}

TEST_F(Lora, TravelsWithWeights) {
  const auto set = LoraSet::open({});
  const Weights weights(std::make_shared<ManifestSource>(), "model", set);
  EXPECT_EQ(weights["blocks"][3].loras(), set);
  EXPECT_EQ(Weights(std::make_shared<ManifestSource>()).loras(), nullptr);
}

}  // namespace
}  // namespace prax::checkpoint
