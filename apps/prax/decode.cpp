#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "bench_run.h"
#include "commands.h"
#include "interrupt_watch.h"
#include "media/writer.h"
#include "output.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"
#include "render.h"
#include "session.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace fs = std::filesystem;

namespace {

struct DecodeOptions {
  std::string file, output, model;
  int quality = 16, threads = 0;
  bool json = false, quiet = false;
};

void decode(const DecodeOptions& o) {
  const auto started = ProgressBar::Clock::now();
  if (o.threads > 0) set_thread_count(o.threads);
  std::string model;
  pipelines::RunNotes notes;
  const pipelines::Run run = pipelines::load_run(o.file, &model, &notes);
  if (!o.model.empty()) model = o.model;
  const int64_t clips = run.latents.dim(0);
  for (int64_t i = 0; i < clips; ++i) media::check_writable(pipelines::clip_path(o.output, i, clips));
  SessionOptions session;
  take_notes(notes, session);
  session.model = model;
  const auto pipeline = open_pipeline(session);

  MemoryWatch memory;
  ProgressBar bar(ProgressBar::pick_mode(o.json, o.quiet));
  if (run.step < run.steps)
    log_warning("the run stopped at step " + std::to_string(run.step) + " of " + std::to_string(run.steps) +
                "; this is what was there");
  pipelines::Monitor monitor;
  monitor.cancel = &signal_token();
  monitor.progress = [&](const Progress& p) { bar.update(p); };
  const Error interrupted(ErrorKind::interrupted, "interrupted", o.file + " is as it was");
  Summary summary;
  try {
    const InterruptWatch watch([&] {
      remove_parts(o.output, clips);
      print_error(interrupted, o.json);
    });
    const auto open = pipelines::clip_writers(o.output, clips, o.quality, [&] {
      return pipelines::describe(run, pipeline->reference_class(), model, pipelines::compute_dtype(session.dtype));
    });
    for (int64_t i = 0; i < clips; ++i) pipeline->decode(run, i, *open(i), monitor);
    summary.files = pipelines::clip_paths(o.output, clips);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::interrupted) throw;
    throw interrupted;
  }
  summary.took("decode", memory.lap());
  bar.finish();
  bar.clear();
  summary.seconds = std::chrono::duration<double>(ProgressBar::Clock::now() - started).count();
  summary.stages = bar.seconds();
  if (!o.quiet || o.json) print_summary(summary, run, model, o.json);
}

}  // namespace

void add_decode(CLI::App& app, int&) {
  auto o = std::make_shared<DecodeOptions>();
  auto* c = app.add_subcommand("decode", "Turn a saved run's latents into a video");
  c->footer("Example: prax decode balloon.mp4.prax -o balloon.webm");
  c->add_option("RUN", o->file, "A .prax file")->type_name("")->required();
  c->add_option("-o,--output", o->output, "Where to: .mp4 .webm .gif .webp .png .npy, or a folder")
      ->type_name("OUT")
      ->required();
  c->add_option("--model", o->model, "The model's folder, when it has moved")->type_name("FOLDER");
  c->add_option("--quality", o->quality, "Rate factor of MP4 and WebM (16)")
      ->type_name("CRF")
      ->check(whole_number(0, 51));
  c->add_option("--threads", o->threads, "Processors to use")->type_name("N")->check(whole_number(1, most_threads));
  c->add_flag("--json", o->json, "One JSON object a line on stdout");
  c->add_flag("--quiet", o->quiet, "Only errors");
  c->callback([o] { decode(*o); });
}

}  // namespace prax::app
