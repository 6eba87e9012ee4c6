#include "bench_family.h"
#include "tensor/random.h"

namespace prax::app {

namespace {

using checkpoint::Config;
using nlohmann::json;
namespace cog = models::cogvideox;

constexpr int64_t cogvideox_spatial_ratio = 8;  // of all published autoencoders
constexpr float ofs_value = 2.0f;

void complete_transformer(const Config& config, BenchOptions& o) {
  const auto c = cog::TransformerConfig::from(config);
  // The sample of 1.5 is the largest picture that it has positions for, not the one that it was trained for.
  if (c.patch_size_t > 0) {
    complete_clip(o, 1360, 768, c.sample_frames);
  } else {
    complete_clip(o, static_cast<int>(c.sample_width * cogvideox_spatial_ratio),
                  static_cast<int>(c.sample_height * cogvideox_spatial_ratio), c.sample_frames);
  }
  if (o.text_tokens == 0) o.text_tokens = c.max_text_seq_length;
}

void complete_vae(const Config& config, BenchOptions& o) {
  const auto c = cog::VaeConfig::from(config);
  complete_clip(o, static_cast<int>(c.sample_width), static_cast<int>(c.sample_height), 49);
}

//! As the pipeline pads a clip whose latent frames do not fill the patches.
LatentGrid padded(LatentGrid grid, const cog::TransformerConfig& c) {
  const int64_t patch = c.frames_of_patch();
  grid.frames = (grid.frames + patch - 1) / patch * patch;
  return grid;
}

int64_t cogvideox_tokens_of(const LatentGrid& grid, const cog::TransformerConfig& c) {
  return grid.pixels() / (c.frames_of_patch() * c.patch_size * c.patch_size);
}

Subject cogvideox_transformer(const Manifest& m, const BenchOptions& o) {
  const auto c = cog::TransformerConfig::from(m.config);
  const LatentGrid grid = padded(
      latent_grid(o, cogvideox_spatial_ratio, c.temporal_compression_ratio, cogvideox_spatial_ratio * c.patch_size), c);
  return one_pass<cog::Transformer>(
      m, o, cogvideox_tokens_of(grid, c), [=, tokens = o.text_tokens](const auto& network) -> Feed {
        const auto noise = std::make_shared<Generator>(bench_seed);
        const Tensor text = noise->randn({tokens, c.text_embed_dim});
        return [=](bool smallest) -> Pass {
          // Learned positions are those of one size alone.
          const LatentGrid g = smallest && !c.use_learned_positional_embeddings
                                   ? LatentGrid{c.frames_of_patch(), c.patch_size, c.patch_size}
                                   : grid;
          const cog::Rotary rotary = network->rotary(g.frames, g.height, g.width);
          const Tensor latents = noise->randn({g.frames, c.in_channels, g.height, g.width});
          return [=](const std::function<void()>& on_layer) {
            return (*network)(latents, text, some_timestep, ofs_value, rotary, on_layer);
          };
        };
      });
}

Subject cogvideox_vae(const Manifest& m, const BenchOptions& o) {
  const auto c = cog::VaeConfig::from(m.config);
  const LatentGrid grid =
      latent_grid(o, c.spatial_ratio(), static_cast<int64_t>(c.temporal_compression_ratio), c.spatial_ratio());
  return decoding<cog::Vae>(m, o, grid, [](auto& network, const auto& latents, const auto& emit, const auto& on_frame) {
    network.decode(latents, emit, [&](int64_t, int64_t) { on_frame(); });
  });
}

RunOperations cogvideox_run_operations(const checkpoint::Folder& folder, const pipelines::Run& run) {
  const json& a = run.request.arguments;
  const int64_t length = a.at("max_sequence_length").get<int64_t>();
  const int branches = a.at("guidance_scale").get<double>() > 1.0 ? 2 : 1;
  const auto denoiser = cog::TransformerConfig::from(folder.config("transformer"));
  const auto decoder = cog::VaeConfig::from(folder.config("vae"));
  const LatentGrid grid{run.latents.dim(1), run.latents.dim(3), run.latents.dim(4)};
  RunOperations o;
  o.text = branches * operations(models::T5Config::from(folder.config("text_encoder")), length).all();
  o.step = branches * operations(denoiser, cogvideox_tokens_of(grid, denoiser), length).all();
  // With tiles what overlaps is decoded more than once.
  if (a.at("vae_tiling").is_null())
    o.decode =
        operations(decoder, (run.format.frames - 1) / static_cast<int64_t>(decoder.temporal_compression_ratio) + 1,
                   grid.height, grid.width)
            .all();
  return o;
}

}  // namespace

Family cogvideox_family() {
  return {{{"CogVideoXTransformer3DModel", "transformer", complete_transformer, cogvideox_transformer},
           {"AutoencoderKLCogVideoX", "vae", complete_vae, cogvideox_vae}},
          cogvideox_run_operations};
}

}  // namespace prax::app
