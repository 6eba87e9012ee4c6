#include <algorithm>
#include <array>
#include <functional>

#include "run_bench.h"

namespace prax {
namespace {

//! How many rows go through a matrix.
using Rows = std::function<double(const std::string& tensor)>;

//! Counted from the tensors of the checkpoint: each element of a matrix or kernel is multiplied and added once a row.
double products(const json& m, const Rows& rows) {
  double sum = 0;
  for (const auto& [name, shape] : m["tensors"].items())
    if (shape.size() > 1 && name.ends_with("weight")) sum += 2 * product(shape) * rows(name);
  return sum;
}

bool holds_any(const std::string& name, const std::vector<std::string>& parts) {
  return std::any_of(parts.begin(), parts.end(), [&](const std::string& part) { return holds(name, part); });
}

double inner_dim(const json& m) {
  return m["config"]["num_attention_heads"].get<double>() * m["config"]["attention_head_dim"].get<double>();
}

double squared(double x) { return x * x; }

double cogvideox_operations(const json& m, double tokens, double text) {
  const double all = tokens + text;
  return m["config"]["num_layers"].get<double>() * 4 * all * all * inner_dim(m) +
         products(m, [&](const std::string& name) {
           if (holds_any(name, {"norm1.linear", "norm2.linear", "norm_out", "time_embedding", "ofs_embedding"}))
             return 1.0;
           if (holds(name, "text_proj")) return text;
           return name.starts_with("transformer_blocks") ? all : tokens;
         });
}

double mochi_operations(const json& m, double tokens, double text) {
  const double all = tokens + text, dim = inner_dim(m), pooled = m["config"]["text_embed_dim"].get<double>();
  const double layers = m["config"]["num_layers"].get<double>();
  // The last layer's text does not ask.
  return 4 * dim * ((layers - 1) * all * all + tokens * all) + 4 * (1 + text) * pooled +
         products(m, [&](const std::string& name) {
           if (holds(name, "to_kv")) return 1 + text;
           if (holds_any(name, {"norm1", "norm_out", "timestep_embedder", "pooler"})) return 1.0;
           return holds_any(name, {"caption_proj", ".add_", "to_add_out", "ff_context"}) ? text : tokens;
         });
}

//! `frames` are the tokens of the picture by time, the noisy ones last; each sees what was before.
double pyramid_flow_operations(const json& m, const std::vector<double>& frames, double text) {
  double seen = text, pairs = 0;
  for (size_t i = 0; i < frames.size(); ++i) {
    seen += frames[i];
    pairs += (frames[i] + (i == 0 ? text : 0)) * seen;
  }
  const double image = seen - text;
  const double layers = m["config"]["num_layers"].get<double>() + m["config"].value("num_single_layers", 0.0);
  return layers * 4 * pairs * inner_dim(m) + products(m, [&](const std::string& name) {
           const bool single = name.starts_with("single_transformer_blocks");
           if (holds_any(name, {"time_text_embed", "norm_out", "norm.linear", "norm1"})) return 1.0;
           if (single) return seen;
           if (name == "proj_out.weight") return frames.back();
           return holds_any(name, {"context_embedder", ".add_", "to_add_out", "ff_context"}) ? text : image;
         });
}

struct TransformerCase {
  std::string manifest, options;
  int layers;
  double tokens, text;
  std::function<double(const json&)> operations;
};

TEST(BenchFamily, TransformersOfThePublishedWidths) {
  const std::string size = " --size 128x128";
  // 3 latent frames of 16x16; 1.5 takes two to a patch. Pyramid Flow's history of three frames is 64, 16 and 4 tokens.
  const std::vector<double> history{4, 16, 64, 64};
  const std::vector<TransformerCase> cases{
      {"cogvideox_2b_transformer", " --frames 9", 30, 192, 226,
       [](const json& m) { return cogvideox_operations(m, 192, 226); }},
      {"cogvideox_1.5_5b_i2v_transformer", " --frames 9 --tokens 32", 42, 128, 32,
       [](const json& m) { return cogvideox_operations(m, 128, 32); }},
      {"mochi_1_preview_transformer", " --frames 7 --tokens 32", 48, 128, 32,
       [](const json& m) { return mochi_operations(m, 128, 32); }},
      {"pyramid_flow_miniflux_transformer", " --frames 25 --tokens 32", 24, 148, 32,
       [&](const json& m) { return pyramid_flow_operations(m, history, 32); }},
      {"pyramid_flow_sd3_transformer", " --frames 25", 24, 148, 128,
       [&](const json& m) { return pyramid_flow_operations(m, history, 128); }},
  };
  for (const TransformerCase& c : cases) {
    const json part = bench("--synthetic " + c.manifest + " --layers 2" + size + c.options).at("transformer");
    expect_sound(part);
    EXPECT_EQ(part["layers"], 2) << c.manifest;
    EXPECT_EQ(part["all_layers"], c.layers) << c.manifest;
    EXPECT_EQ(part["tokens"], c.tokens) << c.manifest;
    EXPECT_EQ(part["text_tokens"], c.text) << c.manifest;
    EXPECT_NEAR(part["operations"].get<double>() / c.operations(manifest(c.manifest)), 1, 1e-9) << c.manifest;
  }
}

TEST(BenchFamily, InF32) {
  for (const std::string model : {"cogvideox-2b", "mochi-1-preview"}) {
    const json part =
        bench("--synthetic " + model + " --component transformer --layers 2 --size 64x64 --frames 1 --dtype f32")
            .at("transformer");
    expect_sound(part);
    EXPECT_EQ(part["dtype"], "f32");
  }
}

//! A decoder's clip as it grows: frames, height and width of each level.
using Levels = std::vector<std::array<double, 3>>;

double volume(const std::array<double, 3>& level) { return level[0] * level[1] * level[2]; }

size_t block_of(const std::string& name) {
  const std::string blocks = "up_blocks.";
  return static_cast<size_t>(std::stoi(name.substr(name.find(blocks) + blocks.size())));
}

//! Rows of a decoder whose upsamplers (those named `wide`) see the pixels of the next level, but not its frames.
double decoder_rows(const std::string& name, const Levels& levels, const std::string& wide) {
  if (holds_any(name, {"conv_out", "block_out", "proj_out"})) return volume(levels.back());
  if (!holds(name, "up_blocks.")) return volume(levels[0]);
  const size_t i = block_of(name);
  if (!holds(name, wide)) return volume(levels[i]);
  return levels[i][0] * levels[i + 1][1] * levels[i + 1][2];
}

struct DecoderCase {
  std::string folder, options;
  Levels levels;
  std::string wide;
};

TEST(BenchFamily, DecodersOfAllFamilies) {
  // A clip of 64x32. CogVideoX codes 5 latent frames as 3 and 2, and doubles all but a first odd one.
  const std::vector<DecoderCase> cases{
      {"cogvideox_2b_t2v/checkpoint/vae",
       " --frames 17",
       {{5, 4, 8}, {9, 8, 16}, {17, 16, 32}, {17, 32, 64}},
       ".upsamplers."},
      {"mochi_t2v/checkpoint/vae", " --frames 13", {{3, 4, 8}, {9, 8, 16}, {18, 16, 32}, {18, 32, 64}}, "none"},
      {"pyramid_flow/checkpoint_flux/causal_video_vae",
       " --frames 17",
       {{3, 4, 8}, {5, 8, 16}, {9, 16, 32}, {17, 32, 64}},
       ".temporal_upsamplers."},
  };
  for (const DecoderCase& c : cases) {
    const fs::path folder = fs::path(PRAX_TEST_DATA) / "cases" / c.folder;
    json model = manifest_of(folder);
    for (auto it = model["tensors"].begin(); it != model["tensors"].end();)
      it = it.key().starts_with("decoder.") || it.key().starts_with("post_quant_conv") ? std::next(it)
                                                                                       : model["tensors"].erase(it);
    double wanted = products(model, [&](const std::string& name) {
      return holds_any(name, {"conv_y", "conv_b."}) ? volume(c.levels[0]) : decoder_rows(name, c.levels, c.wide);
    });
    // One attention over each frame of latents.
    if (const auto to_q = model["tensors"].find("decoder.mid_block.attentions.0.to_q.weight");
        to_q != model["tensors"].end())
      wanted += c.levels[0][0] * 4 * squared(c.levels[0][1] * c.levels[0][2]) * (*to_q)[0].get<double>();
    const std::string command = "--config " + (folder / "config.json").string() + " --size 64x32" + c.options;
    const json whole = bench(command).at("vae"), part = bench(command + " --latent-frames 2").at("vae");
    expect_sound(whole);
    expect_sound(part);
    EXPECT_EQ(whole["extrapolated"], false);
    EXPECT_EQ(part["extrapolated"], true);
    EXPECT_NEAR(whole["operations"].get<double>() / wanted, 1, 1e-9) << c.folder;
    EXPECT_EQ(part["operations"], whole["operations"]);
  }
}

TEST(BenchFamily, ClipTextEncoders) {
  for (const std::string name : {"pyramid_flow_miniflux_text_encoder_clip_l", "pyramid_flow_sd3_text_encoder_clip_l"}) {
    const json m = manifest(name);
    const json part = bench("--synthetic " + name + " --layers 2 --tokens 16").at("text_encoder");
    expect_sound(part);
    const double wanted =
        12 * 4 * 16 * 16 * m["config"]["hidden_size"].get<double>() + products(m, [](const std::string& tensor) {
          return holds(tensor, "embedding") ? 0.0 : holds(tensor, "text_projection") ? 1.0 : 16.0;
        });
    EXPECT_NEAR(part["operations"].get<double>() / wanted, 1, 1e-9) << name;
  }
}

TEST(BenchFamily, LatentUpsampler) {
  const std::string name = "ltx_video_0.9.7_spatial_upsampler";
  const json part = bench("--synthetic " + name + " --size 64x64 --frames 9").at("latent_upsampler");
  expect_sound(part);
  const double wanted = products(manifest(name), [](const std::string& tensor) {
    return 2 * 2 * 2 * (holds_any(tensor, {"post_upsample", "final_conv"}) ? 4.0 : 1.0);
  });
  EXPECT_NEAR(part["operations"].get<double>() / wanted, 1, 1e-9);
}

TEST(BenchFamily, TheClipIsTheOneThatTheModelWasMadeFor) {
  const auto says = [](const std::string& arguments, const std::string& text) {
    const Finished run = run_prax("bench --repeat 1 " + arguments);
    EXPECT_TRUE(run.says(text)) << arguments << "\n" << run.out << run.err;
  };
  const fs::path vae = fs::path(PRAX_TEST_DATA) / "cases/cogvideox_2b_t2v/checkpoint/vae/config.json";
  says("--config " + vae.string() + " --latent-frames 1", "49 frames of 80x96");
  says("--synthetic pyramid-flow-sd3-transformer --layers 2 --size 64x64", "of 16 units");
  // The text encoder of a set reads the text that its transformer was made for.
  says("--synthetic cogvideox-2b --component text_encoder --layers 2", "226 tokens");
}

TEST(BenchFamily, WholeRunsAreCounted) {
  struct Case {
    std::string folder, options;
  };
  for (const auto& [folder, options] : {Case{"cogvideox_2b_t2v", " --tokens 20 --size 80x96 --frames 9"},
                                        Case{"cogvideox_15_t2v", " --tokens 20 --size 64x64 --frames 9"},
                                        Case{"mochi_t2v", " --size 64x64 --frames 7"}}) {
    const auto parts =
        bench("--steps 2 --model " + (fs::path(PRAX_TEST_DATA) / "cases" / folder / "checkpoint").string() + options);
    ASSERT_EQ(parts.size(), 4u) << folder;
    for (const auto& [name, part] : parts) expect_sound(part);
    const auto operations = [&](const char* name) { return parts.at(name)["operations"].get<double>(); };
    EXPECT_NEAR(operations("clip"), operations("text_encoder") + 2 * operations("transformer") + operations("vae"),
                1e-6 * operations("clip"));
  }
}

TEST(BenchFamily, WrongUsage) {
  const auto refused = [](const std::string& arguments, const std::string& text) {
    const Finished run = run_prax("bench " + arguments);
    EXPECT_EQ(run.code, 2) << arguments << run.out;
    EXPECT_TRUE(run.complains(text)) << arguments << "\n" << run.err;
  };
  refused("--synthetic mochi-1-preview-transformer --layers 2 --frames 9", "multiple of 6");
  refused("--synthetic pyramid-flow-sd3-transformer --layers 2 --size 640x352", "multiples of 64");
  refused("--synthetic cogvideox-5b-i2v --component transformer --layers 2 --size 128x128", "learned");
  refused("--synthetic pyramid-flow-miniflux-text-encoder-clip-l --tokens 128", "77");
}

}  // namespace
}  // namespace prax
