#include <fmt/format.h>

#include <algorithm>

#include "bench_family.h"
#include "pipelines/pyramid_flow/latents.h"
#include "tensor/random.h"

namespace prax::app {

namespace {

using checkpoint::Config;
using checkpoint::Weights;
namespace flow = models::pyramid_flow;

constexpr int64_t pyramid_flow_text_tokens = 128;
constexpr int64_t pyramid_flow_spatial_ratio = 8, pyramid_flow_temporal_ratio = 8;  // of the published autoencoder
constexpr int64_t stages = 3;
constexpr const char* mmdit_class = "PyramidDiffusionMMDiT";
constexpr const char* joint_key = "num_layers";
constexpr const char* single_key = "num_single_layers";

void complete_pyramid_flow(const Config&, BenchOptions& o) {
  complete_clip(o, 640, 384, 121);
  if (o.text_tokens == 0) o.text_tokens = pyramid_flow_text_tokens;
}

std::unique_ptr<flow::Transformer> make_transformer(const Config& config, const Weights& weights, DType dtype) {
  return flow::Transformer::make(config, weights, dtype);
}

flow::TransformerSizes sizes_of(const Config& config) {
  return make_transformer(config, Weights(std::make_shared<checkpoint::ManifestSource>()), DType::f32)->sizes();
}

//! What the denoiser sees in the last stage of a clip's last frame of latents: the clean ones before, and the noise.
std::vector<Tensor> clips_of(const LatentGrid& grid, int64_t channels) {
  Generator noise(bench_seed);
  std::vector<Tensor> clips;
  if (grid.frames > 1)
    clips = pipelines::pyramid_flow::history_of(noise.randn({channels, grid.frames - 1, grid.height, grid.width}),
                                                stages - 1, stages);
  clips.push_back(noise.randn({channels, 1, grid.height, grid.width}));
  return clips;
}

flow::Sequence sequence_of(const std::vector<Tensor>& clips, int64_t patch, int64_t text_tokens) {
  std::vector<flow::ClipSize> sizes;
  for (const Tensor& clip : clips) sizes.push_back({clip.dim(1), clip.dim(2) / patch, clip.dim(3) / patch});
  return flow::Sequence(text_tokens, sizes);
}

//! Fewer layers, of both kinds in proportion where there are two.
Config shortened(const Config& config, const flow::TransformerSizes& whole, int64_t layers) {
  const int64_t all = whole.joint_blocks + whole.single_blocks;
  if (whole.single_blocks == 0 || layers == all) return with(config, joint_key, layers - whole.single_blocks);
  const int64_t joint = std::clamp<int64_t>((layers * whole.joint_blocks + all / 2) / all, 1, layers - 1);
  return with(with(config, joint_key, joint), single_key, layers - joint);
}

Subject pyramid_flow_transformer(const Manifest& m, const BenchOptions& o) {
  const Config given = with(m.config, "_class_name", m.class_name);
  const flow::TransformerSizes whole = sizes_of(given);
  const int64_t all_layers = whole.joint_blocks + whole.single_blocks, layers = layers_to_measure(m, o, all_layers);
  const Config config = shortened(given, whole, layers);
  const LatentGrid grid = latent_grid(o, pyramid_flow_spatial_ratio, pyramid_flow_temporal_ratio,
                                      pyramid_flow_spatial_ratio * (int64_t{1} << (stages - 1)) * whole.patch_size);
  const auto clips = clips_of(grid, whole.latent_channels);
  const flow::Sequence sequence = sequence_of(clips, whole.patch_size, o.text_tokens);
  const bool text_ends = m.class_name == mmdit_class;

  Subject s = denoiser_subject(
      fmt::format("one pass of the last stage of the last of {} units, with all of their history, for one clip of {}",
                  grid.frames, clip_text(o)),
      sequence.tokens() - o.text_tokens, o.text_tokens, layers, all_layers);
  s.whole = operations(whole, text_ends, sequence);
  s.part = operations(sizes_of(config), text_ends, sequence);
  s.packed = parameters([&](const Weights& w) { make_transformer(config, w, o.dtype); });
  s.build = [=, dtype = o.dtype, text_tokens = o.text_tokens]() -> Feed {
    const std::shared_ptr<const flow::Transformer> network = make_transformer(config, random_weights(), dtype);
    const auto noise = std::make_shared<Generator>(bench_seed);
    const Tensor text = noise->randn({text_tokens, whole.text_channels});
    const Tensor pooled = noise->randn({whole.pooled_channels});
    return [=](bool smallest) -> Pass {
      const auto inputs = smallest ? clips_of({1, whole.patch_size, whole.patch_size}, whole.latent_channels) : clips;
      return [=](const std::function<void()>& on_layer) {
        return (*network)(inputs, text, pooled, some_timestep, on_layer);
      };
    };
  };
  return s;
}

Subject pyramid_flow_vae(const Manifest& m, const BenchOptions& o) {
  const auto c = flow::VaeConfig::from(m.config);
  const LatentGrid grid = latent_grid(o, c.spatial_factor(), c.temporal_factor(), c.spatial_factor());
  return decoding<flow::Vae>(m, o, grid,
                             [](auto& network, const auto& latents, const auto& emit, const auto& on_frame) {
                               network.begin_decoding();
                               for (int64_t t = 0; t < latents.dim(1); ++t) {
                                 network.decode_next(pipelines::pyramid_flow::frames_of(latents, t, t + 1), emit);
                                 on_frame();
                               }
                               network.end_decoding();
                             });
}

}  // namespace

Family pyramid_flow_family() {
  Family family{{{"PyramidFluxTransformer", "transformer", complete_pyramid_flow, pyramid_flow_transformer},
                 {mmdit_class, "transformer", complete_pyramid_flow, pyramid_flow_transformer},
                 {"CausalVideoVAE", "vae", complete_pyramid_flow, pyramid_flow_vae}}};
  family.steps_differ = true;
  return family;
}

}  // namespace prax::app
