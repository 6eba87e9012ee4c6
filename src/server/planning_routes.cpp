#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>

#include "base/error.h"
#include "base/paths.h"
#include "base/process.h"
#include "jobs/render_job.h"
#include "pipelines/compute_dtype.h"
#include "pipelines/memory_forecast.h"
#include "server/errors.h"
#include "server/job_draft.h"
#include "server/routes.h"
#include "server/video_object.h"

// What people want to know before they ask for a video: what models do, how long it will take and how much memory.
namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;
namespace fs = std::filesystem;

//! What a model's own files say beyond its limits.
struct ModelFacts {
  std::optional<int64_t> steps;
  std::optional<double> guidance;
  uint64_t weights_bytes = 0;
};

//! Facts and forecasts, found out once.
class Planner {
public:
  ModelFacts facts(const jobs::CatalogModel& model) {
    const std::lock_guard lock(mutex_);
    const auto known = facts_.find(model.name);
    if (known != facts_.end()) return known->second;
    return facts_[model.name] = find_facts(model);
  }

  //! nullopt for a model that cannot say without pictures or clips.
  std::optional<uint64_t> peak_bytes(const Context& context, const jobs::Job& job) {
    constexpr size_t most_kept = 1000;
    const std::string key = job.model + to_json(job.settings).dump();
    const std::lock_guard lock(mutex_);
    if (const auto known = peaks_.find(key); known != peaks_.end()) return known->second;
    if (peaks_.size() >= most_kept) peaks_.clear();
    std::optional<uint64_t> peak;
    try {
      const auto plan = jobs::plan_job(job, context.catalog, {});
      peak = pipelines::forecast_memory(plan.model, plan.load, plan.plan.request).anonymous();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::usage && error.kind() != ErrorKind::input) throw;
    }
    return peaks_[key] = peak;
  }

private:
  static ModelFacts find_facts(const jobs::CatalogModel& model) {
    const fs::path folder = resolve_model(model.folder);
    ModelFacts facts;
    pipelines::LoadOptions options;
    options.dtype = pipelines::compute_dtype(model.dtype);
    options.variant = model.variant;
    const auto pipeline = pipelines::load(folder, options);
    for (const auto& argument : pipeline->arguments()) {
      const json& value = argument.default_value;
      if (argument.name == "num_inference_steps" && value.is_number()) facts.steps = value.get<int64_t>();
      if (argument.name == "guidance_scale" && value.is_number()) facts.guidance = value.get<double>();
    }
    if (model.steps) facts.steps = model.steps;
    std::error_code error;
    for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
      const auto ending = at->path().extension();
      if ((ending == ".safetensors" || ending == ".gguf") && at->is_regular_file(error))
        facts.weights_bytes += at->file_size(error);
    }
    return facts;
  }

  std::mutex mutex_;
  std::map<std::string, ModelFacts> facts_;
  std::map<std::string, std::optional<uint64_t>> peaks_;
};

std::string size_text(int width, int height) { return std::to_string(width) + "x" + std::to_string(height); }

//! Frames of different form with about as many pixels as the model's own.
json shapes_of(const jobs::CatalogModel& model) {
  struct Form {
    const char* name;
    double across, down;
  };
  constexpr Form forms[] = {{"square", 1, 1}, {"wide", 16, 9},    {"tall", 9, 16},
                            {"screen", 4, 3}, {"portrait", 3, 4}, {"cinema", 21, 9}};
  const pipelines::Limits& limits = model.limits;
  json shapes = json::array();
  std::vector<std::string> seen;
  const auto add = [&](const char* name, int width, int height) {
    const std::string size = size_text(width, height);
    if (std::find(seen.begin(), seen.end(), size) != seen.end()) return;
    seen.push_back(size);
    shapes.push_back({{"name", name}, {"size", size}});
  };
  for (const Form& form : forms) {
    const double pixels = static_cast<double>(limits.width) * limits.height;
    const int width = static_cast<int>(std::lround(std::sqrt(pixels * form.across / form.down)));
    const int height = static_cast<int>(std::lround(pixels / width));
    const auto shape = jobs::ModelCatalog::snapped(model, {width, height, {}, {}, {}});
    add(form.name, shape.width, shape.height);
  }
  add("usual", limits.width, limits.height);
  return shapes;
}

//! Frames that one extension adds at most; 0 where there is none.
int64_t most_new_frames(const pipelines::Limits& limits) {
  if (!limits.extends_clips) return 0;
  const int64_t seen = pipelines::context_frames(limits, limits.most_frames);
  return std::max<int64_t>(1, (limits.most_frames - seen) / limits.frame_group) * limits.frame_group;
}

