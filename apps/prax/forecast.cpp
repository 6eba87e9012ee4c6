#include "forecast.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/human.h"
#include "checkpoint/folder.h"
#include "memory_limit.h"
#include "pipelines/compute_dtype.h"
#include "pipelines/memory_plan.h"
#include "render.h"

namespace prax::app {

namespace {

bool given(const ForecastFlags& f) {
  const RequestFlags& r = f.request;
  return !r.size.empty() || r.frames || !r.set.empty() || !r.image.empty() || !r.video.empty() || !f.dtype.empty() ||
         !f.memory.empty();
}

Forecast make_forecast(const std::filesystem::path& model, const std::string& reference_class,
                       const ForecastFlags& flags) {
  RequestFlags request_flags = flags.request;
  request_flags.prompt = "a red balloon rises over the sea at sunset";
  request_flags.seed = "0";
  request_flags.promptless = !checkpoint::Folder::open(model).find("text_encoder");
  if (request_flags.promptless) request_flags.prompt.clear();
  const auto plan = pipelines::make_plan(model, make_intent(request_flags), make_request(request_flags));
  pipelines::LoadOptions load;
  load.dtype = pipelines::compute_dtype(flags.dtype, model);
  load.reference_class = reference_class.empty() ? plan.reference_class : reference_class;
  const auto sink = [&](const media::VideoFormat& format) { return writer_memory(flags.output, format); };
  Forecast forecast;
  forecast.limit = memory_limit(flags.memory);
  if (forecast.limit > 0) {
    const auto within = pipelines::plan_memory(model, load, plan.request, forecast.limit, flags.dtype.empty(), sink);
    forecast.memory = within.forecast;
    forecast.choice = within.choice;
  } else {
    forecast.memory = pipelines::forecast_memory(model, load, plan.request, sink);
    forecast.choice = pipelines::name_of_compute(load.dtype);
  }
  return forecast;
}

}  // namespace

void add_forecast_flags(CLI::App& command, ForecastFlags& flags) {
  const auto text = [&](const char* names, auto& value, const char* shape, const char* help) {
    return command.add_option(names, value, help)->type_name(shape)->group("Memory of a clip");
  };
  text("--size", flags.request.size, "WxH", "Pixels (default: the model's usual ones)");
  text("--frames", flags.request.frames, "N", "Frames (default: likewise)");
  text("--image", flags.request.image, "FILE", "The first frame");
  text("--video", flags.request.video, "FILE", "A clip to change");
  text("--set", flags.request.set, "NAME=VALUE", "Any argument of the reference pipeline; may be repeated")
      ->allow_extra_args(false);
  text("--dtype", flags.dtype, "TYPE", "Arithmetic: bf16, int8 or f32");
  text("--memory", flags.memory, "LIMIT", "How it would be made below 8G, 6500M or 50% of the memory");
  text("--output", flags.output, "OUT", "The file that it would become (video.mp4)");
}

std::optional<Forecast> forecast_for(const std::filesystem::path& model, const std::string& reference_class,
                                     const ForecastFlags& flags) {
  if (given(flags)) return make_forecast(model, reference_class, flags);
  try {
    return make_forecast(model, reference_class, flags);
  } catch (const Error&) {  // it wants a picture or a clip
    return {};
  }
}

nlohmann::json to_json(const Forecast& f) {
  nlohmann::json stages = nlohmann::json::array();
  for (const auto& stage : f.memory.stages)
    stages.push_back({{"stage", stage.stage}, {"anonymous_bytes", stage.anonymous}, {"mapped_bytes", stage.mapped}});
  return {{"width", f.memory.format.width},
          {"height", f.memory.format.height},
          {"frames", f.memory.format.frames},
          {"choice", f.choice},
          {"limit", f.limit > 0 ? nlohmann::json(f.limit) : nlohmann::json()},
          {"stages", stages},
          {"peak_anonymous_bytes", f.memory.anonymous()}};
}

void print_forecast(const Forecast& f) {
  fmt::print("\n  memory for {} frames of {}x{} ({}):\n", f.memory.format.frames, f.memory.format.width,
             f.memory.format.height, f.choice);
  for (const auto& stage : f.memory.stages)
    fmt::print("    {:<10} {:>9}{}\n", stage.stage, human_bytes(stage.anonymous),
               stage.mapped ? ", and " + human_bytes(stage.mapped) + " of mapped weights as far as there is room" : "");
  fmt::print("    {:<10} {:>9}\n", "peak", human_bytes(f.memory.anonymous()));
}

}  // namespace prax::app
