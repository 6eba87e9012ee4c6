#include "pipelines/pyramid_flow/intent.h"

#include <algorithm>

#include "base/error.h"
#include "models/pyramid_flow/vae.h"
#include "pipelines/arguments.h"

namespace prax::pipelines::pyramid_flow {

namespace {

using nlohmann::json;

//! What the authors' functions take where none is given.
constexpr const char* usual_negative_prompt =
    "cartoon style, worst quality, low quality, blurry, absolute black, absolute white, low res, extra limbs, extra "
    "digits, misplaced objects, mutated anatomy, monochrome, horror";

bool has_transformer(const checkpoint::Folder& folder, std::string_view ending) {
  return std::any_of(folder.components().begin(), folder.components().end(), [&](const auto& component) {
    return component.name.starts_with("diffusion_transformer") && component.name.ends_with(ending);
  });
}

void refuse(bool asked, const char* what) {
  if (asked)
    throw Error(ErrorKind::usage, std::string("Pyramid Flow cannot ") + what,
                "it makes videos from text, with or without a first frame (--image), and single pictures");
}

//! A length in frames is one in frames of latents.
void take_frames(const checkpoint::Folder& folder, json& a) {
  if (!a.contains("num_frames")) return;
  if (a.contains("temp")) throw Error(ErrorKind::usage, "temp and a number of frames were given", "give one of them");
  const int64_t group = models::pyramid_flow::VaeConfig::from(folder.config("causal_video_vae")).temporal_factor();
  const json frames = a.at("num_frames");
  if (!frames.is_number_integer() || frames.get<int64_t>() < 1 || (frames.get<int64_t>() - 1) % group != 0)
    throw Error(ErrorKind::usage,
                "the number of frames is " + frames.dump() + ", but this model makes 1 or a multiple of " +
                    std::to_string(group) + " and 1",
                frames.is_number_integer() ? "use " + nearest_multiples(frames.get<int64_t>(), group, 1)
                                           : "use a whole number, like 121");
  a["temp"] = (frames.get<int64_t>() - 1) / group + 1;
  a.erase("num_frames");
}

}  // namespace

Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request) {
  refuse(intent.video.has_value(), "change a clip");
  refuse(intent.extend.has_value(), "go on with a clip");
  refuse(!intent.conditions.empty(), "place pictures at frames");
  refuse(intent.loop, "make loops");
  refuse(!intent.shots.empty(), "follow several prompts");
  refuse(intent.strength.has_value(), "hold a first frame less than fully");
  refuse(!intent.upscaler.empty(), "upsample its latents");
  Plan plan{folder.pipeline_class(), request};
  json& a = plan.request.arguments;
  if (intent.image) a["input_image"] = intent.image->string();
  take_frames(folder, a);
  const json own = [&] {
    const auto file = folder.path() / "praxinoscope.json";
    std::error_code ignored;
    if (!std::filesystem::exists(file, ignored)) return json::object();
    return checkpoint::Config::read(file).get<json>("defaults", json::object());
  }();
  const auto put = [&](const char* name, const json& value) {
    if (!own.contains(name)) a.emplace(name, value);
  };
  const bool video = has_transformer(folder, "_384p") || has_transformer(folder, "_768p");
  constexpr int64_t five_seconds = 16;
  const bool picture = !a.contains("input_image") && (!video || (a.contains("temp") && a.at("temp") == 1));
  put("temp", picture ? 1 : five_seconds);
  if (a.contains("input_image")) {
    put("num_inference_steps", json::array({10, 10, 10}));
    put("video_guidance_scale", 4.0);
  } else {
    put("num_inference_steps", json::array({20, 20, 20}));
    put("video_num_inference_steps", json::array({10, 10, 10}));
    const bool small = !picture && has_transformer(folder, "_384p") && !has_transformer(folder, "_768p");
    put("guidance_scale", small ? 7.0 : 9.0);
    put("video_guidance_scale", 5.0);
  }
  if (plan.request.negative_prompt.empty()) plan.request.negative_prompt = usual_negative_prompt;
  return plan;
}

Limits limits(const checkpoint::Folder& folder) {
  constexpr int stage_ratio = 8;  // three stages of half the size, whose patches have two pixels of the latents
  constexpr int64_t five_seconds = 121, ten_seconds = 241;
  constexpr double rate = 24;
  const auto vae = models::pyramid_flow::VaeConfig::from(folder.config("causal_video_vae"));
  const bool large = has_transformer(folder, "_768p"), small = has_transformer(folder, "_384p");
  Limits l;
  l.size_multiple = static_cast<int>(vae.spatial_factor()) * stage_ratio;
  l.frame_group = vae.temporal_factor();
  l.frame_offset = 1;
  l.width = large ? 1280 : small ? 640 : 1024;
  l.height = large ? 768 : small ? 384 : 1024;
  l.frames = large || small ? five_seconds : 1;
  // The smaller transformer was trained on five seconds.
  l.most_frames = large ? ten_seconds : l.frames;
  l.fps = rate;
  l.most_pixels = int64_t{l.width} * l.height;
  l.takes_picture = true;
  return l;
}

}  // namespace prax::pipelines::pyramid_flow
