#include "bench_family.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "tensor/random.h"

namespace prax::app {

namespace {

constexpr int64_t least_layers = 2;

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> all{ltx_family(), cogvideox_family(), mochi_family(), pyramid_flow_family(),
                                       text_family()};
  return all;
}

void finish(Measurement& r, const Times& times, MemoryWatch& watch) {
  r.seconds = times.best();
  r.median = times.median();
  r.runs = static_cast<int64_t>(times.seconds.size());
  r.peak_bytes = watch.anonymous();
  r.peak_tensor_bytes = watch.tensors();
}

LatentGrid latent_grid(const BenchOptions& o, int64_t spatial, int64_t temporal, int64_t multiple) {
  if (o.width % multiple || o.height % multiple)
    throw Error(ErrorKind::usage, fmt::format("the size {}x{} is not one that the model makes", o.width, o.height),
                fmt::format("width and height must be multiples of {}", multiple));
  if ((o.frames - 1) % temporal)
    throw Error(ErrorKind::usage, fmt::format("the model makes no clips of {} frames", o.frames),
                fmt::format("the number of frames must be a multiple of {} and one more", temporal));
  return {(o.frames - 1) / temporal + 1, o.height / spatial, o.width / spatial};
}

void complete_clip(BenchOptions& o, int width, int height, int64_t frames) {
  if (o.width == 0) o.width = width;
  if (o.height == 0) o.height = height;
  if (o.frames == 0) o.frames = frames;
}

std::string clip_text(const BenchOptions& o) { return fmt::format("{} frames of {}x{}", o.frames, o.width, o.height); }

int64_t layers_to_measure(const Manifest& m, const BenchOptions& o, int64_t all) {
  if (o.layers == 0 || o.layers == all) return all;
  if (o.layers < least_layers || o.layers > all)
    throw Error(ErrorKind::usage, fmt::format("{} cannot be measured with {} layers", m.name, o.layers),
                fmt::format("use {} to {}", least_layers, all));
  return o.layers;
}

checkpoint::Config with(const checkpoint::Config& config, const char* key, const nlohmann::json& value) {
  nlohmann::json values = config.values();
  values[key] = value;
  return checkpoint::Config(values, config.origin());
}

uint64_t parameters(const std::function<void(const checkpoint::Weights&)>& make,
                    const std::vector<std::string>& prefixes) {
  const auto source = std::make_shared<checkpoint::ManifestSource>();
  make(checkpoint::Weights(source));
  uint64_t sum = 0;
  for (const auto& [name, shape] : source->requested())
    if (std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& prefix) { return name.starts_with(prefix); }))
      sum += static_cast<uint64_t>(element_count(shape));
  return sum;
}

checkpoint::Weights random_weights() { return checkpoint::Weights(std::make_shared<checkpoint::SyntheticSource>()); }

Subject denoiser_subject(const std::string& what, int64_t tokens, int64_t text_tokens, int64_t layers,
                         int64_t all_layers) {
  Subject s;
  s.what = fmt::format("{} ({} tokens, {} of text); guidance makes it two passes a step", what, tokens, text_tokens);
  s.tokens = tokens;
  s.text_tokens = text_tokens;
  s.measured = layers;
  s.all = all_layers;
  s.memory_hint = "measure it in parts: --layers 4";
  return s;
}

Subject decoder_subject(const BenchOptions& o, const Decoder& d) {
  LatentGrid decoded = d.grid;
  if (o.latent_frames > 0) decoded.frames = o.latent_frames;
  if (decoded.frames > d.grid.frames)
    throw Error(ErrorKind::usage, fmt::format("the clip has only {} latent frames", d.grid.frames),
                "use fewer --latent-frames or more --frames");
  Subject s;
  s.what = fmt::format("decoding one clip of {} ({} latent frames)", clip_text(o), d.grid.frames);
  s.parts = "latent frames";
  s.measured = decoded.frames;
  s.all = d.grid.frames;
  s.whole = d.operations(d.grid);
  s.part = d.operations(decoded);
  s.packed = d.parameters;
  s.memory_hint = "use --dtype bf16, or close other programs";
  s.build = [d, decoded]() -> Feed {
    const Decoder::Decode decode = d.build();
    return [d, decoded, decode](bool smallest) -> Pass {
      const LatentGrid grid = smallest ? LatentGrid{1, 1, 1} : decoded;
      const Tensor latents = Generator(bench_seed).randn({d.channels, grid.frames, grid.height, grid.width});
      return [decode, latents](const std::function<void()>& on_frame) {
        Tensor last;
        decode(
            latents, [&](const Tensor& picture) { last = picture; }, on_frame);
        return last;
      };
    };
  };
  return s;
}

}  // namespace prax::app
