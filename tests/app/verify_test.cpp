#include "checkpoint/safetensors.h"
#include "run_prax.h"

namespace prax {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Finished verify(const std::string& arguments) { return run_prax("verify " + arguments); }
Finished verify_case(const std::string& name, const std::string& flags = {}) {
  return verify((reference_cases / name).string() + " " + flags);
}

//! A copy of a case that a test may damage.
class Copy {
public:
  explicit Copy(const std::string& name) : folder_(scratch_.path() / name) {
    fs::copy(reference_cases / name, folder_, fs::copy_options::recursive);
    description = json::parse(file_text(folder_ / "case.json"));
    if (description.contains("checkpoint"))  // others' checkpoints stay where they are
      description["checkpoint"] =
          fs::weakly_canonical(reference_cases / name / description["checkpoint"].get<std::string>()).string();
    const auto file = checkpoint::SafetensorsFile::open(reference_cases / name / "tensors.safetensors");
    for (const auto& [tensor, entry] : file->entries()) tensors.emplace(tensor, file->tensor(tensor).clone());
  }

  json description;
  std::map<std::string, Tensor> tensors;

  float& element(const std::string& name, int64_t i) { return tensors.at(name).data<float>()[i]; }
  const fs::path& folder() const { return folder_; }
  Finished verify(const std::string& flags = {}) const {
    std::ofstream(folder_ / "case.json") << description;
    checkpoint::write_safetensors(folder_ / "tensors.safetensors", tensors);
    return prax::verify(folder_.string() + " " + flags);
  }

private:
  ScratchFolder scratch_;
  fs::path folder_;
};

//! Verdicts by tensor.
std::map<std::string, std::string> verdicts(const Finished& run) {
  std::map<std::string, std::string> found;
  for (const json& line : run.lines())
    if (line.value("type", "") == "tensor") found[line["name"].get<std::string>()] = line["verdict"].get<std::string>();
  return found;
}

TEST(Verify, TheEmbeddedModelIsTheReferences) {
  const Finished run = verify_case("nano_t2v");
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  EXPECT_TRUE(run.says("22 tensors: 22 pass, 0 fail, 0 not checked")) << run.out;
  EXPECT_TRUE(run.says("step.7.latents"));
  EXPECT_TRUE(run.says("PSNR ")) << run.out;
}

class VerifyLtx : public testing::TestWithParam<const char*> {};

TEST_P(VerifyLtx, PassesInBothArithmetics) {
  const Finished f32 = verify_case(GetParam());
  EXPECT_EQ(f32.code, 0) << f32.out << f32.err;
  EXPECT_TRUE(f32.says(", 0 fail, 0 not checked")) << f32.out;
  const Finished bf16 = verify_case(GetParam(), "--dtype bf16 --threads 1");
  EXPECT_EQ(bf16.code, 0) << bf16.out << bf16.err;
  EXPECT_TRUE(bf16.says(" 0 fail, 0 not checked")) << bf16.out;
}

INSTANTIATE_TEST_SUITE_P(Cases, VerifyLtx,
                         testing::Values("ltx_090_t2v", "ltx_091_t2v", "ltx_091_t2v_rescale", "ltx_095_t2v",
                                         "ltx_090_i2v", "ltx_095_condition", "ltx_095_v2v", "ltx_098_distilled_t2v",
                                         "ltx_long_multi_prompt", "ltx_upsample", "ltx_lora"));

class VerifyInt8 : public testing::TestWithParam<const char*> {};

TEST_P(VerifyInt8, IsNearTheReference) {
  const Finished run = verify_case(GetParam(), "--dtype int8");
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  EXPECT_TRUE(run.says(" 0 fail, 0 not checked")) << run.out;
}

INSTANTIATE_TEST_SUITE_P(Cases, VerifyInt8,
                         testing::Values("ltx_090_t2v", "ltx_lora", "cogvideox_2b_t2v", "cogvideox_15_i2v",
                                         "cogvideox_lora", "mochi_t2v", "pyramid_flow/flux_transformer",
                                         "pyramid_flow/mmdit_t2v"));

TEST(Verify, LorasPassHoweverTheyAreApplied) {
  for (const char* mode : {"fused", "on-the-fly"}) {
    const Finished lora = verify_case("ltx_lora", std::string("--lora-mode ") + mode);
    EXPECT_EQ(lora.code, 0) << mode << lora.out << lora.err;
  }
  EXPECT_EQ(verify_case("ltx_lora", "--lora-mode melted").code, 2);
}

TEST(Verify, TheSchedulersAreTheReferences) {
  const Finished all = verify_case("schedulers");
  EXPECT_EQ(all.code, 0) << all.out << all.err;
  EXPECT_TRUE(all.says(" 0 fail, 0 not checked")) << all.out;
}

TEST(Verify, RandomNumbersSchedulersAndTokenizer) {
  const Finished random = verify_case("random_numbers", "--dtype bf16");
  EXPECT_EQ(random.code, 0) << random.out << random.err;
  EXPECT_TRUE(random.says("48 tensors: 48 pass, 0 fail, 0 not checked"));
  EXPECT_TRUE(random.says("exact"));
  const Finished tokenizer = verify_case("tokenizer_t5");
  EXPECT_EQ(tokenizer.code, 0) << tokenizer.out << tokenizer.err;
  EXPECT_TRUE(tokenizer.says("46 tensors: 46 pass, 0 fail, 0 not checked"));
  const Finished euler = verify_case("schedulers", "--only flow_match_euler");
  EXPECT_EQ(euler.code, 0) << euler.out << euler.err;
  EXPECT_TRUE(euler.says("120 tensors: 72 pass, 0 fail, 0 not checked, 48 for information")) << euler.out;
}

TEST(Verify, WhatCannotBeComputedFailsTheRunAndSaysWhy) {
  Copy other("ltx_090_t2v");
  other.description["pipeline"] = "SomeNewPipeline";
  const Finished unknown = other.verify();
  EXPECT_EQ(unknown.code, 1);
  EXPECT_TRUE(unknown.says("NOT CHECKED  this version cannot run a SomeNewPipeline")) << unknown.out;

  Copy setting("ltx_090_t2v");
  setting.description["scheduler"] = "AnotherScheduler";
  const Finished changed = setting.verify();
  EXPECT_EQ(changed.code, 1);
  EXPECT_TRUE(changed.says("its setting \"scheduler\"")) << changed.out;
}

TEST(Verify, NoticesOneWrongNumber) {
  Copy copy("ltx_091_t2v");
  copy.element("step.1.latents", 7) += 0.05f;
  const Finished run = copy.verify("--json");
  EXPECT_EQ(run.code, 1);
  for (const auto& [name, verdict] : verdicts(run))
    EXPECT_EQ(verdict, name == "step.1.latents" ? "fail" : "pass") << name;
  EXPECT_EQ(run.lines().back()["fail"], 1);
}

TEST(Verify, NoticesWrongIntegersAndNonFiniteNumbers) {
  Copy copy("ltx_091_t2v");
  copy.tensors.at("text_encoder.1.in.0").data<int64_t>()[3] += 1;
  copy.element("transformer.0.out", 0) = INFINITY;
  const Finished run = copy.verify("--json --dtype bf16");
  EXPECT_EQ(run.code, 1);
  EXPECT_EQ(verdicts(run).at("text_encoder.1.in.0"), "fail");
  EXPECT_EQ(verdicts(run).at("transformer.0.out"), "fail");
  EXPECT_EQ(run.lines().back()["fail"], 2);
}

TEST(Verify, NoticesAnotherSeedPromptAndArgument) {
  Copy seed("ltx_091_t2v");
  seed.description["seed"] = 12;
  EXPECT_EQ(verdicts(seed.verify("--json")).at("transformer.0.in.hidden_states"), "fail");
  Copy global("ltx_091_t2v");  // its decoder draws from the global generator
  global.description["global_seed"] = 12;
  EXPECT_EQ(verdicts(global.verify("--json")).at("vae.decode.0.out"), "fail");
  EXPECT_EQ(verdicts(global.verify("--json")).at("frames"), "fail");
  EXPECT_EQ(verdicts(global.verify("--json")).at("step.2.latents"), "pass");
  Copy prompt("ltx_091_t2v");
  prompt.description["prompt"] = "Another thing.";
  EXPECT_EQ(verdicts(prompt.verify("--json")).at("text_encoder.0.in.0"), "fail");
  Copy guidance("ltx_091_t2v");
  guidance.description["arguments"]["guidance_scale"] = 4.0;
  EXPECT_EQ(verdicts(guidance.verify("--json")).at("transformer.0.out"), "pass");
  EXPECT_EQ(verdicts(guidance.verify("--json")).at("step.0.latents"), "fail");
}

TEST(Verify, AnotherShapeFails) {
  Copy copy("ltx_091_t2v");
  copy.tensors.at("timesteps") = Tensor::zeros({4});
  const Finished run = copy.verify();
  EXPECT_EQ(run.code, 1);
  EXPECT_TRUE(run.says("FAIL  has the shape [3]")) << run.out;
}

TEST(Verify, ATensorThatNobodyDeliversIsNotSkipped) {
  Copy copy("ltx_091_t2v");
  copy.tensors["transformer.0.in.something_new"] = Tensor::zeros({2, 3});
  const Finished run = copy.verify();
  EXPECT_EQ(run.code, 1);
  EXPECT_TRUE(run.says("NOT CHECKED  the run did not come by it")) << run.out;
  EXPECT_TRUE(run.says("0 fail, 1 not checked")) << run.out;
}

TEST(Verify, FramesMustReachThePsnrThatTheCaseAsks) {
  Copy copy("ltx_090_t2v");
  copy.description["bf16_psnr"] = 40.0;
  const Finished good = copy.verify("--dtype bf16 --only frames");
  EXPECT_EQ(good.code, 0) << good.out;
  EXPECT_TRUE(good.says("1 tensors: 1 pass")) << good.out;
  copy.description["bf16_psnr"] = 150.0;
  const Finished bad = copy.verify("--dtype bf16 --only frames");
  EXPECT_EQ(bad.code, 1) << bad.out;
  EXPECT_TRUE(bad.says("of 150.0")) << bad.out;
}

TEST(Verify, RecordedFramesAreHeldAgainstThoseThatTheProgramWrites) {
  Copy copy("ltx_090_t2v");
  const Tensor decoded = copy.tensors.at("vae.decode.0.out");  // [1, 3, T, H, W]
  Tensor frames = decoded.view({3, decoded.dim(2), decoded.dim(3), decoded.dim(4)}).permute({1, 2, 3, 0});
  for (float& v : frames.span<float>()) v = std::min(1.0f, std::max(0.0f, v / 2 + 0.5f));
  copy.tensors["frames"] = frames;
  const Finished good = copy.verify("--json");
  EXPECT_EQ(good.code, 0) << good.out;
  EXPECT_EQ(verdicts(good).at("frames"), "pass");
  EXPECT_EQ(good.lines().back()["tensors"], 22);
  copy.element("frames", 5) = 0.5f + copy.element("frames", 5) / 4;
  EXPECT_EQ(verdicts(copy.verify("--json")).at("frames"), "fail");
}

TEST(Verify, NormalNumbersMayBeOneUlpOffOthersNot) {
  Copy copy("random_numbers");
  float& normal = copy.element("seed42.0", 2);
  normal = std::nextafter(normal, 100.0f);
  const Finished near = copy.verify("--json");
  EXPECT_EQ(near.code, 0) << near.out;
  normal = std::nextafter(std::nextafter(normal, 100.0f), 100.0f);
  EXPECT_EQ(verdicts(copy.verify("--json")).at("seed42.0"), "fail");
  Copy rounded("random_numbers");
  rounded.element("seed42.bfloat16", 2) = std::nextafter(rounded.element("seed42.bfloat16", 2), 100.0f);
  rounded.element("seed0.rand", 2) = std::nextafter(rounded.element("seed0.rand", 2), 100.0f);
  const auto verdict = verdicts(rounded.verify("--json"));
  EXPECT_EQ(verdict.at("seed42.bfloat16"), "fail");
  EXPECT_EQ(verdict.at("seed0.rand"), "fail");
  EXPECT_EQ(verdict.at("seed42.float16"), "pass");
}

TEST(Verify, NoticesAWrongTokenAndAWrongStep) {
  Copy tokens("tokenizer_t5");
  tokens.description["texts"][4]["ids"][2] = 99999;
  const Finished run = tokens.verify("--json");
  EXPECT_EQ(run.code, 1);
  for (const auto& [name, verdict] : verdicts(run)) EXPECT_EQ(verdict, name == "text.4.ids" ? "fail" : "pass") << name;
  Copy steps("schedulers");
  steps.element("flow_match_euler.ltx.20.step.prev_sample", 1) += 0.1f;
  const Finished stepped = steps.verify("--json --only flow_match_euler.ltx");
  EXPECT_EQ(stepped.code, 1);
  EXPECT_EQ(verdicts(stepped).at("flow_match_euler.ltx.20.step.prev_sample"), "fail");
  EXPECT_EQ(verdicts(stepped).at("flow_match_euler.ltx.20.sigmas"), "pass");
}

TEST(Verify, AFolderOfCasesIsRunCaseByCase) {
  const ScratchFolder scratch;
  fs::create_directories(scratch.path() / "a");
  fs::copy(reference_cases / "random_numbers", scratch.path() / "a/numbers", fs::copy_options::recursive);
  fs::copy(reference_cases / "tokenizer_t5", scratch.path() / "tokenizer", fs::copy_options::recursive);
  const Finished run = verify(scratch.path().string() + "/");
  EXPECT_EQ(run.code, 0) << run.out << run.err;
  EXPECT_TRUE(run.says("2 of 2 cases are good; 94 tensors: 94 pass, 0 fail, 0 not checked")) << run.out;
  EXPECT_TRUE(run.says("numbers (random numbers, f32")) << run.out;
}

TEST(Verify, AFailedRunCountsAllOfItsTensorsAndTheOthersGoOn) {
  const ScratchFolder scratch;
  fs::copy(reference_cases / "random_numbers", scratch.path() / "numbers", fs::copy_options::recursive);
  fs::copy(reference_cases / "tokenizer_t5", scratch.path() / "broken", fs::copy_options::recursive);
  fs::copy(reference_cases / "ltx_090_t2v", scratch.path() / "broken_run");
  json description = json::parse(file_text(reference_cases / "ltx_090_t2v/case.json"));
  description["checkpoint"] = "nowhere";
  std::ofstream(scratch.path() / "broken_run/case.json") << description;
  const Finished run = verify(scratch.path().string());
  EXPECT_EQ(run.code, 1);
  EXPECT_TRUE(run.says("0 fail, 21 not checked")) << run.out;
  EXPECT_TRUE(run.says("2 of 3 cases are good")) << run.out;
  EXPECT_TRUE(run.complains("prax: broken_run: ")) << run.err;
}

TEST(Verify, BrokenCasesAreOneSentence) {
  Copy cut("ltx_091_t2v");
  cut.verify("--only timesteps");  // writes it
  fs::resize_file(cut.folder() / "tensors.safetensors", 5000);
  for (const std::string& problem :
       {cut.folder().string(), std::string("/nonexistent/case"), std::string(PRAX_SOURCE_DIR) + "/manifests"}) {
    const Finished run = verify(problem);
    EXPECT_EQ(run.code, 1) << problem;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 2) << run.err;  // what, and what to do
    EXPECT_TRUE(run.err.starts_with("prax: ")) << run.err;
    EXPECT_EQ(run.out, "");
  }
  std::ofstream(cut.folder() / "case.json") << "{\"case\": ";
  EXPECT_TRUE(verify(cut.folder().string()).complains("case.json is no JSON object"));
  fs::remove(cut.folder() / "tensors.safetensors");
  std::ofstream(cut.folder() / "case.json") << "{}";
  EXPECT_TRUE(verify(cut.folder().string()).complains("has no tensors.safetensors"));
  Copy text("ltx_091_t2v");
  text.description["prompt"] = 5;
  const Finished typed = text.verify();
  EXPECT_EQ(typed.code, 1);
  EXPECT_TRUE(typed.complains("\"prompt\" is missing or not what it should be")) << typed.err;
}

