#include "checkpoint/folder.h"

#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"

namespace prax::checkpoint {
namespace {

constexpr const char* index_text = R"({
  "_class_name": "LTXPipeline", "_diffusers_version": "0.32.0",
  "image_encoder": [null, null], "force_zeros": true,
  "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
  "text_encoder": ["transformers", "T5EncoderModel"],
  "transformer": ["diffusers", "LTXVideoTransformer3DModel"],
  "vae": ["diffusers", "AutoencoderKLLTXVideo"]})";

class ModelFolder : public testing::Test {
protected:
  ModelFolder() {
    root_.write("model_index.json", index_text);
    for (const char* name : {"scheduler", "text_encoder", "transformer"})
      std::filesystem::create_directory(root_ / name);
  }
  Folder open() const { return Folder::open(root_.path()); }

  //! A weights file whose tensors "x" (or another name) tells files apart by its value.
  void put(const std::string& file, float value, const std::string& tensor = "x") {
    write_safetensors(root_ / file, {{tensor, Tensor::full({1}, value)}});
  }
  float value_of(const std::string& component, const std::string& variant = {}, const std::string& tensor = "x") const {
    return open().weights(component, variant)->get(tensor, {1}).data<float>()[0];
  }
  void refuses(const std::string& part, const std::string& component, const std::string& variant = {}) const {
    SCOPED_TRACE(part);
    expect_error(ErrorKind::checkpoint, part, [&] { open().weights(component, variant); });
  }

  TemporaryFolder root_;
};

TEST_F(ModelFolder, ReadsTheIndex) {
  const Folder folder = open();
  EXPECT_EQ(folder.path(), root_.path());
  EXPECT_EQ(folder.pipeline_class(), "LTXPipeline");
  ASSERT_EQ(folder.components().size(), 4u);
  ASSERT_NE(folder.find("vae"), nullptr);
  EXPECT_EQ(folder.find("vae")->library, "diffusers");
  EXPECT_EQ(folder.find("vae")->class_name, "AutoencoderKLLTXVideo");
  EXPECT_EQ(folder.find("image_encoder"), nullptr);
  EXPECT_EQ(folder.find("force_zeros"), nullptr);
  EXPECT_EQ(folder.component_path("transformer"), root_ / "transformer");
  expect_error(ErrorKind::checkpoint, "no component 'image_encoder'", [&] { folder.component_path("image_encoder"); });
  expect_error(ErrorKind::checkpoint, "'scheduler', 'text_encoder'", [&] { folder.component_path("tokenizer"); });
  expect_error(ErrorKind::checkpoint, "vae' is missing", [&] { folder.component_path("vae"); });
}

TEST_F(ModelFolder, RefusesABrokenIndex) {
  const auto with = [&](const std::string& text, const std::string& part) {
    root_.write("model_index.json", text);
    expect_error(ErrorKind::checkpoint, part, [&] { open(); });
  };
  with("{", "not valid JSON");
  with("[]", "not a JSON object");
  with("{}", "_class_name");
  with(R"({"_class_name": "P"})", "names no component");
  with(R"({"_class_name": "P", "vae": ["diffusers"]})", "entry 'vae'");
  with(R"({"_class_name": "P", "vae": ["diffusers", 3]})", "entry 'vae'");
  with(R"({"_class_name": "P", "../vae": ["diffusers", "X"]})", "no folder name");
}

TEST_F(ModelFolder, Config) {
  root_.write("scheduler/scheduler_config.json", R"({"_class_name": "FlowMatchEulerDiscreteScheduler"})");
  root_.write("transformer/config.json", R"({"num_layers": 28})");
  EXPECT_EQ(open().config("scheduler").class_name(), "FlowMatchEulerDiscreteScheduler");
  EXPECT_EQ(open().config("transformer").get<int>("num_layers", 0), 28);
  expect_error(ErrorKind::checkpoint, "text_encoder/config.json' is missing", [&] { open().config("text_encoder"); });
  root_.write("scheduler/config.json", R"({"_class_name": "Other"})");
  EXPECT_EQ(open().config("scheduler").class_name(), "FlowMatchEulerDiscreteScheduler");
}

TEST(Folder, SaysWhatWasFoundInstead) {
  TemporaryFolder root;
  const auto refuses = [&](const std::filesystem::path& path, const std::string& part) {
    SCOPED_TRACE(part);
    expect_error(ErrorKind::checkpoint, part, [&] { Folder::open(path); });
  };
  refuses(root / "none", "there is no model folder");
  refuses(root.path(), "it is empty");
  refuses(root.write("one/ltx-video-2b-v0.9.5.safetensors", "x"), "single-file checkpoints are not read");
  refuses(root / "one", "single-file checkpoints are not read");
  refuses(root / "one", "'ltx-video-2b-v0.9.5.safetensors'");
  refuses(root.write("one/model.gguf", "x"), "single-file checkpoints are not read");
  root.write("LTX/model_index.json", index_text);
  root.write("LTX/vae/config.json", "{}");
  refuses(root / "LTX/vae", "name the folder above");
  refuses(root / "LTX/vae/", "name the folder above");
  refuses(root / "LTX/model_index.json", "name the folder it is in");
  refuses(root.path(), "did you mean '" + (root / "LTX").string());
  root.write("cache/snapshots/abc/model_index.json", index_text);
  refuses(root / "cache", "snapshots");
}

