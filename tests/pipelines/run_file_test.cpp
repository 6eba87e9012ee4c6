#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <numeric>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {
namespace {

namespace fs = std::filesystem;

class RunFile : public testing::Test {
protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("prax_run_file_test_" + std::to_string(getpid()));
    fs::create_directories(folder_);
    file_ = folder_ / "balloon.mp4.prax";
  }
  void TearDown() override { fs::remove_all(folder_); }

  static pipelines::Run example() {
    pipelines::Run run;
    run.request.prompt = "a red balloon – “über” the sea \xf0\x9f\x8e\x88\n\"quoted\\\"";
    run.request.negative_prompt = "worst quality";
    run.request.seed = 18446744073709551615ull;  // all 64 bits must survive
    run.request.global_seed = 7;
    run.request.arguments = {{"width", 128},
                             {"guidance_scale", 3.1},
                             {"decode_timestep", 0.05},
                             {"timesteps", {1000, 993.5}},
                             {"nothing", nullptr}};
    run.format = {128, 96, 25, 23.976023976023978};
    run.step = 3;
    run.steps = 8;
    run.generator = Generator(42);
    run.generator.randn({7});  // an odd count leaves a cached second value behind
    run.global_generator = Generator(7);
    run.global_generator.randn({100});
    run.latents = Generator(1).randn({2, 6, 8});
    return run;
  }

  // The message of the Error(input) that reading gives; "" when there is none.
  std::string problem() const {
    try {
      load_run(file_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input) << error.what();
      EXPECT_FALSE(error.hint().empty()) << error.what();
      return error.what();
    }
    return {};
  }

  void write(const std::string& run, const std::string& version = "2", const Tensor& latents = Tensor::zeros({1, 2, 2}),
             const std::string& name = "latents") {
    checkpoint::write_safetensors(file_, {{name, latents}},
                                  {{"format", "praxinoscope-run"}, {"version", version}, {"run", run}});
  }

  // The JSON of a good run, with one value changed by a JSON pointer.
  std::string changed(const std::string& pointer, const nlohmann::json& value) {
    save_run(file_, example(), "nano");
    auto json = nlohmann::json::parse(checkpoint::SafetensorsFile::open(file_)->metadata().at("run"));
    json[nlohmann::json::json_pointer(pointer)] = value;
    return json.dump();
  }

  fs::path folder_, file_;
};

TEST_F(RunFile, BringsBackEverything) {
  const pipelines::Run before = example();
  save_run(file_, before, "/models/LTX-Video", {{"output", "balloon.mp4"}, {"dtype", "bf16"}});
  std::string model;
  RunNotes notes;
  pipelines::Run after = load_run(file_, &model, &notes);

  EXPECT_EQ(model, "/models/LTX-Video");
  EXPECT_EQ(notes, (RunNotes{{"output", "balloon.mp4"}, {"dtype", "bf16"}}));
  EXPECT_EQ(after.request.prompt, before.request.prompt);
  EXPECT_EQ(after.request.negative_prompt, before.request.negative_prompt);
  EXPECT_EQ(after.request.seed, before.request.seed);
  EXPECT_EQ(after.request.global_seed, before.request.global_seed);
  EXPECT_EQ(after.request.arguments, before.request.arguments);
  EXPECT_EQ(after.request.arguments["guidance_scale"].get<double>(), 3.1);
  EXPECT_TRUE(after.request.arguments["width"].is_number_integer());
  EXPECT_EQ(after.format.width, 128);
  EXPECT_EQ(after.format.height, 96);
  EXPECT_EQ(after.format.frames, 25);
  EXPECT_EQ(after.format.fps, before.format.fps);
  EXPECT_EQ(after.step, 3);
  EXPECT_EQ(after.steps, 8);
  ASSERT_EQ(after.latents.shape(), before.latents.shape());
  EXPECT_EQ(std::memcmp(after.latents.raw(), before.latents.raw(), before.latents.bytes()), 0);
}

TEST_F(RunFile, GeneratorsDrawOnAsIfNothingHadHappened) {
  pipelines::Run before = example();
  save_run(file_, before, "nano");
  pipelines::Run after = load_run(file_);
  for (const Shape& shape : {Shape{3}, Shape{64}, Shape{5}}) {
    const Tensor a = before.generator.randn(shape), b = after.generator.randn(shape);
    EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0);
    const Tensor c = before.global_generator.rand(shape), d = after.global_generator.rand(shape);
    EXPECT_EQ(std::memcmp(c.raw(), d.raw(), c.bytes()), 0);
  }
}

