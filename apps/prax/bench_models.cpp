#include "bench_models.h"

#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/human.h"
#include "bench_run.h"
#include "checkpoint/folder.h"
#include "checkpoint/weights.h"
#include "operations.h"
#include "pipelines/pipeline.h"
#include "tensor/memory.h"

namespace prax::app {

namespace {

using checkpoint::Config;
using checkpoint::SyntheticSource;
using checkpoint::Weights;
using nlohmann::json;

constexpr int default_width = 768, default_height = 512;
constexpr int64_t default_frames = 121, default_text_tokens = 128;
constexpr int64_t least_layers = 2;
constexpr uint64_t seed = 1;
constexpr float some_timestep = 500.0f, decode_timestep = 0.05f;
constexpr double frame_rate = 25;

constexpr const char* transformer_class = "LTXVideoTransformer3DModel";
constexpr const char* vae_class = "AutoencoderKLLTXVideo";
constexpr const char* text_class = "T5EncoderModel";

BenchOptions with_defaults(BenchOptions o) {
  if (o.width == 0) o.width = default_width;
  if (o.height == 0) o.height = default_height;
  if (o.frames == 0) o.frames = default_frames;
  if (o.text_tokens == 0) o.text_tokens = default_text_tokens;
  return o;
}

struct Grid {
  int64_t frames, height, width;
  int64_t tokens() const { return frames * height * width; }
};

Grid latent_grid(const BenchOptions& o, const models::ltx::VaeConfig& vae) {
  const int64_t spatial = vae.spatial_compression_ratio, temporal = vae.temporal_compression_ratio;
  if (o.width % spatial || o.height % spatial)
    throw Error(ErrorKind::usage, fmt::format("the size {}x{} is not one that the model makes", o.width, o.height),
                fmt::format("width and height must be multiples of {}", spatial));
  if ((o.frames - 1) % temporal)
    throw Error(ErrorKind::usage, fmt::format("the model makes no clips of {} frames", o.frames),
                fmt::format("the number of frames must be a multiple of {} and one more", temporal));
  return {(o.frames - 1) / temporal + 1, o.height / spatial, o.width / spatial};
}

std::string clip_text(const BenchOptions& o) { return fmt::format("{} frames of {}x{}", o.frames, o.width, o.height); }

void require_finite(const Tensor& t, const std::string& model) {
  for (float v : t.span<float>())
    if (!std::isfinite(v))
      throw Error(ErrorKind::internal, model + " gave a number that is not finite",
                  "please report it with the command");
}

//! The configuration with fewer layers when that is asked for.
Config shortened(const Manifest& m, const BenchOptions& o, int64_t all_layers) {
  if (o.layers == 0 || o.layers == all_layers) return m.config;
  if (o.layers < least_layers || o.layers > all_layers)
    throw Error(ErrorKind::usage, fmt::format("{} cannot be measured with {} layers", m.name, o.layers),
                fmt::format("use {} to {}", least_layers, all_layers));
  json values = m.config.values();
  values["num_layers"] = o.layers;
  return Config(values, m.config.origin());
}

//! Elements of the tensors that a model reads, those whose names begin with `prefix`.
template <typename Model>
uint64_t parameters(const Config& config, const std::string& prefix = {}) {
  auto source = std::make_shared<checkpoint::ManifestSource>();
  Model(config, Weights(source), DType::bf16);
  uint64_t sum = 0;
  for (const auto& [name, shape] : source->requested())
    if (name.starts_with(prefix)) sum += static_cast<uint64_t>(element_count(shape));
  return sum;
}

//! Counts the ends of layers, and how long one takes: from the end of the first to that of the last.
class Laps {
public:
  void lap() {
    if (count_++ == 0) {
      first_ = watch_.seconds();
    } else {
      last_ = watch_.seconds();
    }
  }
  //! What all layers would take, after `measured` seconds for those that there were.
  double extrapolated(double measured, int64_t all_layers) const {
    if (count_ == all_layers || count_ < least_layers) return measured;
    return measured + (last_ - first_) / static_cast<double>(count_ - 1) * static_cast<double>(all_layers - count_);
  }

private:
  Stopwatch watch_;
  int64_t count_ = 0;
  double first_ = 0, last_ = 0;
};

void note_layers(Measurement& r, int64_t layers, int64_t all_layers) {
  r.layers = layers;
  r.all_layers = all_layers;
  if (layers < all_layers)
    r.extrapolated = fmt::format("linearly from {} of {} layers (memory is that of {})", layers, all_layers, layers);
}

void finish(Measurement& r, const Times& times, MemoryWatch& watch) {
  r.seconds = times.best();
  r.median = times.median();
  r.runs = static_cast<int64_t>(times.seconds.size());
  r.peak_bytes = watch.anonymous();
  r.peak_tensor_bytes = watch.tensors();
}

Measurement bench_transformer(const Manifest& m, const BenchOptions& o) {
  using models::ltx::Transformer;
  const auto whole = models::ltx::TransformerConfig::from(m.config);
  const Config config = shortened(m, o, whole.num_layers);
  const uint64_t weights = parameters<Transformer>(config);
  require_memory(weights * size_of(o.dtype), m.name, "measure it in parts: --layers 4");
  const auto vae = models::ltx::VaeConfig::from(Config(json::object(), "the defaults of " + std::string(vae_class)));
  const Grid grid = latent_grid(o, vae);

  Measurement r;
  r.component = "transformer";
  r.model = m.name;
  r.what = fmt::format("one pass for one clip of {} ({} tokens, {} of text); guidance makes it two passes a step",
                       clip_text(o), grid.tokens(), o.text_tokens);
  r.operations = operations(whole, grid.tokens(), o.text_tokens);
  MemoryWatch watch;
  const Transformer transformer(config, Weights(std::make_shared<SyntheticSource>()), o.dtype);
  note_layers(r, transformer.config().num_layers, whole.num_layers);
  Generator noise(seed);
  const Tensor text = noise.randn({o.text_tokens, whole.caption_channels});
  const std::vector<int64_t> mask(static_cast<size_t>(o.text_tokens), 1);
  const float scale[3] = {static_cast<float>(static_cast<double>(vae.temporal_compression_ratio) / frame_rate),
                          static_cast<float>(vae.spatial_compression_ratio),
                          static_cast<float>(vae.spatial_compression_ratio)};
  const auto pass = [&](const Grid& g) {
    const auto rotary = transformer.rotary(g.frames, g.height, g.width, scale);
    const Tensor hidden = noise.randn({g.tokens(), whole.in_channels});
    Laps laps;
    const Stopwatch time;
    const Tensor out = transformer(hidden, text, mask, std::span(&some_timestep, 1), rotary, [&] {
      laps.lap();
      if (o.cancel) o.cancel->check();
    });
    const double seconds = time.seconds();
    require_finite(out, m.name);
    return laps.extrapolated(seconds, whole.num_layers);
  };
  pass({1, 1, 1});  // packs the weights
  finish(r, repeated(o.repeat, [&] { return pass(grid); }), watch);
  return r;
}

Measurement bench_text_encoder(const Manifest& m, const BenchOptions& o) {
  const auto whole = models::T5Config::from(m.config);
  const Config config = shortened(m, o, whole.num_layers);
  Measurement r;
  r.component = "text_encoder";
  r.model = m.name;
  r.what = fmt::format("one prompt of {} tokens, weights streamed from the file", o.text_tokens);
  r.operations = operations(whole, o.text_tokens);
  MemoryWatch watch;
  const models::T5Encoder encoder(config, Weights(std::make_shared<SyntheticSource>()), o.dtype);
  note_layers(r, encoder.config().num_layers, whole.num_layers);
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < o.text_tokens; ++i) ids.push_back(i * 7919 % whole.vocab_size);
  const auto encode = [&] {
    Laps laps;
    const Stopwatch time;
    const Tensor out = encoder({ids}, [&](int64_t, int64_t) {
      laps.lap();
      if (o.cancel) o.cancel->check();
    });
    const double seconds = time.seconds();
    require_finite(out, m.name);
    return laps.extrapolated(seconds, whole.num_layers);
  };
  encode();  // touches every page of the weights
  finish(r, repeated(o.repeat, encode), watch);
  return r;
}

Measurement bench_vae(const Manifest& m, const BenchOptions& o) {
  using models::ltx::Vae;
  const auto config = models::ltx::VaeConfig::from(m.config);
  require_memory(parameters<Vae>(m.config, "decoder.") * size_of(o.dtype), m.name + " (its decoder)",
                 "use --dtype bf16, or close other programs");
  const Grid grid = latent_grid(o, config);
  const int64_t decoded = o.latent_frames == 0 ? grid.frames : o.latent_frames;
  if (decoded > grid.frames)
    throw Error(ErrorKind::usage, fmt::format("the clip has only {} latent frames", grid.frames),
                "use fewer --latent-frames or more --frames");
  Measurement r;
  r.component = "vae";
  r.model = m.name;
  r.what = fmt::format("decoding one clip of {} ({} latent frames)", clip_text(o), grid.frames);
  r.operations = operations(config, grid.frames, grid.height, grid.width);
  const double share = operations(config, decoded, grid.height, grid.width) / r.operations;
  if (decoded < grid.frames)
    r.extrapolated = fmt::format("by operations from {} of {} latent frames", decoded, grid.frames);
  MemoryWatch watch;
  Vae vae(m.config, Weights(std::make_shared<SyntheticSource>()), o.dtype);
  Generator noise(seed);
  const auto decode = [&](const Grid& g) {
    const Tensor latents = noise.randn({config.latent_channels, g.frames, g.height, g.width});
    Generator injected(seed);
    const Stopwatch time;
    vae.decode(
        latents, decode_timestep, injected, [](const Tensor&) {},
        [&](int64_t, int64_t) {
          if (o.cancel) o.cancel->check();
        });
    return time.seconds();
  };
  decode({1, 1, 1});  // packs the weights
  finish(r, repeated(o.repeat, [&] { return decode({decoded, grid.height, grid.width}) / share; }), watch);
  return r;
}

//! Drops the frames.
class NoSink : public media::FrameSink {
public:
  void begin(const media::VideoFormat&) override {}
  void frame(std::span<const float>) override {}
  void finish() override {}
};

//! Operations of the parts of a run, where the classes of the folder's components are known.
struct RunOperations {
  double text = 0, step = 0, decode = 0;
};

RunOperations run_operations(const checkpoint::Folder& folder, const pipelines::Run& run) {
  const auto* transformer = folder.find("transformer");
  const auto* vae = folder.find("vae");
  const auto* text = folder.find("text_encoder");
  const json& a = run.request.arguments;
  if (!transformer || transformer->class_name != transformer_class || !vae || vae->class_name != vae_class || !text ||
      text->class_name != text_class || !a.contains("max_sequence_length") || !a.contains("guidance_scale"))
    return {};
  const int64_t length = a["max_sequence_length"].get<int64_t>(), clips = run.latents.dim(0);
  const int branches = a["guidance_scale"].get<double>() > 1.0 ? 2 : 1;
  const auto decoder = models::ltx::VaeConfig::from(folder.config("vae"));
  RunOperations o;
  o.text = branches * operations(models::T5Config::from(folder.config("text_encoder")), length);
  o.step = static_cast<double>(branches * clips) *
           operations(models::ltx::TransformerConfig::from(folder.config("transformer")), run.latents.dim(1), length);
  o.decode = operations(decoder, (run.format.frames - 1) / decoder.temporal_compression_ratio + 1,
                        run.format.height / decoder.spatial_compression_ratio,
                        run.format.width / decoder.spatial_compression_ratio);
  return o;
}

}  // namespace

