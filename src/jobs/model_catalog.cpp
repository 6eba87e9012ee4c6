#include "jobs/model_catalog.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "base/human.h"
#include "base/paths.h"
#include "base/suggest.h"
#include "pipelines/arguments.h"
#include "pipelines/compute_dtype.h"

namespace prax::jobs {

namespace {

constexpr const char* embedded_name = "nano";

//! What code for the Videos API asks for.
constexpr const char* api_names[] = {"sora-2", "sora-2-pro", "sora-2-2025-10-06", "sora-2-pro-2025-10-06",
                                     "sora-2-2025-12-08"};

void require_name(const std::string& name) {
  constexpr size_t longest = 100;
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:";
  if (name.empty() || name.size() > longest || name.find_first_not_of(allowed) != std::string::npos)
    throw Error(ErrorKind::usage, "'" + name + "' cannot be the name of a model",
                "use up to 100 letters, digits and . _ - / :");
}

int64_t to_grid(double value, int64_t step, int64_t offset) {
  return std::llround((value - static_cast<double>(offset)) / static_cast<double>(step)) * step + offset;
}

//! Most frames of the grid that are no more than the model's.
int64_t longest(const pipelines::Limits& l) {
  return (l.most_frames - l.frame_offset) / l.frame_group * l.frame_group + l.frame_offset;
}

double wanted_frames(const WantedShape& wanted, double fps, int64_t absent) {
  if (wanted.frames) return static_cast<double>(*wanted.frames);
  return wanted.seconds ? *wanted.seconds * fps + 1 : static_cast<double>(absent);
}

void require_sane(const WantedShape& wanted) {
  constexpr int most_pixels = 1 << 16;
  constexpr double most_seconds = 1e6, most_fps = 1000;
  constexpr int64_t most_frames = 1 << 24;
  const auto refuse = [](const char* what) {
    throw Error(ErrorKind::usage, std::string(what) + " cannot be", "use a number above 0 that a video can have");
  };
  for (const auto& side : {wanted.width, wanted.height})
    if (side && (*side < 1 || *side > most_pixels)) refuse("this size");
  if (wanted.seconds && !(*wanted.seconds > 0 && *wanted.seconds <= most_seconds)) refuse("this length");
  if (wanted.frames && (*wanted.frames < 1 || *wanted.frames > most_frames)) refuse("this number of frames");
  if (wanted.fps && !(*wanted.fps > 0 && *wanted.fps <= most_fps)) refuse("this frame rate");
}

}  // namespace

std::string seconds_text(double seconds) {
  char text[64];
  std::snprintf(text, sizeof text, "%.2f", seconds);
  std::string shown = text;
  while (shown.ends_with('0')) shown.pop_back();
  if (shown.ends_with('.')) shown.pop_back();
  return shown;
}

ModelCatalog ModelCatalog::embedded() {
  ModelCatalog catalog;
  catalog.add(embedded_name, embedded_name);
  for (const char* name : api_names) catalog.alias(name, embedded_name);
  return catalog;
}

void ModelCatalog::add(const std::string& name, const std::filesystem::path& folder, const std::string& dtype,
                       const std::string& variant) {
  require_name(name);
  if (models_.contains(name) || aliases_.contains(name) || name == upscaler_name)
    throw Error(ErrorKind::usage, "two models are called " + name, "give each a name of its own");
  CatalogModel model;
  model.name = name;
  model.folder = folder;
  model.dtype = pipelines::name_of_compute(pipelines::compute_dtype(dtype, resolve_model(folder), variant));
  model.variant = variant;
  model.limits = pipelines::limits(resolve_model(folder));
  models_.emplace(name, std::move(model));
  order_.push_back(name);
}

void ModelCatalog::set_upscaler(const std::filesystem::path& folder) {
  CatalogModel model;
  model.name = upscaler_name;
  model.folder = folder;
  model.dtype = pipelines::name_of_compute(DType::bf16);
  model.limits = pipelines::limits(resolve_model(folder));
  if (model.limits.reference_class != "LTXLatentUpsamplePipeline")
    throw Error(ErrorKind::usage,
                folder.string() + " is a " + model.limits.reference_class + ", which enlarges nothing",
                "name the folder of a latent upsampler (LTXLatentUpsamplePipeline)");
  models_.insert_or_assign(upscaler_name, std::move(model));
}

void ModelCatalog::alias(const std::string& alias, const std::string& model) {
  require_name(alias);
  if (models_.contains(alias) || alias == upscaler_name)
    throw Error(ErrorKind::usage, alias + " is a model's own name and cannot be an alias", "choose another alias");
  if (!models_.contains(model)) {
    const std::string near = nearest(model);
    throw Error(ErrorKind::usage, "the alias " + alias + " means " + model + ", which is no model here",
                near.empty() ? "add the model first" : "did you mean " + near + "?");
  }
  aliases_[alias] = model;
}

void ModelCatalog::add_lora(const std::string& name, const std::filesystem::path& file) {
  require_name(name);
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored))
    throw Error(ErrorKind::usage, "the LoRA " + name + " is " + file.string() + ", which is no file",
                "check the name of the file");
  loras_[name] = file;
}

const CatalogModel* ModelCatalog::find(std::string_view name) const {
  const auto it = models_.find(name);
  return it == models_.end() ? nullptr : &it->second;
}

