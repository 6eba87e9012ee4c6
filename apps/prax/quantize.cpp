#include "pipelines/quantize.h"

#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/human.h"
#include "base/paths.h"
#include "commands.h"
#include "output.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"
#include "progress_bar.h"
#include "render.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace {

struct QuantizeOptions {
  std::string model, output, dtype = "int8", variant;
  int threads = 0;
  bool json = false, quiet = false;
};

void print_report(const QuantizeOptions& o, const pipelines::QuantizeReport& r, double seconds) {
  if (o.json) {
    nlohmann::json kept = nlohmann::json::array();
    for (const auto& matrix : r.kept) kept.push_back({{"name", matrix.name}, {"error", matrix.error}});
    return print_json({{"type", "result"},
                       {"folder", o.output},
                       {"model", pipelines::model_name(o.model)},
                       {"dtype", o.dtype},
                       {"matrices", r.matrices},
                       {"kept", kept},
                       {"bytes_before", r.bytes_before},
                       {"bytes_after", r.bytes_after},
                       {"cloned", r.carried.cloned},
                       {"linked", r.carried.linked},
                       {"copied", r.carried.copied},
                       {"seconds", seconds}});
  }
  if (o.quiet) return;
  constexpr size_t shown = 5;
  fmt::print("{}  {} matrices int8, {} as they were  {} instead of {}  {}\n", o.output, r.matrices, r.kept.size(),
             human_bytes(r.bytes_after), human_bytes(r.bytes_before), human_duration(seconds));
  fmt::print("  other files: {} share their blocks with the original, {} are hard links to it, {} copies\n",
             r.carried.cloned, r.carried.linked, r.carried.copied);
  for (size_t i = 0; i < std::min(shown, r.kept.size()); ++i)
    fmt::print("  as it was: {}, int8 would take {:.1f} % from it\n", r.kept[i].name, 100 * r.kept[i].error);
  if (r.kept.size() > shown) fmt::print("  and {} more (--json lists them)\n", r.kept.size() - shown);
}

void quantize(const QuantizeOptions& o) {
  const auto started = ProgressBar::Clock::now();
  if (pipelines::compute_dtype(o.dtype) != DType::i8)
    throw Error(ErrorKind::usage, "--dtype is '" + o.dtype + "', to which nothing is quantized", "use int8");
  if (o.threads > 0) set_thread_count(o.threads);
  ProgressBar bar(ProgressBar::pick_mode(o.json, o.quiet));
  pipelines::QuantizeOptions options;
  options.variant = o.variant;
  options.cancel = &signal_token();
  options.progress = [&](const Progress& p) { bar.update(p); };
  const auto report = pipelines::quantize(resolve_model(o.model), o.output, options);
  bar.finish();
  print_report(o, report, std::chrono::duration<double>(ProgressBar::Clock::now() - started).count());
}

}  // namespace

void add_quantize(CLI::App& app, int&) {
  auto o = std::make_shared<QuantizeOptions>();
  auto* c = app.add_subcommand("quantize", "Write a model folder whose denoiser is int8");
  c->footer("Example: prax quantize ./LTX-Video -o ./LTX-Video-int8");
  c->add_option("MODEL", o->model, "A model folder, or nano")->type_name("")->required();
  c->add_option("-o,--output", o->output, "The folder to make")->type_name("FOLDER")->required();
  c->add_option("--dtype", o->dtype, "What the denoiser's matrices become: int8")->type_name("TYPE");
  c->add_option("--variant", o->variant, "Which set of weight files: fp16, bf16")->type_name("V");
  c->add_option("--threads", o->threads, "Processors to use")->type_name("N")->check(whole_number(1, most_threads));
  c->add_flag("--json", o->json, "One JSON object a line on stdout");
  c->add_flag("--quiet", o->quiet, "Only errors");
  c->callback([o] { quantize(*o); });
}

}  // namespace prax::app
