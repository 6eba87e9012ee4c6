#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/human.h"
#include "base/paths.h"
#include "bench_models.h"
#include "commands.h"
#include "kernels/isa.h"
#include "kernels/roofline.h"
#include "output.h"
#include "pipelines/compute_dtype.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace {

using nlohmann::json;

constexpr double tera = 1e12, giga = 1e9;

struct BenchFlags {
  std::string synthetic, config, model, component = "all", size, dtype, against;
  BenchOptions bench;
  int threads = 0;
  bool roofline = false, json = false;
};

void parse_size(const std::string& text, BenchOptions& o) {
  if (text.empty()) return;
  int used = 0;
  if (std::sscanf(text.c_str(), "%dx%d%n", &o.width, &o.height, &used) != 2 ||
      static_cast<size_t>(used) != text.size() || o.width < 1 || o.height < 1)
    throw Error(ErrorKind::usage, "\"" + text + "\" is no size", "write width and height like 768x512");
}

std::string_view name_of(kernels::Arithmetic a) {
  switch (a) {
    case kernels::Arithmetic::f32:
      return "f32";
    case kernels::Arithmetic::bf16:
      return "bf16";
    case kernels::Arithmetic::int8:
      return "int8";
  }
  return "f32";
}

//! The keys that every line has.
json machine() {
  return {{"isa", kernels::name_of(kernels::isa())}, {"threads", thread_count()}, {"cpu", kernels::cpu_name()}};
}

void print_roofline(DType dtype, bool as_json) {
  const auto start = std::chrono::steady_clock::now();
  std::map<kernels::Arithmetic, double> peaks;
  for (const auto a : {kernels::Arithmetic::f32, kernels::Arithmetic::bf16, kernels::Arithmetic::int8})
    peaks[a] = kernels::register_peak(a);
  const double bandwidth = kernels::memory_bandwidth();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  if (as_json) {
    json line = machine();
    line.update({{"component", "roofline"},
                 {"seconds", took.count()},
                 {"tflops", peaks[kernels::arithmetic_of(dtype)] / tera},
                 {"peak_share", 1.0},
                 {"peak_bytes", 0},
                 {"bandwidth", bandwidth}});
    for (const auto& [a, peak] : peaks) line[fmt::format("peak_{}", name_of(a))] = peak;
    return print_json(line);
  }
  fmt::print("{:<16} register peak of all threads: ", "roofline");
  for (const auto& [a, peak] : peaks)
    fmt::print(
        "{}{} {}", a == kernels::Arithmetic::f32 ? "" : ", ", name_of(a),
        peak > 0 ? fmt::format("{:.3f} {}", peak / tera, a == kernels::Arithmetic::int8 ? "TOPS" : "TFLOPS") : "none");
  fmt::print("; memory {:.1f} GB/s\n", bandwidth / giga);
  std::fflush(stdout);
}

void print_measurement(const Measurement& m, DType dtype, double peak, bool as_json) {
  const double speed = m.operations / m.seconds;
  if (as_json) {
    json line = machine();
    line.update({{"component", m.component},
                 {"seconds", m.seconds},
                 {"tflops", m.operations > 0 ? json(speed / tera) : json()},
                 {"peak_share", m.operations > 0 ? json(speed / peak) : json()},
                 {"peak_bytes", m.peak_bytes},
                 {"peak_tensor_bytes", m.peak_tensor_bytes},
                 {"median_seconds", m.median},
                 {"runs", m.runs},
                 {"operations", m.operations},
                 {"dtype", name_of(dtype)},
                 {"model", m.model},
                 {"what", m.what},
                 {"extrapolated", !m.extrapolated.empty()}});
    if (m.difference) line.update({{"cosine", m.difference->cosine}, {"relative", m.difference->relative}});
    if (m.tokens > 0) line["tokens"] = m.tokens;
    if (m.text_tokens > 0) line["text_tokens"] = m.text_tokens;
    if (m.all_layers > 0) line.update({{"layers", m.layers}, {"all_layers", m.all_layers}});
    return print_json(line);
  }
  fmt::print("{:<16} {:>8.3f} s", m.component, m.seconds);
  if (m.operations > 0) fmt::print("   {:.3f} TFLOPS, {:.1f} % of the register peak", speed / tera, 100 * speed / peak);
  if (m.peak_bytes > 0) fmt::print("   memory {}", human_bytes(m.peak_bytes));
  if (m.runs > 0) fmt::print("   best of {} (median {:.3f} s)", m.runs, m.median);
  fmt::print("\n{:<16} {}: {}\n", "", m.model, m.what);
  if (!m.extrapolated.empty()) fmt::print("{:<16} extrapolated {}\n", "", m.extrapolated);
  if (m.difference)
    fmt::print("{:<16} against the other arithmetic: cosine {:.5f}, largest difference {:.4f} of the largest value\n",
               "", m.difference->cosine, m.difference->relative);
  std::fflush(stdout);
}

//! A clip's time from those of its parts.
std::optional<Measurement> estimated_clip(const std::vector<Measurement>& parts, int64_t steps,
                                          const std::string& model) {
  Measurement clip;
  clip.component = "clip";
  clip.model = model;
  clip.what = fmt::format("two prompts, {} steps of two passes (guidance) and decoding", steps);
  clip.extrapolated = "from the parts above";
  std::map<std::string, double> times{
      {"text_encoder", 2.0}, {"transformer", 2.0 * static_cast<double>(steps)}, {"vae", 1.0}};
  for (const Measurement& m : parts) {
    const auto it = times.find(m.component);
    if (it == times.end()) continue;
    clip.seconds += it->second * m.seconds;
    clip.median += it->second * m.median;
    clip.operations += it->second * m.operations;
    clip.peak_bytes = std::max(clip.peak_bytes, m.peak_bytes);
    clip.peak_tensor_bytes = std::max(clip.peak_tensor_bytes, m.peak_tensor_bytes);
    times.erase(it);
  }
  if (!times.empty()) return {};
  return clip;
}