std::optional<ModelCatalog::Resolved> ModelCatalog::resolve(std::string_view name) const {
  if (name == upscaler_name) return std::nullopt;
  if (const CatalogModel* model = find(name)) return Resolved{model, false};
  const auto it = aliases_.find(name);
  if (it == aliases_.end()) return std::nullopt;
  return Resolved{find(it->second), true};
}

const std::filesystem::path* ModelCatalog::lora(std::string_view name) const {
  const auto it = loras_.find(name);
  return it == loras_.end() ? nullptr : &it->second;
}

std::vector<const CatalogModel*> ModelCatalog::models() const {
  std::vector<const CatalogModel*> list;
  for (const std::string& name : order_) list.push_back(find(name));
  return list;
}

std::string ModelCatalog::nearest(std::string_view name) const {
  std::vector<std::string> names = order_;
  for (const auto& entry : aliases_) names.push_back(entry.first);
  return nearest_word(name, names);
}

std::string ModelCatalog::default_name() const {
  if (resolve(api_names[0])) return api_names[0];
  if (order_.empty()) throw Error(ErrorKind::usage, "there is no model", "add one to the catalogue");
  return order_.front();
}

Shape ModelCatalog::exact(const CatalogModel& model, const WantedShape& wanted) {
  require_sane(wanted);
  const pipelines::Limits& l = model.limits;
  Shape shape{wanted.width.value_or(l.width), wanted.height.value_or(l.height), 0, wanted.fps.value_or(l.fps)};
  const auto size = [](int width, int height) { return std::to_string(width) + "x" + std::to_string(height); };
  const std::string asked = size(shape.width, shape.height);
  if (l.one_size && (shape.width != l.width || shape.height != l.height))
    throw Error(ErrorKind::usage, model.name + " makes no videos of " + asked,
                "its one size is " + size(l.width, l.height));
  if (shape.width % l.size_multiple || shape.height % l.size_multiple)
    throw Error(ErrorKind::usage,
                model.name + " makes no videos of " + asked + ": both sides must be multiples of " +
                    std::to_string(l.size_multiple),
                "the nearest widths are " + pipelines::nearest_multiples(shape.width, l.size_multiple) +
                    ", the nearest heights " + pipelines::nearest_multiples(shape.height, l.size_multiple));
  if (int64_t{shape.width} * shape.height > l.most_pixels) {
    const Shape near = snapped(model, wanted);
    throw Error(ErrorKind::usage,
                asked + " is larger than " + model.name + " makes (" + std::to_string(l.most_pixels) + " pixels)",
                "the nearest is " + size(near.width, near.height));
  }
  const double frames = wanted_frames(wanted, shape.fps, l.frames);
  // Seconds name a length as a clock shows it; frames are counted.
  shape.frames =
      wanted.frames ? *wanted.frames : std::max(l.frame_offset, to_grid(frames, l.frame_group, l.frame_offset));
  if (shape.frames < 1 || (shape.frames - l.frame_offset) % l.frame_group != 0)
    throw Error(ErrorKind::usage,
                std::to_string(shape.frames) + " frames are no length of " + model.name + ", which makes " +
                    std::to_string(l.frame_group) + "k+" + std::to_string(l.frame_offset),
                "the nearest are " + pipelines::nearest_multiples(shape.frames, l.frame_group, l.frame_offset));
  if (shape.frames > l.most_frames)
    throw Error(ErrorKind::usage, std::to_string(shape.frames) + " frames are longer than " + model.name + " makes",
                "the longest are " + std::to_string(longest(l)) + " frames, " +
                    seconds_text(static_cast<double>(longest(l) - 1) / shape.fps) + " seconds at " +
                    human_number(shape.fps) + " frames a second");
  return shape;
}

Shape ModelCatalog::snapped(const CatalogModel& model, const WantedShape& wanted) {
  require_sane(wanted);
  const pipelines::Limits& l = model.limits;
  Shape shape{l.width, l.height, l.frames, wanted.fps.value_or(l.fps)};
  if (!l.one_size && (wanted.width || wanted.height)) {
    const double width = wanted.width.value_or(wanted.height.value_or(l.width)),
                 height = wanted.height.value_or(wanted.width.value_or(l.height));
    const double scale = std::min(1.0, std::sqrt(static_cast<double>(l.most_pixels) / (width * height)));
    const int64_t step = l.size_multiple;
    const auto least = [&](int64_t side) { return std::max(step, side); };
    // Of the sizes around the scaled one, that which is nearest in aspect and area and not too large.
    double best = std::numeric_limits<double>::infinity();
    const auto down = [&](double side) { return static_cast<int64_t>(side * scale) / step * step; };
    for (const int64_t w : {least(down(width)), down(width) + step})
      for (const int64_t h : {least(down(height)), down(height) + step}) {
        const auto area = static_cast<double>(w * h);
        if (w * h > l.most_pixels) continue;
        const double difference = std::abs(std::log(static_cast<double>(w) / static_cast<double>(h) * height / width)) +
                                  std::abs(std::log(area / (width * height * scale * scale)));
        if (difference >= best) continue;
        best = difference;
        shape.width = static_cast<int>(w);
        shape.height = static_cast<int>(h);
      }
  }
  const int64_t frames = to_grid(wanted_frames(wanted, shape.fps, l.frames), l.frame_group, l.frame_offset);
  const int64_t shortest = l.frame_offset > 0 ? l.frame_offset : l.frame_group;
  // A moving picture has at least two frames.
  shape.frames = std::clamp(std::max(frames, shortest < 2 && frames < 2 ? shortest + l.frame_group : shortest),
                            shortest, longest(l));
  return shape;
}

}  // namespace prax::jobs
