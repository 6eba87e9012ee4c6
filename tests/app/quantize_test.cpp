// `prax quantize`, and what it makes, as people use them.

#include <algorithm>

#include "checkpoint/safetensors.h"
#include "npy_clip.h"
#include "run_prax.h"

namespace prax {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* weights_file = "diffusion_pytorch_model.safetensors";

std::string frames_of(const std::string& model, const fs::path& out, const std::string& flags = {}) {
  const Finished f = run_prax("generate 'a red balloon rises' --seed 7 --steps 2 --model " + model + " -o " +
                              out.string() + " " + flags);
  EXPECT_EQ(f.code, 0) << f.err;
  return npy(out).data;
}

TEST(Quantize, MakesAFolderThatGivesTheSameBitsAsInt8OfTheOriginal) {
  const ScratchFolder scratch;
  const fs::path made = scratch.path() / "int8";
  const Finished f = run_prax("quantize nano -o " + made.string());
  ASSERT_EQ(f.code, 0) << f.err;
  EXPECT_TRUE(f.says("matrices int8, 0 as they were")) << f.out;
  const auto before = fs::file_size(fs::path(PRAX_SOURCE_DIR) / "models/nano/transformer" / weights_file);
  EXPECT_LT(static_cast<double>(fs::file_size(made / "transformer" / weights_file)), 0.6 * static_cast<double>(before));
  const std::string original = frames_of("nano", scratch.path() / "a.npy", "--dtype int8");
  EXPECT_TRUE(frames_of(made.string(), scratch.path() / "b.npy") == original) << "int8 is such a folder's default";
  for (const char* dtype : {"bf16", "f32"}) {
    const std::string flags = std::string("--dtype ") + dtype;
    const std::string wide = frames_of(made.string(), scratch.path() / "c.npy", flags);
    const std::string exact = frames_of("nano", scratch.path() / "d.npy", flags);
    ASSERT_EQ(wide.size(), exact.size());
    EXPECT_FALSE(wide == exact) << dtype << " from rounded weights";
    double worst = 0;
    for (size_t i = 0; i < wide.size(); i += sizeof(float)) {
      float a = 0, b = 0;
      std::memcpy(&a, wide.data() + i, sizeof a);
      std::memcpy(&b, exact.data() + i, sizeof b);
      worst = std::max<double>(worst, std::abs(a - b));
    }
    EXPECT_LT(worst, 0.1) << dtype;
  }
  const Finished info = run_prax("info --json " + made.string());
  ASSERT_EQ(info.code, 0) << info.err;
  const json described = info.lines().at(0);
  EXPECT_TRUE(described["runs"]);
  for (const json& component : described["components"])
    EXPECT_EQ(component["dtypes"].contains("i8"), component["name"] == "transformer") << component;
  const Finished bench = run_prax("bench --size 64x64 --frames 9 --steps 1 --repeat 1 --json --model " + made.string());
  EXPECT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.lines().at(0)["dtype"], "i8");
}

struct Model {
  const char *test_case, *folder;
};

class QuantizeFamilies : public testing::TestWithParam<Model> {};

//! What every tensor of a reference case came out as.
std::map<std::string, json> checked(const Finished& run) {
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  std::map<std::string, json> found;
  for (const json& line : run.lines())
    if (line.value("type", "") == "tensor") found[line["name"]] = {line["max_error"], line["cosine"], line["verdict"]};
  return found;
}

TEST_P(QuantizeFamilies, IsVerifiedLikeInt8OfTheOriginal) {
  const ScratchFolder scratch;
  const fs::path made = scratch.path() / "int8";
  const Finished f =
      run_prax("quantize --json " + (reference_cases / GetParam().folder).string() + " -o " + made.string());
  ASSERT_EQ(f.code, 0) << f.err;
  EXPECT_GT(f.lines().back()["matrices"], 10);
  const std::string verify = "verify --json " + (reference_cases / GetParam().test_case).string();
  const auto original = checked(run_prax(verify + " --dtype int8"));
  EXPECT_GT(original.size(), 5u);
  EXPECT_EQ(checked(run_prax(verify + " --model " + made.string())), original);
}

