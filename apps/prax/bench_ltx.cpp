#include <fmt/format.h>

#include "bench_family.h"
#include "tensor/random.h"

namespace prax::app {

namespace {

using checkpoint::Config;
using nlohmann::json;
namespace ltx = models::ltx;

constexpr int64_t ltx_text_tokens = 128;
constexpr float decode_timestep = 0.05f;
constexpr double frame_rate = 25;

void complete_ltx(const Config&, BenchOptions& o) {
  complete_clip(o, 768, 512, 121);
  if (o.text_tokens == 0) o.text_tokens = ltx_text_tokens;
}

LatentGrid grid_of(const BenchOptions& o, const ltx::VaeConfig& vae) {
  return latent_grid(o, vae.spatial_compression_ratio, vae.temporal_compression_ratio, vae.spatial_compression_ratio);
}

//! That of the published models, which is the class's own.
ltx::VaeConfig usual_vae() {
  return ltx::VaeConfig::from(Config(json::object(), "the defaults of AutoencoderKLLTXVideo"));
}

Subject ltx_transformer(const Manifest& m, const BenchOptions& o) {
  const auto c = ltx::TransformerConfig::from(m.config);
  const ltx::VaeConfig vae = usual_vae();
  const LatentGrid grid = grid_of(o, vae);
  const int64_t text_tokens = o.text_tokens;
  return one_pass<ltx::Transformer>(m, o, grid.pixels(), [=](const auto& network) -> Feed {
    const auto noise = std::make_shared<Generator>(bench_seed);
    const Tensor text = noise->randn({text_tokens, c.caption_channels});
    return [=](bool smallest) -> Pass {
      const LatentGrid g = smallest ? LatentGrid{1, 1, 1} : grid;
      const auto pixels = static_cast<float>(vae.spatial_compression_ratio);
      const float scale[3] = {static_cast<float>(static_cast<double>(vae.temporal_compression_ratio) / frame_rate),
                              pixels, pixels};
      const ltx::Rotary rotary = network->rotary(g.frames, g.height, g.width, scale);
      const Tensor hidden = noise->randn({g.pixels(), c.in_channels});
      return [=](const std::function<void()>& on_layer) {
        const std::vector<int64_t> mask(static_cast<size_t>(text_tokens), 1);
        return (*network)(hidden, text, mask, std::span(&some_timestep, 1), rotary, on_layer);
      };
    };
  });
}

Subject ltx_vae(const Manifest& m, const BenchOptions& o) {
  return decoding<ltx::Vae>(m, o, grid_of(o, ltx::VaeConfig::from(m.config)),
                            [](auto& network, const auto& latents, const auto& emit, const auto& on_frame) {
                              Generator injected(bench_seed);
                              network.decode(latents, decode_timestep, injected, emit,
                                             [&](int64_t, int64_t) { on_frame(); });
                            });
}

Subject ltx_latent_upsampler(const Manifest& m, const BenchOptions& o) {
  const auto config = ltx::LatentUpsamplerConfig::from(m.config);
  const LatentGrid grid = grid_of(o, usual_vae());
  Subject s;
  s.what = fmt::format("enlarging the latents of one clip of {}", clip_text(o));
  s.whole = s.part = operations(config, grid.frames, grid.height, grid.width);
  s.build = [=, values = m.config, dtype = o.dtype]() -> Feed {
    const auto network = std::make_shared<ltx::LatentUpsampler>(values, random_weights(), dtype);
    return [=](bool smallest) -> Pass {
      const LatentGrid g = smallest ? LatentGrid{1, 1, 1} : grid;
      const Tensor latents = Generator(bench_seed).randn({1, config.in_channels, g.frames, g.height, g.width});
      return [=](const std::function<void()>&) { return (*network)(latents); };
    };
  };
  return s;
}

RunOperations ltx_run_operations(const checkpoint::Folder& folder, const pipelines::Run& run) {
  const json& a = run.request.arguments;
  if (!folder.find("vae") || !folder.find("text_encoder") || !a.contains("max_sequence_length") ||
      !a.contains("guidance_scale"))
    return {};
  const int64_t length = a["max_sequence_length"].get<int64_t>(), clips = run.latents.dim(0);
  const int branches = a["guidance_scale"].get<double>() > 1.0 ? 2 : 1;
  const auto decoder = ltx::VaeConfig::from(folder.config("vae"));
  RunOperations o;
  o.text = branches * operations(models::T5Config::from(folder.config("text_encoder")), length).all();
  o.step = static_cast<double>(branches * clips) *
           operations(ltx::TransformerConfig::from(folder.config("transformer")), run.latents.dim(1), length).all();
  o.decode = operations(decoder, (run.format.frames - 1) / decoder.temporal_compression_ratio + 1,
                        run.format.height / decoder.spatial_compression_ratio,
                        run.format.width / decoder.spatial_compression_ratio)
                 .all();
  return o;
}

}  // namespace

Family ltx_family() {
  return {{{"LTXVideoTransformer3DModel", "transformer", complete_ltx, ltx_transformer},
           {"AutoencoderKLLTXVideo", "vae", complete_ltx, ltx_vae},
           {"LTXLatentUpsamplerModel", "latent_upsampler", complete_ltx, ltx_latent_upsampler}},
          ltx_run_operations};
}

}  // namespace prax::app