TEST_F(RunFile, LatentsAreWritableAndIndependentOfTheFile) {
  save_run(file_, example(), "nano");
  pipelines::Run run = load_run(file_);
  run.latents.data<float>()[0] = 123;
  pipelines::Run other = example();
  other.step = 4;
  save_run(file_, other, "nano");
  EXPECT_EQ(run.latents.data<float>()[0], 123);
  EXPECT_NE(load_run(file_).latents.data<float>()[0], 123);
  EXPECT_EQ(load_run(file_).step, 4);
}

TEST_F(RunFile, WithoutAGlobalSeedThereIsNone) {
  pipelines::Run run = example();
  run.request.global_seed.reset();
  save_run(file_, run, "nano");
  EXPECT_FALSE(load_run(file_).request.global_seed.has_value());
}

TEST_F(RunFile, LeavesNoOtherFileBehind) {
  save_run(file_, example(), "nano");
  save_run(file_, example(), "nano");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}), 1);
}

TEST_F(RunFile, RefusesWhatIsNoRun) {
  EXPECT_NE(problem().find("there is no file"), std::string::npos);
  std::ofstream(file_) << "hello";
  EXPECT_NE(problem(), "");
  checkpoint::write_safetensors(file_, {{"latents", Tensor::zeros({1, 2, 2})}}, {{"format", "pt"}});
  EXPECT_NE(problem().find("another safetensors file"), std::string::npos);
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_NE(problem().find("folder"), std::string::npos);
}

TEST_F(RunFile, KeepsWhatThePipelineKnows) {
  pipelines::Run run = example();
  run.state["mask"] = Tensor::from<float>({3}, std::vector<float>{0, 0.5f, 1});
  run.generators["window"] = Generator(5);
  run.generators["window"].randn({20});
  save_run(file_, run, "nano");
  pipelines::Run again = pipelines::load_run(file_);
  ASSERT_TRUE(again.state.contains("mask"));
  EXPECT_EQ(again.state["mask"].shape(), Shape{3});
  EXPECT_EQ(again.state["mask"].data<float>()[1], 0.5f);
  ASSERT_TRUE(again.generators.contains("window"));
  EXPECT_EQ(again.generators["window"].state(), run.generators["window"].state());
}

TEST_F(RunFile, RefusesAnotherVersion) {
  write("{}", "1");
  EXPECT_NE(problem().find("another version"), std::string::npos);
}

TEST_F(RunFile, RefusesATruncatedFile) {
  save_run(file_, example(), "nano");
  fs::resize_file(file_, fs::file_size(file_) - 5);
  EXPECT_NE(problem(), "");
}

TEST_F(RunFile, RefusesBrokenContents) {
  for (const char* text : {"", "{", "[]", "{}", "3"}) {
    write(text);
    EXPECT_NE(problem(), "") << text;
  }
  const std::vector<std::pair<std::string, nlohmann::json>> changes = {
      {"/step", 9},           {"/step", -1},          {"/step", "three"},          {"/video/width", 0},
      {"/video/fps", 0},      {"/video/frames", -25}, {"/request/arguments", {1}}, {"/request/seed", "x"},
      {"/request/prompt", 5}, {"/generator", "junk"}, {"/notes", {{"output", 3}}}};
  for (const auto& [pointer, value] : changes) {
    write(changed(pointer, value));
    EXPECT_NE(problem(), "") << pointer << " = " << value;
  }
  const std::string good = changed("/step", 3);
  write(good);
  EXPECT_EQ(problem(), "");
  write(good, "2", Tensor::zeros({1, 2, 2}, DType::bf16));
  EXPECT_NE(problem().find("not f32"), std::string::npos);
  write(good, "2", Tensor::zeros({4}));
  EXPECT_NE(problem().find("shape"), std::string::npos);
  write(good, "2", Tensor::zeros({1, 2, 2}), "something");
  EXPECT_NE(problem().find("no latents"), std::string::npos);
}

TEST_F(RunFile, TextThatIsNotUtf8IsAnErrorNotACrash) {
  pipelines::Run run = example();
  run.request.prompt = "\xff";
  EXPECT_THROW(save_run(file_, run, "nano"), Error);
  EXPECT_FALSE(fs::exists(file_));
}

}  // namespace
}  // namespace prax::pipelines
