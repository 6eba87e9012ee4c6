#include "pipelines/ltx/two_pass.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/resize.h"
#include "pipelines/arguments.h"
#include "pipelines/closed_loop.h"
#include "pipelines/ltx/upsample.h"
#include "tensor/memory.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

const std::vector<Argument> recipe{
    {"draft_scale", "float", 2.0 / 3.0,
     "size of the draft, as a part of the video's (0.5 needs no scaling in the end)"},
    {"adain_factor", "float", 0.0, "how far enlarged latents take the statistics that they had before"},
    {"tone_map_compression_ratio", "float", 0.0, "how strongly large latents are drawn in (0 to 1)"},
    {"refine_steps", "int", 10, "steps of the refinement, before its strength"},
    {"refine_strength", "float", 0.4, "share of the refinement's steps that is taken (0 to 1)"},
    {"refine_timesteps", "floats", nullptr, "own timesteps of the refinement, instead of refine_steps"},
};

//! Scales frames as they come.
class Scaled : public media::FrameSink {
public:
  Scaled(const media::VideoFormat& wanted, media::FrameSink& sink) : wanted_(wanted), sink_(sink) {}
  void begin(const media::VideoFormat& format) override {
    given_ = format;
    sink_.begin(wanted_);
  }
  void frame(std::span<const float> rgb) override {
    if (given_.width == wanted_.width && given_.height == wanted_.height) return sink_.frame(rgb);
    media::Picture picture(given_.width, given_.height);
    for (size_t i = 0; i < rgb.size(); ++i) picture.rgb[i] = static_cast<uint8_t>(std::lround(rgb[i] * 255.0f));
    const media::Picture scaled = media::resize(picture, wanted_.width, wanted_.height, media::Filter::bicubic);
    std::vector<float> out(scaled.rgb.size());
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(scaled.rgb[i]) / 255.0f;
    sink_.frame(out);
  }
  void finish() override { sink_.finish(); }

private:
  media::VideoFormat wanted_, given_;
  media::FrameSink& sink_;
};

LoadOptions of_model(LoadOptions options) {
  options.reference_class.clear();
  options.upscaler.clear();
  return options;
}

}  // namespace

TwoPass::TwoPass(const checkpoint::Folder& folder, const LoadOptions& options)
    : main_(folder, of_model(options)), arguments_(main_.arguments()) {
  arguments_.insert(arguments_.end(), recipe.begin(), recipe.end());
  upsampler_ =
      open_upsampler(checkpoint::Folder::open(options.upscaler), {}, wide_dtype(options.dtype), main_.vae().config());
}

Request TwoPass::draft(const Request& whole) const {
  Request request = whole;
  json& a = request.arguments;
  for (const Argument& each : recipe) a.erase(each.name);
  const double scale = whole.arguments.at("draft_scale").get<double>();
  const int64_t cell = main_.vae().config().spatial_compression_ratio;
  for (const char* side : {"width", "height"}) {
    const auto scaled = static_cast<int64_t>(a.at(side).get<double>() * scale);
    a[side] = std::max(cell, scaled / cell * cell);
  }
  return request;
}

Request TwoPass::refinement(const Request& whole) const {
  Request request = draft(whole);
  json& a = request.arguments;
  for (const char* side : {"width", "height"}) a[side] = 2 * a.at(side).get<int64_t>();
  a["num_inference_steps"] = whole.arguments.at("refine_steps");
  a["timesteps"] = whole.arguments.at("refine_timesteps");
  a["denoise_strength"] = whole.arguments.at("refine_strength");
  a["init_video"] = nullptr;
  a["loop"] = false;  // the draft's ends meet already
  return request;
}

