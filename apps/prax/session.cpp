#include "session.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "base/paths.h"
#include "bench_run.h"
#include "interrupt_watch.h"
#include "media/image.h"
#include "media/output_file.h"
#include "media/writer.h"
#include "memory_limit.h"
#include "output.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"
#include "pipelines/memory_plan.h"
#include "render.h"
#include "signals.h"

namespace prax::app {

namespace fs = std::filesystem;

namespace {

//! How to go on from what was kept.
std::string way_on(const pipelines::RunKeeper& keeper, const SessionOptions& options) {
  const std::string file = shell_word(keeper.file().string());
  if (keeper.step() < keeper.steps())
    return "step " + std::to_string(keeper.step()) + " of " + std::to_string(keeper.steps()) +
           " is kept; go on with: prax generate --resume " + file;
  return "all steps are kept; make the file with: prax decode " + file + " -o " + shell_word(options.output.string());
}

//! --cache-prompts and its variables of the environment.
void put_prompt_cache(const SessionOptions& options, pipelines::LoadOptions& load) {
  const char* always = std::getenv("PRAX_CACHE_PROMPTS");
  if (!options.cache_prompts && !(always && std::string_view(always) == "1")) return;
  load.prompt_cache = cache_path() / "prompts";
  const char* most = std::getenv("PRAX_CACHE_PROMPTS_GB");
  if (!most || !*most) return;
  constexpr double gigabyte = 1e9, largest = 1e6;
  char* end = nullptr;
  const double gigabytes = std::strtod(most, &end);
  if (*end || !(gigabytes >= 0 && gigabytes <= largest))
    throw Error(ErrorKind::usage, std::string("PRAX_CACHE_PROMPTS_GB is '") + most + "', which is no size",
                "use a number of GB, like 1");
  load.prompt_cache_bytes = static_cast<uint64_t>(gigabytes * gigabyte);
}

}  // namespace

void remove_parts(const fs::path& output, int64_t clips) {
  constexpr int attempts = 4;
  for (int64_t i = 0; i < clips; ++i)
    for (int attempt = 0; attempt < attempts; ++attempt) {
      std::error_code ignored;
      fs::remove_all(media::part_name(pipelines::clip_path(output, i, clips), attempt), ignored);
    }
}

namespace {

pipelines::LoadOptions load_options(const SessionOptions& options) {
  pipelines::LoadOptions load;
  load.dtype = pipelines::compute_dtype(options.dtype);
  load.variant = options.variant;
  load.reference_class = options.reference_class;
  load.upscaler = options.upscaler;
  load.loras = options.loras;
  put_prompt_cache(options, load);
  load.packed_weights = options.packed_weights;
  return load;
}

}  // namespace

std::unique_ptr<pipelines::Pipeline> open_pipeline(const SessionOptions& options) {
  return pipelines::load(resolve_model(options.model), load_options(options));
}

void keep_within_memory(SessionOptions& options, pipelines::Request& request, bool may_quantize) {
  const uint64_t limit = memory_limit(options.memory);
  if (limit == 0) return;
  const auto plan = pipelines::plan_memory(
      resolve_model(options.model), load_options(options), request, limit, may_quantize,
      [&](const media::VideoFormat& format) { return writer_memory(options.output.string(), format); });
  request = plan.request;
  options.dtype = pipelines::name_of_compute(plan.load.dtype);
  options.packed_weights = plan.load.packed_weights;
  const uint64_t expected = plan.forecast.anonymous();
  if (options.json) {
    print_json({{"type", "memory_plan"},
                {"limit", limit},
                {"expected", expected},
                {"choice", plan.choice},
                {"dtype", options.dtype},
                {"packed_weights", options.packed_weights ? nlohmann::json(*options.packed_weights) : nlohmann::json()},
                {"arguments", request.arguments}});
  } else if (!options.quiet) {
    std::fprintf(stderr, "memory: %s of %s: %s\n", human_bytes(expected).c_str(), human_bytes(limit).c_str(),
                 plan.choice.c_str());
  }
}

pipelines::RunNotes notes_of(const SessionOptions& options) {
  nlohmann::json loras = nlohmann::json::array();
  for (const auto& lora : options.loras) loras.push_back({{"file", lora.path.string()}, {"weight", lora.weight}});
  return {{"output", fs::absolute(options.output).string()},
          {"dtype", options.dtype},
          {"variant", options.variant},
          {"quality", std::to_string(options.quality)},
          {"reference_class", options.reference_class},
          {"upscaler", options.upscaler.string()},
          {"packed_weights", options.packed_weights ? std::to_string(*options.packed_weights) : ""},
          {"loras", loras.dump()}};
}

void take_notes(const pipelines::RunNotes& notes, SessionOptions& options) {
  const auto note = [&](const char* key, const std::string& absent) {
    const auto it = notes.find(key);
    return it == notes.end() ? absent : it->second;
  };
  options.dtype = note("dtype", "bf16");
  options.variant = note("variant", "");
  options.quality = std::atoi(note("quality", "16").c_str());
  options.output = note("output", "video.mp4");
  options.reference_class = note("reference_class", "");
  options.upscaler = note("upscaler", "");
  options.packed_weights.reset();
  if (const std::string packed = note("packed_weights", ""); !packed.empty())
    options.packed_weights = std::strtoull(packed.c_str(), nullptr, 10);
  options.loras.clear();
  const auto loras = nlohmann::json::parse(note("loras", "[]"), nullptr, false);
  if (!loras.is_array()) throw Error(ErrorKind::input, "the run's list of LoRA files is broken", "begin it anew");
  for (const auto& lora : loras) options.loras.push_back({lora.value("file", ""), lora.value("weight", 1.0)});
}

void carry_out(pipelines::Pipeline& pipeline, pipelines::Run run, const SessionOptions& options,
               const fs::path& resumed_from, ProgressBar::Clock::time_point started) {
  const int64_t clips = run.latents.dim(0);
  for (int64_t i = 0; i < clips; ++i) media::check_writable(pipelines::clip_path(options.output, i, clips));

  MemoryWatch memory;
  Summary summary;
  std::string stage = "load";
  ProgressBar bar(ProgressBar::pick_mode(options.json, options.quiet));
  const ScopedLogSink sink([&](LogLevel level, std::string_view message) {
    if (level != LogLevel::warning) return;
    bar.clear();
    std::fprintf(stderr, "warning: %.*s\n", static_cast<int>(message.size()), message.data());
  });
  const fs::path kept = resumed_from.empty() ? pipelines::RunKeeper::file_for(options.output) : resumed_from;
  const fs::path model = options.model == "nano" ? fs::path("nano") : fs::absolute(resolve_model(options.model));
  pipelines::RunKeeper keeper(kept, model.string(), notes_of(options));
  if (!resumed_from.empty()) keeper.remember(run, true);
  fs::path preview = options.preview;

  try {
    InterruptWatch watch([&] {
      std::string hint;
      try {
        keeper.save();
        if (keeper.saved()) hint = way_on(keeper, options);
      } catch (const Error& error) {
        hint = std::string("the run could not be kept: ") + error.what();
      }
      remove_parts(options.output, clips);
      print_error(Error(ErrorKind::interrupted, "interrupted", hint), options.json);
    });
    pipelines::Monitor monitor;
    monitor.cancel = &signal_token();
    monitor.progress = [&](const Progress& p) {
      if (p.stage != stage) {
        summary.took(stage, memory.lap());
        stage = p.stage;
      }
      bar.update(p);
    };
    monitor.after_step = [&](const pipelines::Run& r) {
      {
        std::lock_guard lock(watch.mutex());
        keeper.after_step(r);
      }
      if (preview.empty() || (r.step % options.preview_every != 0 && r.step != r.steps)) return;
      try {
        media::write_png(preview, pipeline.preview(r));
      } catch (const Error& error) {  // a picture is not worth the run
        log_warning("no more previews: " + std::string(error.what()));
        preview.clear();
      }
    };
    pipeline.generate(run,
                      pipelines::clip_writers(options.output, clips, options.quality,
                                              [&] {
                                                return pipelines::describe(run, pipeline.reference_class(),
                                                                           options.model,
                                                                           pipelines::compute_dtype(options.dtype));
                                              }),
                      monitor);
    summary.took(stage, memory.lap());
    summary.files = pipelines::clip_paths(options.output, clips);
    bar.finish();
    bar.clear();
    summary.seconds = std::chrono::duration<double>(ProgressBar::Clock::now() - started).count();
    summary.stages = bar.seconds();
    if (!options.keep_latents) keeper.discard();
    if (!options.quiet || options.json) print_summary(summary, run, options.model, options.json);
  } catch (const std::exception& problem) {
    bar.clear();
    const Error error = to_error(problem);
    std::string hint = error.hint();
    if (keeper.step() > 0) {
      try {
        keeper.save();
        hint += (hint.empty() ? "" : "; ") + way_on(keeper, options);
      } catch (const Error& lost) {
        hint += (hint.empty() ? "" : "; ") + std::string("the run could not be kept: ") + lost.what();
      }
    }
    throw Error(error.kind(), error.what(), hint);
  }
}

}  // namespace prax::app