json model_object(const Context& context, Planner& planner, const jobs::CatalogModel& model) {
  const pipelines::Limits& l = model.limits;
  const ModelFacts facts = planner.facts(model);
  json aliases = json::array();
  for (const auto& [alias, name] : context.catalog.aliases())
    if (name == model.name) aliases.push_back(alias);
  return {{"id", model.name},
          {"object", "prax.model"},
          {"family", l.family},
          {"aliases", aliases},
          {"dtype", model.dtype},
          {"size_multiple", l.size_multiple},
          {"default_size", size_text(l.width, l.height)},
          {"shapes", shapes_of(model)},
          {"frame_group", l.frame_group},
          {"frame_offset", l.frame_offset},
          {"default_frames", l.frames},
          {"most_frames", l.most_frames},
          {"most_new_frames", most_new_frames(l)},
          {"fps", l.fps},
          {"most_pixels", l.most_pixels},
          {"default_steps", or_null(facts.steps)},
          {"default_guidance", or_null(facts.guidance)},
          {"can",
           {{"image", l.takes_picture},
            {"needs_image", l.needs_picture},
            {"clip", l.changes_clips},
            {"remix", l.changes_clips},
            {"extend", l.extends_clips},
            {"extend_before", l.extends_clips && l.takes_conditions},
            {"loop", l.takes_conditions},
            {"conditions", l.takes_conditions},
            {"shots", l.takes_conditions},
            {"negative_prompt", facts.guidance.has_value()}}},
          {"weights_bytes", facts.weights_bytes}};
}

Response models(const Context& context, Planner& planner, const Request& request) {
  json data = json::array();
  for (const jobs::CatalogModel* model : context.catalog.models())
    if (caller_of(request).may_use(model->name)) data.push_back(model_object(context, planner, *model));
  return json_response({{"object", "list"}, {"data", data}, {"memory_bytes", total_memory()}});
}

double work_of(const jobs::Settings& s, int64_t steps) {
  return static_cast<double>(s.width) * s.height * static_cast<double>(s.frames) * static_cast<double>(steps);
}

//! Seconds that the last jobs of the model took for such a work; the middle one of them.
std::optional<double> expected_seconds(const Context& context, const jobs::NewJob& job, const ModelFacts& facts) {
  constexpr int looked_at = 20;
  const auto steps_of = [&](const jobs::Settings& s) { return s.steps.value_or(facts.steps.value_or(1)); };
  std::vector<double> rates;
  for (const jobs::Job& done : context.store.completed_of(job.model, looked_at))
    if (const double work = work_of(done.settings, steps_of(done.settings)); work > 0)
      rates.push_back(done.cost.inference_seconds / work);
  if (rates.empty()) return std::nullopt;
  const auto middle = rates.begin() + static_cast<ptrdiff_t>(rates.size() / 2);
  std::nth_element(rates.begin(), middle, rates.end());
  return *middle * work_of(job.settings, steps_of(job.settings));
}

Response estimate(const Context& context, Planner& planner, Request& request) {
  JobDraft draft(context, request, jobs::JobKind::create);
  draft.read_common(false);
  draft.read_model(context.catalog.default_name());
  draft.read_shape();
  draft.read_references();
  draft.read_again();
  draft.read_title();
  draft.fields().finish();
  const jobs::NewJob& asked = draft.job();
  const ModelFacts facts = planner.facts(draft.model());
  jobs::Job job;
  job.model = asked.model;
  job.prompt = "x";
  job.settings = asked.settings;
  // Pictures and clips take little beside what is made of them, and they are no files yet.
  job.settings.image.clear();
  job.settings.conditions.clear();
  job.settings.seed = 0;
  const uint64_t memory = total_memory();
  const auto peak = planner.peak_bytes(context, job);
  const auto seconds = expected_seconds(context, asked, facts);
  return json_response({{"object", "prax.estimate"},
                        {"model", asked.model},
                        {"size", size_text(asked.settings.width, asked.settings.height)},
                        {"frames", asked.settings.frames},
                        {"fps", asked.settings.fps},
                        {"seconds", asked.seconds},
                        {"steps", or_null(asked.settings.steps ? asked.settings.steps : facts.steps)},
                        {"expected_seconds", or_null(seconds)},
                        {"expected_seconds_from", seconds ? json("runs") : json()},
                        {"peak_bytes", or_null(peak)},
                        {"memory_bytes", memory},
                        {"fits", !peak || *peak <= memory}});
}

}  // namespace

void add_planning_routes(http::Router& router, const Context& c) {
  const auto planner = std::make_shared<Planner>();
  router.add(
      {"GET", "/prax/v1/models", [&c, planner](Request& r) { return models(c, *planner, r); }, {}, scope::any, true});
  router.add({"POST", "/prax/v1/estimate", [&c, planner](Request& r) { return estimate(c, *planner, r); }, json_body,
              scope::any, true});
}

}  // namespace prax::server
