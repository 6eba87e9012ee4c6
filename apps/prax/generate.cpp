#include <chrono>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/human.h"
#include "commands.h"
#include "output.h"
#include "render.h"
#include "request.h"
#include "session.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace fs = std::filesystem;

namespace {

struct Options {
  RequestFlags request;
  SessionOptions session;
  std::string output, resume;
  int threads = 0;
};

//! A name that is free, made from the prompt.
fs::path name_for(const std::string& prompt) {
  constexpr size_t longest = 48;
  const std::string stem = slug(prompt, longest, "video");
  fs::path name = stem + ".mp4";
  for (int i = 2; fs::exists(name); ++i) name = stem + "-" + std::to_string(i) + ".mp4";
  return name;
}

void require_no_request(const CLI::App& command) {
  for (const char* flag : {"PROMPT", "--prompt-file", "--negative", "--size", "--frames", "--fps", "--steps",
                           "--guidance", "--seed", "--set", "--dtype", "--variant"})
    if (command.count(flag) > 0)
      throw Error(ErrorKind::usage, std::string(flag) + " was given with --resume",
                  "an interrupted run goes on as it was begun; leave it out, or begin a new run");
}

void resume(Options& o, const CLI::App& command, ProgressBar::Clock::time_point started) {
  require_no_request(command);
  std::string model;
  pipelines::RunNotes notes;
  pipelines::Run run = pipelines::load_run(o.resume, &model, &notes);
  if (o.session.model.empty()) o.session.model = model;
  const auto note = [&](const char* key, const std::string& absent) {
    const auto it = notes.find(key);
    return it == notes.end() ? absent : it->second;
  };
  o.session.dtype = note("dtype", "bf16");
  o.session.variant = note("variant", "");
  if (command.count("--quality") == 0) o.session.quality = std::atoi(note("quality", "16").c_str());
  o.session.output = o.output.empty() ? note("output", "video.mp4") : o.output;
  const auto pipeline = open_pipeline(o.session.model, o.session.dtype, o.session.variant);
  carry_out(*pipeline, std::move(run), o.session, o.resume, started);
}

void generate(Options& o, const CLI::App& command) {
  const auto started = ProgressBar::Clock::now();
  if (o.threads > 0) set_thread_count(o.threads);
  if (o.session.preview_every < 1)
    throw Error(ErrorKind::usage, "--preview-every must be at least 1", "it counts steps");
  if (!o.resume.empty()) return resume(o, command, started);
  if (o.session.model.empty()) o.session.model = "nano";
  compute_dtype(o.session.dtype);
  const auto request = make_request(o.request);
  o.session.output = o.output.empty() ? name_for(request.prompt) : fs::path(o.output);
  const auto pipeline = open_pipeline(o.session.model, o.session.dtype, o.session.variant);
  pipelines::Run run = pipeline->begin(request);
  if (!o.request.seed && !o.session.quiet && !o.session.json)
    std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(request.seed));
  carry_out(*pipeline, std::move(run), o.session, {}, started);
}

}  // namespace

void add_generate(CLI::App& app, int&) {
  auto o = std::make_shared<Options>();
  auto* c = app.add_subcommand("generate", "Make a video from a prompt");
  c->add_option("PROMPT", o->request.prompt, "What should be seen; - reads it from stdin");
  c->add_option("-o,--output", o->output, "Where to: .mp4 .webm .gif .webp .png .npy, or a folder");
  c->add_option("--model", o->session.model, "A model folder, or nano (the embedded model)");
  c->add_option("--prompt-file", o->request.prompt_file, "The prompt from a file");
  c->add_option("--negative", o->request.negative, "What should not be seen");
  c->add_option("--size", o->request.size, "Pixels, like 768x512");
  c->add_option("--frames", o->request.frames, "Frames of the clip");
  c->add_option("--fps", o->request.fps, "Frames a second");
  c->add_option("--steps", o->request.steps, "Denoising steps");
  c->add_option("--guidance", o->request.guidance, "How strongly the prompt guides");
  c->add_option("--seed", o->request.seed, "The noise; drawn and printed when absent")->check(CLI::NonNegativeNumber);
  c->add_option("--set", o->request.set, "Any argument of the reference pipeline: name=value")
      ->take_all()
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  c->add_option("--dtype", o->session.dtype, "Arithmetic of the products: bf16 (default) or f32");
  c->add_option("--variant", o->session.variant, "Which set of weight files: fp16, bf16");
  c->add_option("--threads", o->threads, "Processors to use");
  c->add_option("--resume", o->resume, "Go on with an interrupted run (OUT.prax)");
  c->add_option("--preview", o->session.preview, "A small picture of the latents while they form (PNG)");
  c->add_option("--preview-every", o->session.preview_every, "Steps between previews");
  c->add_flag("--keep-latents", o->session.keep_latents, "Keep the finished run (OUT.prax) beside the video");
  c->add_option("--quality", o->session.quality, "Constant rate factor of MP4 and WebM: lower is better and larger")
      ->check(CLI::Range(0, 51));
  c->add_flag("--json", o->session.json, "One JSON object a line on stdout");
  c->add_flag("--quiet", o->session.quiet, "Only errors");
  c->callback([o, c] { generate(*o, *c); });
}

}  // namespace prax::app
