#include "run_prax.h"

namespace {

namespace fs = std::filesystem;

const fs::path pyramid_flow_cases = reference_cases / "pyramid_flow";
const std::string flux = (pyramid_flow_cases / "checkpoint_flux").string();

std::string small(const fs::path& out, const std::string& more = "") {
  return "generate 'a fox' --seed 1 --size 64x64 --frames 25 --set num_inference_steps=1 "
         "--set video_num_inference_steps=1 -o " +
         out.string() + " --model " + (more.empty() ? flux : more);
}

class PyramidFlow : public testing::Test {
protected:
  //! One sentence with these words, a hint, and no file.
  void refuses(const std::string& arguments, int code, const std::string& words) {
    const Finished f = run_prax(arguments);
    EXPECT_EQ(f.code, code) << f.err;
    EXPECT_TRUE(f.complains(words)) << words << " in: " << f.err;
    EXPECT_EQ(std::count(f.err.begin(), f.err.end(), '\n'), 2) << f.err;
    EXPECT_FALSE(fs::exists(out));
  }
  ScratchFolder scratch;
  const fs::path out = scratch.path() / "x.npy";
};

TEST_F(PyramidFlow, DecodesWhileItDenoises) {
  const fs::path late = scratch.path() / "late.npy";
  const Finished f = run_prax(small(out) + " --json");
  ASSERT_EQ(f.code, 0) << f.err;
  std::vector<std::string> stages;
  for (const auto& line : f.lines())
    if (line["type"] == "progress" && (stages.empty() || stages.back() != line["stage"]))
      stages.push_back(line["stage"]);
  const std::vector<std::string> units{"text",    "denoise", "decode",  "denoise", "decode",
                                       "denoise", "decode",  "denoise", "decode"};
  EXPECT_EQ(stages, units);
  ASSERT_EQ(run_prax(small(late) + " --set stream=false").code, 0);
  EXPECT_TRUE(file_text(out) == file_text(late));
}

TEST_F(PyramidFlow, SaysWhatIsWrongWithASizeOrALength) {
  refuses("generate a --model " + flux + " --size 1280x768 --frames 9 -o " + out.string(), 2,
          "1280x768 is for diffusion_transformer_768p");
  refuses("generate a --model " + flux + " --set model_variant=diffusion_transformer_768p -o " + out.string(), 2,
          "it has diffusion_transformer_384p");
  refuses("generate a --model " + flux + " --size 64x64 --frames 10 -o " + out.string(), 2, "use 9 or 17");
  refuses("generate a --model " + flux + " --size 100x64 -o " + out.string(), 2, "use 64 or 128");
  refuses("generate a --model " + flux + " --size 64x64 --set temp=0 -o " + out.string(), 2, "use 1 to");
}

TEST_F(PyramidFlow, SaysWhatIsWrongWithAPicture) {
  const fs::path text = scratch.path() / "first.png";
  std::ofstream(text) << "no picture";
  refuses(small(out) + " --image " + text.string(), 1, "cannot be read as a picture");
  refuses(small(out) + " --image " + (scratch.path() / "none.png").string(), 1, "there is no");
}

TEST_F(PyramidFlow, RunsNothingOfADamagedOrHostileFile) {
  const fs::path model = scratch.path() / "model";
  fs::copy(flux, model, fs::copy_options::recursive);
  fs::remove(model / "causal_video_vae/diffusion_pytorch_model.safetensors");
  const fs::path weights = model / "causal_video_vae/diffusion_pytorch_model.bin";
  const std::string good = file_text(weights);
  const auto with = [&](const std::string& bytes) { std::ofstream(weights, std::ios::binary) << bytes; };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return at == std::string::npos ? bytes : bytes.replace(at, to.size(), to);
  };
  ASSERT_EQ(run_prax(small(out, model.string())).code, 0);
  fs::remove(out);
  EXPECT_GT(run_prax("info --json " + model.string()).lines()[0]["components"][0]["parameters"], 0);
  with(changed("torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_anything"));
  refuses(small(out, model.string()), 1, "_rebuild_anything");
  with(changed("ccollections\nOrderedDict", "iposix_____\nsystem_____"));  // INST
  refuses(small(out, model.string()), 1, "opcode 105");
  with(good.substr(0, good.size() / 2));
  refuses(small(out, model.string()), 1, "its end is missing");
  with("PK\x03\x04");
  refuses(small(out, model.string()), 1, "too short");
}

TEST_F(PyramidFlow, IsKnownWithoutAnIndex) {
  const auto lines = run_prax("info --json " + flux).lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["family"], "pyramid-flow");
  EXPECT_TRUE(lines[0]["runs"]);
  // It decodes while it denoises, unless told otherwise: then the stages' weights are not in memory together.
  const auto decoding = [&](const std::string& flags) -> uint64_t {
    const auto told = run_prax("info --json " + flux + flags).lines().at(0);
    for (const auto& stage : told["forecast"]["stages"])
      if (stage["stage"] == "decode") return stage["anonymous_bytes"];
    return 0;
  };
  EXPECT_GT(decoding(" --set stream=false"), 0u);
  EXPECT_GT(decoding(""), decoding(" --set stream=false"));
  const Finished f = run_prax("--version; PRAX_MODELS=" + pyramid_flow_cases.string() + " " PRAX_BINARY " models");
  for (const char* name :
       {"rain1011/pyramid-flow-miniflux", "rain1011/pyramid-flow-sd3", "checkpoint_flux", "checkpoint_mmdit"})
    EXPECT_TRUE(f.says(name)) << f.out;
}

}  // namespace