Run TwoPass::begin(const Request& request, const Monitor& monitor) {
  Request whole = request;
  whole.arguments = complete_arguments(request.arguments, arguments_);
  const json& a = whole.arguments;
  const double scale = a.at("draft_scale").get<double>(), strength = a.at("refine_strength").get<double>();
  if (!(scale > 0 && scale <= 1))
    throw Error(ErrorKind::usage, "draft_scale is " + a.at("draft_scale").dump() + ", which cannot be",
                "use 0.5 to 1: the draft is enlarged two times");
  if (!(strength > 0 && strength <= 1))
    throw Error(ErrorKind::usage, "refine_strength is " + a.at("refine_strength").dump() + ", which cannot be",
                "use a share of the steps, 0.4 for example");
  require_range(a, "refine_steps", 1, 1000);
  if (!a.at("extend").is_null())
    throw Error(ErrorKind::usage, "a clip cannot be extended and enlarged in one run",
                "extend it first, then enlarge the result");
  require_range(a, "width", 1, 16384);
  require_range(a, "height", 1, 16384);
  const Run pass = main_.begin(draft(whole), monitor);
  Run run = pass;
  run.request = whole;
  run.format.width = a.at("width").get<int>();
  run.format.height = a.at("height").get<int>();
  run.steps = pass.steps + main_.steps_of(refinement(whole));
  return run;
}

int64_t TwoPass::draft_steps(const Run& run) const { return main_.steps_of(draft(run.request)); }

Run TwoPass::pass_of(const Run& run) const {
  const int64_t before = draft_steps(run);
  Run pass = run;
  const bool refines = run.step > before;
  pass.request = refines ? refinement(run.request) : draft(run.request);
  pass.format.width = pass.request.arguments.at("width").get<int>();
  pass.format.height = pass.request.arguments.at("height").get<int>();
  pass.steps = refines ? run.steps - before : before;
  pass.step = refines ? run.step - before : run.step;
  return pass;
}

void TwoPass::put_back(const Run& pass, int64_t steps_before, Run& run) {
  run.latents = pass.latents;
  run.state = pass.state;
  run.generators = pass.generators;
  run.generator = pass.generator;
  run.global_generator = pass.global_generator;
  run.step = steps_before + pass.step;
}

void TwoPass::denoise(Run& run, const Monitor& monitor) {
  const json& a = run.request.arguments;
  for (const Argument& argument : arguments_)
    if (!a.contains(argument.name))
      throw Error(ErrorKind::input, "the run has no " + argument.name, "it was begun with another model or version");
  const int64_t before = draft_steps(run);
  const auto take = [&](Run pass, int64_t steps_before) {
    Monitor inner = monitor;
    inner.progress = [&](const Progress& p) {
      if (!monitor.progress) return;
      const bool counts = p.stage == "denoise";
      monitor.report(p.stage, counts ? p.step + steps_before : p.step, counts ? run.steps : p.steps);
    };
    inner.after_step = [&](const Run& state) {
      put_back(state, steps_before, run);
      if (monitor.after_step) monitor.after_step(run);
    };
    main_.denoise(pass, inner);
    put_back(pass, steps_before, run);
    return pass;
  };
  if (run.step <= before) {
    const Run drafted = take(pass_of(run), 0);
    monitor.report("upsample", 0, 1);
    monitor.check();
    Request second = refinement(run.request);
    const LatentScale scale = main_.latent_scale();
    second.tensors["latents"] = normalize_latents(
        upsample_latents(*upsampler_, main_.latents_of(drafted), scale, a.at("adain_factor").get<float>(),
                         a.at("tone_map_compression_ratio").get<double>()),
        scale);
    if (monitor.probe) monitor.probe("upsampled", second.tensors["latents"]);
    release_cached_memory();
    monitor.report("upsample", 1, 1);
    Run refined = main_.begin(second, monitor);
    add_calls(drafted, refined);
    take(std::move(refined), before);
  } else {
    take(pass_of(run), before);
  }
}

void TwoPass::decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) {
  Scaled scaled(run.format, sink);
  // The refinement's request is not that of a loop: its draft is one.
  const bool loop = run.request.arguments.at("loop").get<bool>();
  ClosedLoop closed(main_.vae().config().temporal_compression_ratio, scaled);
  main_.decode(pass_of(run), index, loop ? static_cast<media::FrameSink&>(closed) : scaled, monitor);
}

Tensor TwoPass::preview(const Run& run) { return main_.preview(pass_of(run)); }

}  // namespace prax::pipelines::ltx
