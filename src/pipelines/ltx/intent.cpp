#include "pipelines/ltx/intent.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/picture.h"
#include "models/ltx/vae.h"
#include "pipelines/arguments.h"
#include "pipelines/ltx/ltx_pipeline.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::ltx {

namespace {

using nlohmann::json;

//! Frames of the given clip that the frames to come see.
constexpr int64_t most_context_frames = 9;

bool says_distilled(const std::string& name) { return name.find("distilled") != std::string::npos; }

//! Whether the checkpoint was distilled to few steps without guidance. Its files say so only in names.
bool is_distilled(const checkpoint::Folder& folder) {
  if (says_distilled(folder.path().lexically_normal().string())) return true;
  for (const char* component : {"transformer", "scheduler"})
    if (says_distilled(folder.config(component).get<std::string>("_name_or_path", ""))) return true;
  return false;
}

//! What diffusers' documentation of LTX-Video (docs/source/en/api/pipelines/ltx_video.md) recommends beside the
//! defaults of the pipelines.
json documented_defaults(const checkpoint::Folder& folder, const std::string& reference_class, bool upscales) {
  json defaults = json::object();
  const auto vae = models::ltx::VaeConfig::from(folder.config("vae"));
  const bool is_long = reference_class == "LTXI2VLongMultiPromptPipeline";
  if (vae.timestep_conditioning) {
    defaults["decode_timestep"] = 0.05;
    defaults["decode_noise_scale"] = 0.025;
  }
  if (reference_class == "LTXLatentUpsamplePipeline") return defaults;  // it has no denoiser and no steps
  if (is_long) {
    defaults["scheduler"] = "LTXEulerAncestralRFScheduler";
    return defaults;
  }
  if (is_distilled(folder)) {
    defaults["timesteps"] = {1000, 993, 987, 981, 975, 909, 725, 0.03};
    defaults["guidance_scale"] = 1.0;
    if (reference_class == "LTXConditionPipeline") defaults["image_cond_noise_scale"] = 0.0;
    if (upscales) {
      defaults["adain_factor"] = 1.0;
      defaults["tone_map_compression_ratio"] = 0.6;
      defaults["refine_timesteps"] = {1000, 909, 725, 421, 0};
      defaults["refine_strength"] = 0.999;
    }
  } else if (upscales) {
    defaults["image_cond_noise_scale"] = 0.025;
    defaults["num_inference_steps"] = 30;
  }
  return defaults;
}

//! What the folder's own praxinoscope.json says comes before all.
std::vector<Argument> folder_arguments(const checkpoint::Folder& folder) {
  auto arguments = common_arguments();
  for (Argument& a : arguments) a.default_value = nullptr;
  apply_folder_defaults(folder, arguments);
  return arguments;
}

class Planner {
public:
  Planner(const checkpoint::Folder& folder, const Intent& intent, const Request& request)
      : folder_(folder), intent_(intent), vae_(models::ltx::VaeConfig::from(folder.config("vae"))) {
    plan_.request = request;
    for (const Argument& a : common_arguments()) reference_[a.name] = a.default_value;
    for (const Argument& a : folder_arguments(folder))
      if (!a.default_value.is_null()) own_[a.name] = a.default_value;
  }

  Plan make() {
    plan_.reference_class = pick_class();
    json& a = plan_.request.arguments;
    if (intent_.shots.empty() && !intent_.extend && !intent_.video) place_image();
    if (intent_.video) change_clip();
    if (intent_.extend) extend_clip();
    if (!intent_.conditions.empty()) place_conditions();
    if (intent_.loop) a["loop"] = true;
    if (!intent_.shots.empty()) join_shots();
    const json documented = documented_defaults(folder_, plan_.reference_class, !intent_.upscaler.empty());
    for (const auto& [name, value] : documented.items())
      if (!a.contains(name) && !own_.contains(name) && !(name == "timesteps" && a.contains("num_inference_steps")))
        a[name] = value;
    return plan_;
  }

private:
  std::string pick_class() const {
    const bool needs_conditions =
        intent_.video || intent_.extend || intent_.loop || !intent_.conditions.empty() || !intent_.upscaler.empty();
    if (folder_.pipeline_class() == "LTXLatentUpsamplePipeline") return folder_.pipeline_class();
    if (!intent_.shots.empty()) {
      if (needs_conditions)
        throw Error(ErrorKind::usage, "shots cannot be joined with other clips in one run",
                    "make the shots first, then use the result with --extend, --loop or --video");
      return "LTXI2VLongMultiPromptPipeline";
    }
    if (needs_conditions || folder_.pipeline_class() == "LTXConditionPipeline") return "LTXConditionPipeline";
    return intent_.image ? "LTXImageToVideoPipeline" : "LTXPipeline";
  }

