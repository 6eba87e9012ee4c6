#include "run_bench.h"

namespace prax {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

//! Counted from the tensors of the checkpoint: each element of a matrix is multiplied and added once a row.
double transformer_operations(const json& m, double tokens, double text) {
  const json& c = m["config"];
  const double dim = c["num_attention_heads"].get<double>() * c["attention_head_dim"].get<double>();
  double sum = c["num_layers"].get<double>() * 4 * tokens * dim * (tokens + text);
  for (const auto& [name, shape] : m["tensors"].items()) {
    if (shape.size() != 2 || !name.ends_with("weight")) continue;
    const bool of_text = holds(name, "caption") || holds(name, "attn2.to_k") || holds(name, "attn2.to_v");
    sum += 2 * product(shape) * (holds(name, "time_embed") ? 1 : of_text ? text : tokens);
  }
  return sum;
}

double text_encoder_operations(const json& m, double tokens) {
  const json& c = m["config"];
  double sum =
      c["num_layers"].get<double>() * 4 * tokens * tokens * c["num_heads"].get<double>() * c["d_kv"].get<double>();
  for (const auto& [name, shape] : m["tensors"].items())
    if (shape.size() == 2 && holds(name, ".layer.") && !holds(name, "relative")) sum += 2 * product(shape) * tokens;
  return sum;
}

//! Each block but those without scaling doubles the size of its own resnets.
double vae_operations(const json& m, double frames, double height, double width) {
  json scaling = m["config"]["decoder_spatio_temporal_scaling"];
  std::vector<double> pixels{frames * height * width};
  for (size_t i = scaling.size(); i-- > 0;) {
    if (scaling[i].get<bool>()) {
      frames = 2 * frames - 1;
      height *= 2;
      width *= 2;
    }
    pixels.push_back(frames * height * width);
  }
  double sum = 0;
  for (const auto& [name, shape] : m["tensors"].items()) {
    if (!name.starts_with("decoder.") || shape.size() != 5) continue;
    size_t at = holds(name, "conv_out") ? scaling.size() : 0;
    const std::string blocks = "decoder.up_blocks.";
    if (name.starts_with(blocks))
      at = static_cast<size_t>(std::stoi(name.substr(blocks.size()))) + holds(name, ".resnets.");
    sum += 2 * product(shape) * pixels[at];
  }
  return sum;
}

TEST(Bench, TransformerOfThePublishedWidths) {
  const json part =
      bench("--synthetic ltx-video-2b --component transformer --layers 2 --size 128x64 --frames 17 --tokens 32")
          .at("transformer");
  expect_sound(part);
  EXPECT_EQ(part["layers"], 2);
  EXPECT_EQ(part["all_layers"], 28);
  EXPECT_EQ(part["extrapolated"], true);
  const double wanted = transformer_operations(manifest("ltx_video_2b_transformer"), 3 * 2 * 4, 32);
  EXPECT_NEAR(part["operations"].get<double>() / wanted, 1, 1e-9);
  // Two packed layers of 70 million parameters, not 28.
  EXPECT_GT(part["peak_bytes"].get<double>(), 250e6);
  EXPECT_LT(part["peak_bytes"].get<double>(), 1000e6);
}

TEST(Bench, TwoLayersStandForAllOfThem) {
  const ScratchFolder scratch;
  json small = manifest("ltx_video_2b_transformer");
  small["config"]["num_layers"] = 2;
  std::ofstream(scratch.path() / "small.json") << small;
  const std::string size = " --size 256x128 --frames 17";
  const json whole = bench("--config " + (scratch.path() / "small.json").string() + size).at("transformer");
  const json part = bench("--synthetic ltx-video-2b --component transformer --layers 2" + size).at("transformer");
  EXPECT_EQ(whole["extrapolated"], false);
  EXPECT_EQ(whole["all_layers"], 2);
  const double ratio = part["seconds"].get<double>() / whole["seconds"].get<double>();
  EXPECT_GT(ratio, 4);  // about 13; the machine may be busy
  EXPECT_LT(ratio, 40);
}

TEST(Bench, TellsHowFarAnArithmeticIsFromAnother) {
  const std::string part = "--synthetic cogvideox-2b --component transformer --layers 2 --size 64x64 --frames 5";
  const json same = bench(part + " --dtype f32 --against f32").at("transformer");
  EXPECT_EQ(same["relative"], 0);
  const json close = bench(part + " --dtype int8 --against f32").at("transformer");
  EXPECT_GT(close["cosine"], 0.99);
  EXPECT_LT(close["cosine"], 0.999999);
  EXPECT_EQ(run_prax("bench --against f32").code, 2);
}

TEST(Bench, TextEncoderTakesNoMemoryForItsWeights) {
  const json part = bench("--synthetic t5-v1.1-xxl --layers 3 --tokens 64").at("text_encoder");
  expect_sound(part);
  EXPECT_NEAR(part["operations"].get<double>() / text_encoder_operations(manifest("t5_v1_1_xxl_encoder"), 64), 1, 1e-9);
  EXPECT_LT(part["peak_bytes"].get<double>(), 200e6);  // its three layers are 1.2 GB
}

TEST(Bench, DecodersOfAllDesigns) {
  for (const std::string name : {"ltx_090_t2v", "ltx_091_t2v", "ltx_095_t2v"}) {
    const fs::path folder = fs::path(PRAX_TEST_DATA) / "cases" / name / "checkpoint/vae";
    const json model = manifest_of(folder);
    const std::string command = "--config " + (folder / "config.json").string() + " --size 128x64 --frames 17";
    const json whole = bench(command).at("vae"), part = bench(command + " --latent-frames 2").at("vae");
    expect_sound(whole);
    expect_sound(part);
    EXPECT_EQ(whole["extrapolated"], false);
    EXPECT_EQ(part["extrapolated"], true);
    EXPECT_NEAR(whole["operations"].get<double>() / vae_operations(model, 3, 2, 4), 1, 1e-9) << name;
    EXPECT_EQ(part["operations"], whole["operations"]);
  }
}

TEST(Bench, AWholeClipIsTheSumOfItsParts) {
  const ScratchFolder scratch;
  // A small model of the same classes, from config files of its own.
  const fs::path nano = fs::path(PRAX_SOURCE_DIR) / "models/nano";
  for (const std::string part : {"transformer", "vae", "text_encoder"})
    fs::copy(nano / part / "config.json", scratch.path() / (part + ".json"));
  std::ofstream(scratch.path() / "set.json")
      << R"({"class": "LTXPipeline", "components": {"transformer": "transformer", "vae": "vae", "text_encoder": "text_encoder"}})";
  const auto parts =
      bench("--config " + (scratch.path() / "set.json").string() + " --size 128x128 --frames 9 --steps 5");
  ASSERT_EQ(parts.size(), 4u);
  for (const auto& [name, part] : parts) expect_sound(part);
  const auto seconds = [&](const char* name) { return parts.at(name)["seconds"].get<double>(); };
  EXPECT_NEAR(seconds("clip"), 2 * seconds("text_encoder") + 10 * seconds("transformer") + seconds("vae"),
              1e-6 * seconds("clip"));
  EXPECT_EQ(parts.at("clip")["extrapolated"], true);
  EXPECT_EQ(parts.at("vae")["extrapolated"], false);
}

TEST(Bench, TheEmbeddedModelFromPromptToPixels) {
  const auto parts = bench("--steps 3 --threads 1");
  ASSERT_EQ(parts.size(), 4u);
  for (const auto& [name, part] : parts) {
    expect_sound(part);
    EXPECT_EQ(part["threads"], 1);
    EXPECT_EQ(part["extrapolated"], false);
  }
  const auto seconds = [&](const char* name) { return parts.at(name)["seconds"].get<double>(); };
  EXPECT_GT(seconds("clip"), seconds("vae") + 2 * seconds("transformer"));
  const Finished one = run_prax("bench --steps 2 --repeat 1 --component vae --dtype f32");
  EXPECT_EQ(one.code, 0) << one.err;
  EXPECT_TRUE(one.says("vae ")) << one.out;
  EXPECT_FALSE(one.says("text_encoder")) << one.out;
}

TEST(Bench, Roofline) {
  const auto parts = bench("--roofline");
  ASSERT_EQ(parts.size(), 1u);
  const json& line = parts.at("roofline");
  for (const char* key : {"component", "seconds", "tflops", "peak_share", "peak_bytes", "isa", "threads", "cpu"})
    EXPECT_TRUE(line.contains(key)) << key;
  EXPECT_GT(line["peak_f32"].get<double>(), 1e9);
  EXPECT_GT(line["bandwidth"].get<double>(), 1e8);
}

TEST(Bench, SaysWhatIsExtrapolatedAndThatGuidanceDoubles) {
  const Finished run =
      run_prax("bench --synthetic ltx_video_2b --component transformer --layers 2 --size 64x64 --frames 9 --repeat 1");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(run.says("extrapolated linearly from 2 of 28 layers")) << run.out;
  EXPECT_TRUE(run.says("guidance makes it two passes a step")) << run.out;
}

TEST(Bench, WrongUsage) {
  const auto refused = [](const std::string& arguments, int code, const std::string& text) {
    const Finished run = run_prax("bench " + arguments);
    EXPECT_EQ(run.code, code) << arguments << run.out;
    EXPECT_TRUE(run.complains(text)) << arguments << "\n" << run.err;
  };
  refused("--synthetic no-such-model", 2, "ltx_video_2b");
  refused("--synthetic ltx-video", 2, "more than one");
  refused("--synthetic ltx-video-2b --component transformer --layers 1", 2, "use 2 to 28");
  refused("--synthetic ltx-video-2b --component transformer --layers 29", 2, "use 2 to 28");
  refused("--synthetic ltx-video-2b --component transformer --size 100x64", 2, "multiples of 32");
  refused("--synthetic ltx-video-2b --component transformer --frames 10", 2, "10 frames");
  refused("--synthetic ltx-video-0.9.0-vae --frames 9 --latent-frames 5", 2, "only 2 latent frames");
  refused("--synthetic t5-v1.1-xxl --component vae", 2, "no vae");
  refused("--synthetic ltx-video-2b --size 768", 2, "768x512");
  refused("--synthetic ltx-video-2b --config x.json", 2, "one of them");
  refused("--layers 2", 2, "--synthetic");
  refused("--config /nonexistent.json", 1, "cannot be read");
  const ScratchFolder scratch;
  std::ofstream(scratch.path() / "list.json") << "[1, 2]";
  refused("--config " + (scratch.path() / "list.json").string(), 1, "does not describe a model");
  std::ofstream(scratch.path() / "other.json") << R"({"class": "SomeOtherModel", "config": {}})";
  refused("--config " + (scratch.path() / "other.json").string(), 2, "SomeOtherModel");
}

TEST(Bench, RefusesWhatDoesNotFitInMemoryBeforeItTries) {
  const ScratchFolder scratch;
  json giant = manifest("ltx_video_13b_transformer");
  giant["config"]["num_attention_heads"] = 512;
  giant["config"]["cross_attention_dim"] = 512 * 128;
  giant.erase("tensors");
  std::ofstream(scratch.path() / "giant.json") << giant;
  const Finished run = run_prax("bench --config " + (scratch.path() / "giant.json").string());
  EXPECT_EQ(run.code, 1);
  EXPECT_TRUE(run.complains("giant takes ")) << run.err;
  EXPECT_TRUE(run.complains("--layers")) << run.err;
}

}  // namespace
}  // namespace prax
