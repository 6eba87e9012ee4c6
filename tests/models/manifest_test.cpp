// Every model asks for exactly the tensors of the published full-size checkpoint when it is built from its config.

#include <fstream>
#include <functional>
#include <map>

#include "models/cogvideox/transformer.h"
#include "models/cogvideox/vae.h"
#include "models/ltx/latent_upsampler.h"
#include "models/ltx/transformer.h"
#include "models/ltx/vae.h"
#include "models/mochi/transformer.h"
#include "models/mochi/vae.h"
#include "models/pyramid_flow/flux_transformer.h"
#include "models/pyramid_flow/mmdit_transformer.h"
#include "models/pyramid_flow/vae.h"
#include "models/text/clip_encoder.h"
#include "models/text/t5_encoder.h"
#include "support/golden.h"

namespace prax::manifest_test {
namespace {

using checkpoint::Config;
using checkpoint::Weights;
using Build = std::function<void(const Config&, const Weights&)>;

const std::map<std::string, Build> builders{
    {"T5EncoderModel", [](const Config& c, const Weights& w) { models::T5Encoder(c, w, DType::bf16); }},
    {"PyramidFluxTransformer",
     [](const Config& c, const Weights& w) { models::pyramid_flow::FluxTransformer(c, w, DType::bf16); }},
    {"PyramidDiffusionMMDiT",
     [](const Config& c, const Weights& w) { models::pyramid_flow::MmditTransformer(c, w, DType::bf16); }},
    {"CausalVideoVAE", [](const Config& c, const Weights& w) { models::pyramid_flow::Vae(c, w, DType::bf16); }},
    {"CLIPTextModel", [](const Config& c, const Weights& w) { models::ClipEncoder(c, w, DType::bf16, false); }},
    {"CLIPTextModelWithProjection",
     [](const Config& c, const Weights& w) { models::ClipEncoder(c, w, DType::bf16, true); }},
    {"MochiTransformer3DModel",
     [](const Config& c, const Weights& w) { models::mochi::Transformer(c, w, DType::bf16); }},
    {"AutoencoderKLMochi", [](const Config& c, const Weights& w) { models::mochi::Vae(c, w, DType::bf16); }},
    {"CogVideoXTransformer3DModel",
     [](const Config& c, const Weights& w) { models::cogvideox::Transformer(c, w, DType::bf16); }},
    {"AutoencoderKLCogVideoX", [](const Config& c, const Weights& w) { models::cogvideox::Vae(c, w, DType::bf16); }},
    {"LTXLatentUpsamplerModel",
     [](const Config& c, const Weights& w) { models::ltx::LatentUpsampler(c, w, DType::bf16); }},
    {"LTXVideoTransformer3DModel",
     [](const Config& c, const Weights& w) { models::ltx::Transformer(c, w, DType::bf16); }},
    {"AutoencoderKLLTXVideo", [](const Config& c, const Weights& w) { models::ltx::Vae(c, w, DType::bf16); }}};

class Manifest : public testing::TestWithParam<const char*> {};

TEST_P(Manifest, NamesAndShapesAreExact) {
  const auto path = std::filesystem::path(PRAX_SOURCE_DIR) / "manifests" / (std::string(GetParam()) + ".json");
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  const auto manifest = nlohmann::json::parse(file);
  auto source = std::make_shared<checkpoint::ManifestSource>();
  builders.at(manifest["class"])(Config(manifest["config"], path.string()), Weights(source));

  std::map<std::string, Shape> got(source->requested().begin(), source->requested().end());
  EXPECT_EQ(got.size(), source->requested().size()) << "a tensor is read twice";
  const auto want = manifest["tensors"].get<std::map<std::string, Shape>>();
  for (const auto& [name, shape] : want) {
    ASSERT_TRUE(got.contains(name)) << name << " is never read";
    EXPECT_EQ(got[name], shape) << name;
  }
  for (const auto& [name, shape] : got) EXPECT_TRUE(want.contains(name)) << name << " is not in the checkpoint";
}

INSTANTIATE_TEST_SUITE_P(Published, Manifest,
                         testing::Values("t5_v1_1_xxl_encoder", "ltx_video_2b_transformer", "ltx_video_13b_transformer",
                                         "ltx_video_0.9.0_vae", "ltx_video_0.9.1_vae", "ltx_video_0.9.5_vae",
                                         "ltx_video_0.9.7_spatial_upsampler"));

INSTANTIATE_TEST_SUITE_P(PublishedMochi, Manifest,
                         testing::Values("mochi_1_preview_transformer", "mochi_1_preview_vae"));

INSTANTIATE_TEST_SUITE_P(PublishedPyramidFlow, Manifest,
                         testing::Values("pyramid_flow_miniflux_transformer", "pyramid_flow_sd3_transformer",
                                         "pyramid_flow_causal_video_vae", "pyramid_flow_miniflux_text_encoder_clip_l",
                                         "pyramid_flow_sd3_text_encoder_clip_l",
                                         "pyramid_flow_sd3_text_encoder_2_clip_g"));

INSTANTIATE_TEST_SUITE_P(PublishedCogVideoX, Manifest,
                         testing::Values("cogvideox_2b_transformer", "cogvideox_5b_transformer",
                                         "cogvideox_5b_i2v_transformer", "cogvideox_1.5_5b_transformer",
                                         "cogvideox_1.5_5b_i2v_transformer", "cogvideox_vae"));

}  // namespace
}  // namespace prax::manifest_test
