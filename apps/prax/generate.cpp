#include <chrono>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/human.h"
#include "base/paths.h"
#include "checkpoint/folder.h"
#include "commands.h"
#include "media/writer.h"
#include "output.h"
#include "pipelines/clip_files.h"
#include "pipelines/compute_dtype.h"
#include "pipelines/intent.h"
#include "pipelines/pictures.h"
#include "request.h"
#include "session.h"
#include "signals.h"
#include "tensor/parallel.h"

namespace prax::app {

namespace fs = std::filesystem;

namespace {

struct GenerateOptions {
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
  for (const char* flag :
       {"PROMPT",     "--prompt-file", "--negative", "--size",    "--frames", "--fps",   "--steps", "--guidance",
        "--seed",     "--set",         "--dtype",    "--variant", "--memory", "--image", "--video", "--condition",
        "--strength", "--extend",      "--loop",     "--upscale", "--shot",   "--lora",  "--cache"})
    if (command.count(flag) > 0)
      throw Error(ErrorKind::usage, std::string(flag) + " was given with --resume",
                  "an interrupted run goes on as it was begun; leave it out, or begin a new run");
}

void resume(GenerateOptions& o, const CLI::App& command, ProgressBar::Clock::time_point started) {
  require_no_request(command);
  std::string model;
  pipelines::RunNotes notes;
  pipelines::Run run = pipelines::load_run(o.resume, &model, &notes);
  if (o.session.model.empty()) o.session.model = model;
  const int quality = o.session.quality;
  take_notes(notes, o.session);
  if (command.count("--quality") > 0) o.session.quality = quality;
  if (!o.output.empty()) o.session.output = o.output;
  media::check_writable(o.session.output);
  const auto pipeline = open_pipeline(o.session);
  carry_out(*pipeline, std::move(run), o.session, o.resume, started);
}

//! Makes the paths among the arguments absolute: the run may be gone on with from another folder.
void make_absolute(const pipelines::Pipeline& pipeline, nlohmann::json& arguments) {
  for (const auto& argument : pipeline.arguments())
    if (arguments.contains(argument.name))
      pipelines::make_paths_absolute(argument.type, arguments[argument.name], fs::current_path());
}

void generate(GenerateOptions& o, const CLI::App& command) {
  const auto started = ProgressBar::Clock::now();
  if (o.threads > 0) set_thread_count(o.threads);
  if (!o.session.preview.empty()) {
    if (o.session.preview.extension() != ".png")
      throw Error(ErrorKind::usage, "--preview is " + o.session.preview.string() + ", but a preview is a PNG picture",
                  "give it a name that ends in .png");
    media::check_writable(o.session.preview);
  }
  if (o.session.preview_every < 1)
    throw Error(ErrorKind::usage, "--preview-every must be at least 1", "it counts steps");
  if (!o.resume.empty()) return resume(o, command, started);
  if (o.session.model.empty()) o.session.model = "nano";
  const fs::path model = resolve_model(o.session.model);
  o.session.dtype = pipelines::name_of_compute(pipelines::compute_dtype(o.session.dtype, model, o.session.variant));
  o.request.promptless = !checkpoint::Folder::open(model).find("text_encoder");
  const auto request = make_request(o.request);
  const auto intent = make_intent(o.request);
  o.session.output = o.output.empty() ? name_for(request.prompt) : fs::path(o.output);
  media::check_writable(o.session.output);  // before anything that takes long
  auto plan = pipelines::make_plan(model, intent, request);
  o.session.reference_class = plan.reference_class;
  o.session.upscaler = intent.upscaler;
  o.session.loras = make_loras(o.request.loras);
  keep_within_memory(o.session, plan.request, command.count("--dtype") == 0);
  const auto pipeline = open_pipeline(o.session);
  make_absolute(*pipeline, plan.request.arguments);
  pipelines::Monitor monitor;
  monitor.cancel = &signal_token();
  pipelines::Run run = pipeline->begin(plan.request, monitor);
  if (!o.request.seed && !o.session.quiet && !o.session.json)
    std::fprintf(stderr, "seed %llu\n", static_cast<unsigned long long>(request.seed));
  carry_out(*pipeline, std::move(run), o.session, {}, started);
}

}  // namespace

void add_generate(CLI::App& app, int&) {
  auto o = std::make_shared<GenerateOptions>();
  auto* c = app.add_subcommand("generate", "Make a video from a prompt");
  c->footer("Example: prax generate \"a red balloon rises over the sea at sunset\" -o balloon.mp4");
  const auto text = [&](const char* names, auto& value, const char* shape, const char* group, const char* help) {
    return c->add_option(names, value, help)->type_name(shape)->group(group);
  };
  c->add_option("PROMPT", o->request.prompt, "What should be seen; - reads it from stdin")->type_name("");
  text("-o,--output", o->output, "OUT", "Result", "Where to: .mp4 .webm .gif .webp .png .npy, or a folder");
  text("--quality", o->session.quality, "CRF", "Result", "Rate factor of MP4 and WebM: lower is better and larger (16)")
      ->check(whole_number(0, 51));
  text("--prompt-file", o->request.prompt_file, "FILE", "What", "The prompt from a file");
  text("--negative", o->request.negative, "TEXT", "What", "What should not be seen");
  text("--size", o->request.size, "WxH", "What", "Pixels, like 768x512");
  text("--frames", o->request.frames, "N", "What", "Frames of the clip");
  text("--fps", o->request.fps, "F", "What", "Frames a second");
  text("--steps", o->request.steps, "N", "What", "Denoising steps");
  text("--guidance", o->request.guidance, "G", "What", "How strongly the prompt guides");
  text("--seed", o->request.seed, "N", "What", "The noise; drawn and printed when absent");
  text("--set", o->request.set, "NAME=VALUE", "What", "Any argument of the reference pipeline; may be repeated")
      ->allow_extra_args(false);
  text("--cache", o->request.cache, "KIND", "What", "Spare steps that resemble earlier ones: first-block, extrapolate");
  const auto several = [&](const char* names, std::vector<std::string>& value, const char* shape, const char* help) {
    text(names, value, shape, "From pictures and clips", help)->allow_extra_args(false);
  };
  text("--image", o->request.image, "FILE", "From pictures and clips", "The first frame");
  text("--video", o->request.video, "FILE", "From pictures and clips", "A clip to change, as far as --strength says");
  several("--condition", o->request.conditions, "FILE@FRAME[:STRENGTH]",
          "A picture or clip at a frame; may be repeated");
  text("--strength", o->request.strength, "S", "From pictures and clips",
       "How strongly --image holds, or how far --video is changed (0 to 1)");
  text("--extend", o->request.extend, "FILE", "From pictures and clips", "Go on with a clip; OUT holds both");
  c->add_flag("--loop", o->request.loop, "The end meets the beginning")->group("From pictures and clips");
  several("--shot", o->request.shots, "PROMPT@SECONDS", "One of several prompts of a long video; may be repeated");
  text("--upscale", o->request.upscale, "FOLDER", "From pictures and clips",
       "A latent upsampler's folder: draft, enlarge, refine");
  several("--lora", o->request.loras, "FILE[:WEIGHT]", "A LoRA file, with a weight of any sign; may be repeated");
  text("--model", o->session.model, "FOLDER", "How", "A model folder, or nano (the embedded model)");
  text("--dtype", o->session.dtype, "TYPE", "How",
       "Arithmetic of the products: bf16, int8 or f32 (default: int8 for a quantized folder, else bf16)");
  text("--variant", o->session.variant, "V", "How", "Which set of weight files: fp16, bf16");
  c->add_flag("--cache-prompts", o->session.cache_prompts, "Keep encoded prompts for the next time")->group("How");
  text("--memory", o->session.memory, "LIMIT", "How",
       "Stay below 8G, 6500M or 50% of the memory: chooses arithmetic, tiles and which weights stay packed");
  text("--threads", o->threads, "N", "How", "Processors to use")->check(whole_number(1, most_threads));
  text("--resume", o->resume, "RUN", "Runs", "Go on with an interrupted run (OUT.prax)");
  c->add_flag("--keep-latents", o->session.keep_latents, "Keep the finished run (OUT.prax) beside the video")
      ->group("Runs");
  text("--preview", o->session.preview, "FILE.png", "Runs", "A small picture of the latents while they form");
  text("--preview-every", o->session.preview_every, "N", "Runs", "Steps between previews (5)");
  c->add_flag("--json", o->session.json, "One JSON object a line on stdout")->group("Runs");
  c->add_flag("--quiet", o->session.quiet, "Only errors")->group("Runs");
  c->callback([o, c] { generate(*o, *c); });
}

}  // namespace prax::app