TEST_F(ModelFolder, PlainFilesOfEitherLibrary) {
  put("transformer/diffusion_pytorch_model.safetensors", 1);
  put("text_encoder/model.safetensors", 2);
  EXPECT_EQ(value_of("transformer"), 1);
  EXPECT_EQ(value_of("text_encoder"), 2);
  std::filesystem::rename(root_ / "transformer/diffusion_pytorch_model.safetensors",
                          root_ / "transformer/model.safetensors");
  EXPECT_EQ(value_of("transformer"), 1);
  put("transformer/diffusion_pytorch_model.safetensors", 3);
  EXPECT_EQ(value_of("transformer"), 3);
}

TEST_F(ModelFolder, NoWeights) {
  refuses("diffusion_pytorch_model.safetensors is missing", "transformer");
  root_.write("text_encoder/model.pt", "x");
  refuses("of pickled weights only pytorch_model.bin is read", "text_encoder");
  refuses("'model.pt'", "text_encoder");
  root_.write("text_encoder/pytorch_model.bin", "x");
  refuses("no file of PyTorch's weights", "text_encoder");
}

TEST_F(ModelFolder, ReadsPyramidFlowWithoutAnIndex) {
  std::filesystem::remove(root_ / "model_index.json");
  EXPECT_FALSE(Folder::is_there(root_.path()));
  root_.write("causal_video_vae/config.json", R"({"_class_name": "CausalVideoVAE"})");
  EXPECT_TRUE(Folder::is_there(root_.path()));
  root_.write("diffusion_transformer_384p/config.json", R"({"_class_name": "PyramidFluxTransformer"})");
  root_.write("text_encoder/config.json", R"({"architectures": ["CLIPTextModel"]})");
  root_.write("tokenizer/vocab.json", "{}");
  root_.write("assets/picture.png", "");
  const Folder folder = open();
  EXPECT_EQ(folder.pipeline_class(), "PyramidDiTForVideoGeneration");
  ASSERT_EQ(folder.components().size(), 4u);
  EXPECT_EQ(folder.find("diffusion_transformer_384p")->class_name, "PyramidFluxTransformer");
  EXPECT_EQ(folder.find("text_encoder")->library, "transformers");
  EXPECT_EQ(folder.component_path("tokenizer"), root_ / "tokenizer");
  put("causal_video_vae/diffusion_pytorch_model.safetensors", 5);
  EXPECT_EQ(value_of("causal_video_vae"), 5);
  // Without safetensors what torch.save wrote is read.
  std::filesystem::remove(root_ / "causal_video_vae/diffusion_pytorch_model.safetensors");
  std::filesystem::copy(std::filesystem::path(PRAX_TEST_DATA) /
                            "cases/pyramid_flow/checkpoint_flux/causal_video_vae/diffusion_pytorch_model.bin",
                        root_ / "causal_video_vae");
  EXPECT_TRUE(open().weights("causal_video_vae")->contains("post_quant_conv.conv.bias"));
}

TEST_F(ModelFolder, Variants) {
  put("transformer/diffusion_pytorch_model.bf16.safetensors", 1);
  EXPECT_EQ(value_of("transformer"), 1);  // the only one
  EXPECT_EQ(value_of("transformer", "bf16"), 1);
  put("transformer/diffusion_pytorch_model.fp16.safetensors", 2);
  refuses("the variants 'bf16', 'fp16' and no plain weights", "transformer");
  EXPECT_EQ(value_of("transformer", "fp16"), 2);
  refuses("no variant 'fp8'", "transformer", "fp8");
  refuses("it has the variants 'bf16', 'fp16'", "transformer", "fp8");
  put("transformer/diffusion_pytorch_model.safetensors", 3);
  EXPECT_EQ(value_of("transformer"), 3);
  EXPECT_EQ(value_of("transformer", "bf16"), 1);
  // A component without the variant that another one has uses its plain files.
  put("text_encoder/model.safetensors", 4);
  EXPECT_EQ(value_of("text_encoder", "bf16"), 4);
  refuses("no variant 'fp8'", "text_encoder", "fp8");
}

std::string index_of(const std::string& weight_map) {
  return R"({"metadata": {"total_size": 8}, "weight_map": )" + weight_map + "}";
}