  json absent_or(const char* name) const {
    const json& a = plan_.request.arguments;
    if (a.contains(name)) return a.at(name);
    return own_.contains(name) ? own_.at(name) : reference_.at(name);
  }
  int64_t number(const char* name) const { return absent_or(name).get<int64_t>(); }

  //! Width and height of the video after those of a picture or clip, where neither the request nor the folder says:
  //! its shape, at most as many pixels as the pipeline's default.
  void take_shape(int width, int height) {
    json& a = plan_.request.arguments;
    a.emplace("resize_mode", "crop");
    if (a.contains("width") || a.contains("height") || own_.contains("width") || own_.contains("height")) return;
    const double most = static_cast<double>(number("width") * number("height"));
    const double scale = std::min(1.0, std::sqrt(most / (static_cast<double>(width) * height)));
    const auto cell = static_cast<double>(vae_.spatial_compression_ratio);
    const auto snapped = [&](int side) {
      return static_cast<int64_t>(std::max(1.0, std::round(side * scale / cell)) * cell);
    };
    a["width"] = snapped(width);
    a["height"] = snapped(height);
  }

  void take_rate(double fps) {
    json& a = plan_.request.arguments;
    if (!a.contains("frame_rate") && fps > 0) a["frame_rate"] = fps;
  }

  void place_image() {
    if (!intent_.image) return;
    const media::Picture picture = media::read_picture(*intent_.image);
    take_shape(picture.width, picture.height);
    json& a = plan_.request.arguments;
    a["image"] = intent_.image->string();
    if (!intent_.strength) return;
    if (plan_.reference_class != "LTXConditionPipeline")
      throw Error(ErrorKind::usage, "the first frame of this model always holds fully",
                  "leave --strength out, or use --condition FILE@0:STRENGTH");
    a["strength"] = *intent_.strength;
  }

  //! Frames that stand in whole groups behind a first one.
  int64_t whole_groups(int64_t frames) const {
    return std::max<int64_t>(0, frames - 1) / vae_.temporal_compression_ratio * vae_.temporal_compression_ratio + 1;
  }

  void change_clip() {
    json& a = plan_.request.arguments;
    if (folder_.pipeline_class() == "LTXLatentUpsamplePipeline") {
      a["video"] = intent_.video->string();
      return;
    }
    const media::VideoInfo info = clip_info(*intent_.video);
    take_shape(info.width, info.height);
    take_rate(info.fps);
    if (!a.contains("num_frames")) a["num_frames"] = whole_groups(info.frames);
    a["init_video"] = {{"file", intent_.video->string()}, {"frames", a.at("num_frames")}};
    constexpr double usual_strength = 0.6;
    a.emplace("denoise_strength", intent_.strength.value_or(usual_strength));
    if (intent_.image) a["image"] = intent_.image->string();
  }

  void extend_clip() {
    json& a = plan_.request.arguments;
    const media::VideoInfo info = clip_info(*intent_.extend);
    take_shape(info.width, info.height);
    take_rate(info.fps);
    const int64_t context = whole_groups(std::min(info.frames, most_context_frames));
    a["extend"] = intent_.extend->string();
    a["extend_overlap"] = context;
    // As many new frames as the clip has.
    if (!a.contains("num_frames"))
      a["num_frames"] = context + std::max(whole_groups(info.frames) - 1, vae_.temporal_compression_ratio);
  }