INSTANTIATE_TEST_SUITE_P(Cases, QuantizeFamilies,
                         testing::Values(Model{"ltx_090_t2v", "ltx_090_t2v/checkpoint"},
                                         Model{"cogvideox_5b_t2v", "cogvideox_5b_t2v/checkpoint"},
                                         Model{"mochi_t2v", "mochi_t2v/checkpoint"},
                                         Model{"pyramid_flow/flux_t2v", "pyramid_flow/checkpoint_flux"},
                                         Model{"pyramid_flow/mmdit_t2v", "pyramid_flow/checkpoint_mmdit"}));

TEST(Quantize, RefusesWhatCannotBe) {
  const ScratchFolder scratch;
  const std::string made = (scratch.path() / "int8").string();
  ASSERT_EQ(run_prax("quantize --quiet nano -o " + made).code, 0);
  const struct {
    std::string arguments, says;
    int code;
  } tries[] = {{"nano -o " + made, "exists already", 2},
               {made + " -o " + made + "2", "int8 already", 2},
               {"nano -o " + made + "2 --dtype bf16", "use int8", 2},
               {"nano -o " + made + "/none/x", "there is no folder", 1},
               {scratch.path().string() + " -o " + made + "2", "no model_index.json", 1}};
  for (const auto& t : tries) {
    const Finished f = run_prax("quantize " + t.arguments);
    EXPECT_EQ(f.code, t.code) << t.arguments;
    EXPECT_TRUE(f.complains(t.says)) << f.err;
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 1);
}

TEST(Quantize, LeavesNothingWhenTheDiskIsFull) {
  const ScratchFolder scratch;
  const std::string made = (scratch.path() / "int8").string(), said = (scratch.path() / "said").string();
  // In units of 512 bytes; without the signal the write fails as on a full disk.
  const std::string command = "trap '' XFSZ; ulimit -f 4000; exec " + std::string(PRAX_BINARY) + " quantize nano -o " +
                              made + " >/dev/null 2>" + said;
  EXPECT_EQ(WEXITSTATUS(std::system(("sh -c \"" + command + "\"").c_str())), 1);
  EXPECT_NE(file_text(said).find("cannot write"), std::string::npos) << file_text(said);
  EXPECT_NE(file_text(said).find("free some space"), std::string::npos) << file_text(said);
  EXPECT_EQ(std::distance(fs::directory_iterator(scratch.path()), {}), 1) << "only what was said";
}

TEST(Quantize, NamesScalesThatDoNotFit) {
  const ScratchFolder scratch;
  const fs::path made = scratch.path() / "int8";
  ASSERT_EQ(run_prax("quantize --quiet nano -o " + made.string()).code, 0);
  const fs::path file = made / "transformer" / weights_file;
  const auto stored = checkpoint::SafetensorsFile::open(file);
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : stored->entries()) tensors.emplace(name, stored->tensor(name).clone());
  const std::string scale = "transformer_blocks.0.ff.net.2.weight_scale";
  ASSERT_TRUE(tensors.contains(scale));
  const auto says = [&](const std::map<std::string, Tensor>& changed,
                        const std::map<std::string, std::string>& metadata, const std::string& what) {
    checkpoint::write_safetensors(file, changed, metadata);
    const Finished f =
        run_prax("generate x --steps 1 --model " + made.string() + " -o " + (scratch.path() / "x.mp4").string());
    EXPECT_EQ(f.code, 1);
    EXPECT_TRUE(f.complains(what)) << f.err;
  };
  auto changed = tensors;
  changed.erase(scale);
  says(changed, {}, "its scales \"" + scale + "\" are missing");
  changed[scale] = Tensor::full({3}, 1.0f);
  says(changed, {}, "has the shape [3]");
  changed[scale] = tensors.at(scale).clone();
  changed[scale].data<float>()[1] = NAN;
  says(changed, {}, scale + "' is infinite or not a number at [1]");
  changed[scale].data<float>()[1] = -1;
  says(changed, {}, "negative scale");
  says(tensors, {{"prax.quantization", "int8-rows"}, {"prax.quantization.version", "2"}}, "does not know");
}

}  // namespace
}  // namespace prax