TEST_F(ModelFolder, Shards) {
  put("transformer/diffusion_pytorch_model-00001-of-00002.safetensors", 1, "a");
  put("transformer/diffusion_pytorch_model-00002-of-00002.safetensors", 2, "b");
  refuses("but no index", "transformer");
  const std::string first = R"("diffusion_pytorch_model-00001-of-00002.safetensors")",
                    second = R"("diffusion_pytorch_model-00002-of-00002.safetensors")";
  root_.write("transformer/diffusion_pytorch_model.safetensors.index.json",
              index_of(R"({"a": )" + first + R"(, "b": )" + second + "}"));
  EXPECT_EQ(value_of("transformer", "", "a"), 1);
  EXPECT_EQ(value_of("transformer", "", "b"), 2);
  root_.write("transformer/diffusion_pytorch_model-00003-of-00003.safetensors", "not named by the index, not read");
  EXPECT_EQ(value_of("transformer", "", "b"), 2);
  std::filesystem::remove(root_ / "transformer/diffusion_pytorch_model-00002-of-00002.safetensors");
  refuses("needs 'diffusion_pytorch_model-00002-of-00002.safetensors', which is not there", "transformer");
}

TEST_F(ModelFolder, TheIndexIsHeldAgainstItsShards) {
  put("text_encoder/model-00001-of-00001.safetensors", 1, "a");
  const auto with = [&](const std::string& text, const std::string& part) {
    root_.write("text_encoder/model.safetensors.index.json", text);
    refuses(part, "text_encoder");
  };
  with(index_of(R"({"a": "model-00001-of-00001.safetensors", "b": "model-00001-of-00001.safetensors"})"),
       "puts tensor 'b' into 'model-00001-of-00001.safetensors', which does not hold it");
  with("{}", "no weight_map");
  with("[]", "no weight_map");
  with(index_of("[]"), "no weight_map");
  with(index_of("{}"), "names no tensor");
  with(index_of(R"({"a": 3})"), "no file name for tensor 'a'");
  with("{", "not valid JSON");
  with(index_of(R"({"a": "pytorch_model.bin"})"), "no safetensors file");
  // What is outside of the folder stays unread, even when it is there.
  put("transformer/outside.safetensors", 1, "a");
  for (const std::string& path : {std::string("../transformer/outside.safetensors"), std::string("../../etc/passwd"),
                                  (root_ / "transformer/outside.safetensors").string(), std::string(".."),
                                  std::string("..\\\\x.safetensors"), std::string("sub/x.safetensors"), std::string()})
    with(index_of(R"({"a": ")" + path + R"("})"), "outside of its folder");
}

TEST_F(ModelFolder, ShardedVariants) {
  put("text_encoder/model.fp16-00001-of-00001.safetensors", 1);
  root_.write("text_encoder/model.safetensors.index.fp16.json",
              index_of(R"({"x": "model.fp16-00001-of-00001.safetensors"})"));
  EXPECT_EQ(value_of("text_encoder"), 1);
  EXPECT_EQ(value_of("text_encoder", "fp16"), 1);
  // The older spelling.
  put("transformer/diffusion_pytorch_model-00001-of-00001.fp16.safetensors", 2);
  root_.write("transformer/diffusion_pytorch_model.safetensors.fp16.index.json",
              index_of(R"({"x": "diffusion_pytorch_model-00001-of-00001.fp16.safetensors"})"));
  EXPECT_EQ(value_of("transformer", "fp16"), 2);
  EXPECT_EQ(value_of("transformer"), 2);
}

TEST_F(ModelFolder, SingleFileAndIndexAsTheReferenceDoes) {
  for (const auto& [component, base] :
       {std::pair<std::string, std::string>{"text_encoder", "model"}, {"transformer", "diffusion_pytorch_model"}}) {
    put(component + "/" + base + ".safetensors", 1);
    put(component + "/" + base + "-00001-of-00001.safetensors", 2);
    root_.write(component + "/" + base + ".safetensors.index.json",
                index_of(R"({"x": ")" + base + R"(-00001-of-00001.safetensors"})"));
  }
  EXPECT_EQ(value_of("text_encoder"), 1);  // transformers looks for the single file first
  EXPECT_EQ(value_of("transformer"), 2);   // diffusers for the index
}

TEST_F(ModelFolder, FollowsLinksOfTheDownloadCache) {
  put("blob", 5);
  std::filesystem::create_symlink("../blob", root_ / "transformer/diffusion_pytorch_model.safetensors");
  EXPECT_EQ(value_of("transformer"), 5);
}

TEST(Folder, ReadsPublishedLayouts) {
  const Folder folder = Folder::open(PRAX_TEST_DATA "/cases/ltx_090_t2v/checkpoint");
  EXPECT_EQ(folder.pipeline_class(), "LTXPipeline");
  EXPECT_EQ(folder.components().size(), 5u);
  for (const char* component : {"text_encoder", "transformer", "vae"}) {
    EXPECT_EQ(folder.config(component).class_name(), folder.find(component)->class_name);
    EXPECT_FALSE(folder.weights(component)->unused().empty());
  }
  EXPECT_EQ(folder.config("scheduler").class_name(), "FlowMatchEulerDiscreteScheduler");
}

}  // namespace
}  // namespace prax::checkpoint