  void place_conditions() {
    json conditions = json::array();
    bool shaped = false;
    const auto add = [&](const PlacedMedia& placed) {
      const media::VideoInfo info = clip_info(placed.file);
      if (!shaped) take_shape(info.width, info.height);
      shaped = true;
      conditions.push_back({{info.frames > 1 ? "video" : "image", placed.file.string()},
                            {"frame_index", placed.frame},
                            {"strength", placed.strength}});
    };
    if (intent_.image) add({*intent_.image, 0, intent_.strength.value_or(1.0)});
    for (const PlacedMedia& placed : intent_.conditions) add(placed);
    json& a = plan_.request.arguments;
    a.erase("image");
    a.erase("strength");
    a["conditions"] = std::move(conditions);
  }

  //! Shots become windows: each window has the prompt of the shot in which its new part begins.
  void join_shots() {
    json& a = plan_.request.arguments;
    const double rate = absent_or("frame_rate").get<double>();
    double seconds = 0;
    for (const Shot& shot : intent_.shots) seconds += shot.seconds;
    const int64_t group = vae_.temporal_compression_ratio;
    a["num_frames"] = std::max<int64_t>(1, std::llround(seconds * rate / static_cast<double>(group))) * group + 1;
    // Windows of the length that the folder's model was made for, where it says so.
    if (own_.contains("num_frames") && !a.contains("temporal_tile_size")) {
      const int64_t tile = (own_.at("num_frames").get<int64_t>() - 1) / group + 1;
      a["temporal_tile_size"] = tile * group;
      // Seams are faded over the overlap less one; with an overlap of two the reference repeats a frame.
      if (!a.contains("temporal_overlap")) a["temporal_overlap"] = (tile >= 6 ? 3 : 1) * group;
    }
    constexpr int64_t usual_tile = 80, usual_overlap = 24;
    const int64_t tile = std::max<int64_t>(1, a.value("temporal_tile_size", usual_tile) / group);
    const int64_t stride = std::max<int64_t>(1, tile - a.value("temporal_overlap", usual_overlap) / group);
    const int64_t all = (a.at("num_frames").get<int64_t>() - 1) / group + 1;
    json segments = json::array();
    for (int64_t begin = 0, w = 0; begin < all; begin += stride, ++w) {
      const double new_part = w == 0 ? 0 : static_cast<double>((begin + tile - stride) * group) / rate;
      double end = 0;
      size_t shot = 0;
      for (; shot + 1 < intent_.shots.size(); ++shot) {
        end += intent_.shots[shot].seconds;
        if (new_part < end) break;
      }
      segments.push_back({{"start_window", w}, {"end_window", w}, {"text", intent_.shots[shot].prompt}});
      if (begin + tile >= all) break;
    }
    a["prompt_segments"] = std::move(segments);
    a.emplace("seed", static_cast<int64_t>(plan_.request.seed & 0x7fffffff));
    if (intent_.image) {
      const media::Picture picture = media::read_picture(*intent_.image);
      take_shape(picture.width, picture.height);
      a["cond_image"] = intent_.image->string();
      a.emplace("cond_strength", intent_.strength.value_or(1.0));
    }
    std::string& prompt = plan_.request.prompt;
    if (!prompt.empty()) return;
    for (const Shot& shot : intent_.shots) prompt += (prompt.empty() ? "" : " | ") + shot.prompt;
  }

  const checkpoint::Folder& folder_;
  const Intent& intent_;
  models::ltx::VaeConfig vae_;
  json reference_ = json::object(), own_ = json::object();
  Plan plan_;
};

}  // namespace

Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request) {
  return Planner(folder, intent, request).make();
}

Limits limits(const checkpoint::Folder& folder) {
  // What the model's documentation names: "below 720 x 1280 and below 257 frames".
  constexpr int64_t documented_frames = 257, documented_pixels = 1280 * 720;
  const auto vae = models::ltx::VaeConfig::from(folder.config("vae"));
  Limits l;
  l.size_multiple = static_cast<int>(vae.spatial_compression_ratio);
  l.frame_group = vae.temporal_compression_ratio;
  l.frame_offset = 1;
  l.most_frames = documented_frames;
  l.most_pixels = documented_pixels;
  take_defaults(common_arguments(), l);
  l.takes_picture = l.changes_clips = l.extends_clips = l.takes_conditions = true;
  l.most_context_frames = most_context_frames;
  return l;
}

}  // namespace prax::pipelines::ltx