TEST(Verify, WrongUsage) {
  const Finished none = verify("");
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(none.complains("needs a reference case")) << none.err;
  EXPECT_EQ(verify_case("random_numbers", "--dtype f64").code, 2);
  EXPECT_EQ(verify_case("random_numbers", "--threads 0").code, 2);
  const Finished nothing = verify_case("random_numbers", "--only no_such_name");
  EXPECT_EQ(nothing.code, 2);
  EXPECT_TRUE(nothing.complains("no_such_name")) << nothing.err;
}

TEST(Verify, JsonSaysWhatTheLinesSay) {
  const auto lines = verify_case("ltx_091_t2v", "--json").lines();
  ASSERT_GT(lines.size(), 2u);
  const json& sum = lines.back();
  EXPECT_EQ(sum["type"], "summary");
  EXPECT_EQ(sum["tensors"].get<size_t>(), lines.size() - 1);
  EXPECT_EQ(sum["pass"], sum["tensors"]);
  EXPECT_EQ(lines[0]["type"], "tensor");
  EXPECT_EQ(lines[0]["case"], "ltx_091_t2v");
  EXPECT_EQ(lines[0]["shape"], json({1, 48}));
  EXPECT_LE(lines[0]["relative_error"].get<double>(), 1e-3);
  EXPECT_GE(lines[0]["cosine"].get<double>(), 0.9999);
}

}  // namespace
}  // namespace prax