std::string component_of(const Manifest& m) {
  if (m.class_name == transformer_class) return "transformer";
  if (m.class_name == vae_class) return "vae";
  if (m.class_name == text_class) return "text_encoder";
  return {};
}

Measurement bench_component(const Manifest& m, const BenchOptions& given) {
  const BenchOptions o = with_defaults(given);
  const std::string component = component_of(m);
  if (component == "transformer") return bench_transformer(m, o);
  if (component == "vae") return bench_vae(m, o);
  if (component == "text_encoder") return bench_text_encoder(m, o);
  throw Error(ErrorKind::usage, m.name + " is a " + m.class_name + ", which this version of prax cannot measure",
              fmt::format("it measures {}, {} and {}", transformer_class, vae_class, text_class));
}

std::vector<Measurement> bench_folder(const std::filesystem::path& path, const BenchOptions& o) {
  const auto folder = checkpoint::Folder::open(path);
  MemoryWatch watch;
  pipelines::LoadOptions load;
  load.dtype = o.dtype;
  const auto pipeline = pipelines::load(path, load);
  pipelines::Request request;
  request.prompt = "a red balloon rises over the sea at sunset";
  request.seed = seed;
  if (o.width) request.arguments["width"] = o.width;
  if (o.height) request.arguments["height"] = o.height;
  if (o.frames) request.arguments["num_frames"] = o.frames;
  if (o.text_tokens) request.arguments["max_sequence_length"] = o.text_tokens;
  if (o.steps) request.arguments["num_inference_steps"] = o.steps;

  Times text, step, decode;
  pipelines::Run run;
  const auto clip = [&] {
    const Stopwatch all;
    run = pipeline->begin(request);
    double denoising = NAN, last = NAN;
    pipelines::Monitor monitor;
    monitor.cancel = o.cancel;
    Times steps;
    monitor.progress = [&](const Progress& p) {
      if (p.stage != "denoise") return;
      const double now = all.seconds();
      if (p.step == 0) denoising = now;
      if (p.step > 0) steps.seconds.push_back(now - last);
      last = now;
    };
    pipeline->denoise(run, monitor);
    const double decoding = all.seconds();
    NoSink sink;
    pipeline->decode(run, 0, sink, monitor);
    const double end = all.seconds();
    text.seconds.push_back(denoising);
    // The first step packs the weights.
    if (steps.seconds.size() > 1) steps.seconds.erase(steps.seconds.begin());
    step.seconds.insert(step.seconds.end(), steps.seconds.begin(), steps.seconds.end());
    decode.seconds.push_back(end - decoding);
    return end;
  };
  clip();  // reads the weights from the disk
  text = step = decode = {};
  const Times whole = repeated(o.repeat, clip);

  const RunOperations count = run_operations(folder, run);
  const std::string size = fmt::format("{} frames of {}x{}", run.format.frames, run.format.width, run.format.height);
  const auto part = [&](const std::string& component, const std::string& what, const Times& times, double operations) {
    Measurement r;
    r.component = component;
    r.model = path.filename().string();
    r.what = what;
    r.operations = operations;
    finish(r, times, watch);
    return r;
  };
  return {
      part("text_encoder", "all prompts of a run", text, count.text),
      part("transformer", "one denoising step of " + size + ", all its passes (guidance takes two)", step, count.step),
      part("vae", "decoding " + size, decode, count.decode),
      part("clip", fmt::format("{} in {} steps, from prompt to pixels", size, run.steps), whole,
           count.text + static_cast<double>(run.steps) * count.step + count.decode)};
}

}  // namespace prax::app