void bench(const BenchFlags& given) {
  const int models = !given.synthetic.empty() + !given.config.empty() + !given.model.empty();
  if (models > 1)
    throw Error(ErrorKind::usage, "--synthetic, --config and --model say different things to measure",
                "give one of them");
  if (models == 0 || !given.model.empty()) {
    if (given.bench.layers || given.bench.latent_frames)
      throw Error(ErrorKind::usage, "a model folder is measured whole",
                  "use --layers and --latent-frames with --synthetic or --config");
    if (!given.against.empty())
      throw Error(ErrorKind::usage, "--against compares what single networks give",
                  "use it with --synthetic or --config; prax verify checks a model folder");
  }
  BenchOptions o = given.bench;
  const std::filesystem::path folder =
      models == 0 || !given.model.empty() ? resolve_model(given.model.empty() ? "nano" : given.model) : "";
  o.dtype = folder.empty() ? pipelines::compute_dtype(given.dtype.empty() ? "bf16" : given.dtype)
                           : pipelines::compute_dtype(given.dtype, folder);
  o.cancel = &signal_token();
  if (!given.against.empty()) o.against = pipelines::compute_dtype(given.against);
  parse_size(given.size, o);
  if (given.threads > 0) set_thread_count(given.threads);

  std::vector<Manifest> manifests;
  if (!given.synthetic.empty()) manifests = find_manifests(given.synthetic);
  if (!given.config.empty()) manifests = read_manifests(given.config);
  o = completed(manifests, o);
  const auto wanted = [&](const std::string& component) {
    return given.component == "all" || given.component == component;
  };
  std::erase_if(manifests, [&](const Manifest& m) { return !wanted(component_of(m)) && given.component != "all"; });
  if (models > 0 && given.model.empty() && manifests.empty())
    throw Error(ErrorKind::usage, "the model has no " + given.component, "choose another --component, or all");

  if (!given.json)
    fmt::print("{}, {}, {} thread{}, {}\n", kernels::cpu_name(), kernels::name_of(kernels::isa()), thread_count(),
               thread_count() == 1 ? "" : "s", pipelines::name_of_compute(o.dtype));
  if (given.roofline) {
    print_roofline(o.dtype, given.json);
    if (models == 0) return;
  }
  // Measured when the first result is there: what cannot be measured is refused at once.
  std::optional<double> peak;
  const auto print = [&](const Measurement& m) {
    if (!peak) {
      const kernels::Arithmetic arithmetic = kernels::arithmetic_of(o.dtype);
      peak = kernels::register_peak(arithmetic);
      if (!given.json)
        fmt::print("{:<16} {:.3f} TFLOPS is the register peak of {}\n", "", *peak / tera, name_of(arithmetic));
    }
    print_measurement(m, o.dtype, *peak, given.json);
  };
  if (manifests.empty()) {
    for (const Measurement& m : bench_folder(folder, o))
      if (wanted(m.component)) print(m);
    return;
  }
  std::vector<Measurement> parts;
  for (const Manifest& m : manifests) {
    parts.push_back(bench_component(m, o));
    print(parts.back());
  }
  if (o.steps > 0)
    if (const auto clip = estimated_clip(parts, o.steps, given.synthetic.empty() ? given.config : given.synthetic))
      print(*clip);
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
  auto o = std::make_shared<BenchFlags>();
  CLI::App* command = app.add_subcommand("bench", "Measure how fast this machine runs a model");
  command->add_option("--synthetic", o->synthetic,
                      "A published model with random weights of its real shapes: ltx-video-2b, cogvideox-5b, "
                      "mochi-1-preview, t5-v1.1-xxl ... (default: the embedded model, end to end)");
  command->add_option("--config", o->config, "A manifest or a component's config.json, with random weights");
  command->add_option("--model", o->model, "A model folder, end to end");
  command->add_option("--component", o->component, "What of it")
      ->check(CLI::IsMember({"transformer", "vae", "text_encoder", "latent_upsampler", "all"}))
      ->capture_default_str();
  command->add_option("--size", o->size, "Width and height in pixels (default: what the model was made for)");
  command->add_option("--frames", o->bench.frames, "Frames of the clip (default: likewise)")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--tokens", o->bench.text_tokens, "Tokens of the prompt (default: likewise)")
      ->check(CLI::Range(1, 4096));
  command->add_option("--layers", o->bench.layers, "Measure so many layers and extrapolate to all")
      ->check(CLI::Range(1, 100000));
  command
      ->add_option("--latent-frames", o->bench.latent_frames,
                   "Decode so many latent frames and extrapolate to the clip")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--steps", o->bench.steps, "Steps of a whole clip, whose time is then told too")
      ->check(CLI::Range(1, 100000));
  command->add_option("--dtype", o->dtype,
                      "Arithmetic: f32, bf16 or int8 (default: int8 for a quantized folder, else bf16)");
  command->add_option("--against", o->against, "Compare what comes out with that of another arithmetic, f32 say");
  command->add_option("--threads", o->threads, "Threads to use")->check(CLI::Range(1, 1024));
  command->add_option("--repeat", o->bench.repeat, "Runs after the warm-up (default 3, fewer when they take long)")
      ->check(CLI::Range(1, 1000));
  command->add_flag("--roofline", o->roofline, "Measure what the machine could do at best, too");
  command->add_flag("--json", o->json, "One JSON object a line");
  command->callback([o, &exit_code] {
    bench(*o);
    exit_code = exit_done;
  });
}

}  // namespace prax::app
