#include <algorithm>

#include "bench_family.h"
#include "tensor/random.h"
#include "text/t5_tokenizer.h"

namespace prax::app {

namespace {

using checkpoint::Config;
using nlohmann::json;
namespace mochi = models::mochi;

constexpr int64_t mochi_text_tokens = 256;
constexpr int64_t mochi_spatial_ratio = 8, mochi_temporal_ratio = 6;  // constants of MochiPipeline

void complete_mochi(const Config&, BenchOptions& o) {
  complete_clip(o, 848, 480, 31);
  if (o.text_tokens == 0) o.text_tokens = mochi_text_tokens;
}

int64_t mochi_tokens_of(const LatentGrid& grid, const mochi::TransformerConfig& c) {
  return grid.pixels() / (c.patch_size * c.patch_size);
}

Subject mochi_transformer(const Manifest& m, const BenchOptions& o) {
  const auto c = mochi::TransformerConfig::from(m.config);
  const LatentGrid grid = latent_grid(o, mochi_spatial_ratio, mochi_temporal_ratio, mochi_spatial_ratio * c.patch_size);
  const int64_t text_tokens = o.text_tokens;
  return one_pass<mochi::Transformer>(m, o, mochi_tokens_of(grid, c), [=](const auto& network) -> Feed {
    const auto noise = std::make_shared<Generator>(bench_seed);
    const Tensor text = noise->randn({text_tokens, c.text_embed_dim});
    return [=](bool smallest) -> Pass {
      const LatentGrid g = smallest ? LatentGrid{1, c.patch_size, c.patch_size} : grid;
      const mochi::Rotary rotary = network->rotary(g.frames, g.height, g.width);
      const Tensor latents = noise->randn({c.in_channels, g.frames, g.height, g.width});
      return [=](const std::function<void()>& on_layer) {
        const std::vector<int64_t> mask(static_cast<size_t>(text_tokens), 1);
        return (*network)(latents, text, mask, some_timestep, rotary, on_layer);
      };
    };
  });
}

Subject mochi_vae(const Manifest& m, const BenchOptions& o) {
  const auto c = mochi::VaeConfig::from(m.config);
  const int64_t ratio = c.spatial_compression_ratio();
  return decoding<mochi::Vae>(m, o, latent_grid(o, ratio, c.temporal_compression_ratio(), ratio),
                              [](auto& network, const auto& latents, const auto& emit, const auto& on_frame) {
                                network.decode(latents, emit, [&](int64_t, int64_t) { on_frame(); });
                              });
}

RunOperations mochi_run_operations(const checkpoint::Folder& folder, const pipelines::Run& run) {
  const json& a = run.request.arguments;
  const int64_t length = a.at("max_sequence_length").get<int64_t>();
  const bool guided = a.at("guidance_scale").get<double>() > 1.0;
  const auto text = models::T5Config::from(folder.config("text_encoder"));
  const auto denoiser = mochi::TransformerConfig::from(folder.config("transformer"));
  const auto decoder = mochi::VaeConfig::from(folder.config("vae"));
  const auto tokenizer = text::T5Tokenizer::load(folder.component_path("tokenizer"));
  const Tensor& latents = run.latents;
  const LatentGrid grid{latents.dim(2), latents.dim(3), latents.dim(4)};
  std::vector<std::string> prompts{run.request.prompt};
  if (guided) prompts.push_back(run.request.negative_prompt);
  RunOperations o;
  for (const std::string& prompt : prompts) {
    const auto mask = tokenizer.encode(prompt, length).mask;
    const int64_t words = std::count(mask.begin(), mask.end(), 1);  // the denoiser leaves out the padding
    o.text += operations(text, length).all();
    o.step += static_cast<double>(latents.dim(0)) * operations(denoiser, mochi_tokens_of(grid, denoiser), words).all();
  }
  // With tiles what overlaps is decoded more than once.
  if (a.at("vae_tiling").is_null()) o.decode = operations(decoder, grid.frames, grid.height, grid.width).all();
  return o;
}

}  // namespace

Family mochi_family() {
  return {{{"MochiTransformer3DModel", "transformer", complete_mochi, mochi_transformer},
           {"AutoencoderKLMochi", "vae", complete_mochi, mochi_vae}},
          mochi_run_operations};
}

}  // namespace prax::app
