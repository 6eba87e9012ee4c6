#include "pipelines/cogvideox/intent.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "media/picture.h"
#include "pipelines/arguments.h"
#include "pipelines/cogvideox/cogvideox_pipeline.h"
#include "pipelines/pictures.h"

namespace prax::pipelines::cogvideox {

namespace {

using nlohmann::json;

// What diffusers' documentation (docs/source/en/api/pipelines/cogvideox.md) recommends for 1.5: the short side 768, the
// long one up to 1360, 81 frames. The reference's own defaults would be pictures of 2400x2400.
constexpr int64_t short_side = 768, long_side = 1360, documented_frames = 81;

void refuse(const Intent& intent) {
  const std::pair<bool, const char*> wishes[] = {{!intent.conditions.empty(), "be led by pictures and clips at frames"},
                                                 {intent.extend.has_value(), "go on with a clip"},
                                                 {intent.loop, "make a loop"},
                                                 {!intent.shots.empty(), "join shots"},
                                                 {!intent.upscaler.empty(), "make a second pass at twice the size"},
                                                 {intent.image && intent.video, "take a picture and a clip together"}};
  for (const auto& [wished, what] : wishes)
    if (wished)
      throw Error(ErrorKind::usage, std::string("CogVideoX cannot ") + what,
                  "leave it out, or use a model that can, like LTX-Video");
}

class Planner {
public:
  Planner(const checkpoint::Folder& folder, const Intent& intent, const Request& request)
      : intent_(intent),
        transformer_(models::cogvideox::TransformerConfig::from(folder.config("transformer"))),
        vae_(models::cogvideox::VaeConfig::from(folder.config("vae"))) {
    plan_.request = request;
    auto own = common_arguments(folder);
    for (Argument& a : own) a.default_value = nullptr;
    apply_folder_defaults(folder, own);
    for (const Argument& a : own)
      if (!a.default_value.is_null()) own_[a.name] = a.default_value;
    takes_picture_ = transformer_.in_channels == 2 * vae_.latent_channels;
    folder_ = folder.path().string();
  }

  Plan make() {
    refuse(intent_);
    if (takes_picture_) {
      start_from_picture();
    } else if (intent_.video) {
      change_clip();
    } else {
      if (intent_.image)
        throw Error(ErrorKind::usage, folder_ + " makes videos from text: it cannot begin with a picture",
                    "use a checkpoint of CogVideoX for pictures (I2V)");
      plan_.reference_class = "CogVideoXPipeline";
    }
    if (transformer_.patch_size_t > 0) {
      set("width", long_side);
      set("height", short_side);
      if (!intent_.video) set("num_frames", documented_frames);
    }
    return plan_;
  }

private:
  bool is_set(const char* name) const { return plan_.request.arguments.contains(name) || own_.contains(name); }
  void set(const char* name, const json& value) {
    if (!is_set(name)) plan_.request.arguments[name] = value;
  }

  void start_from_picture() {
    if (intent_.video)
      throw Error(ErrorKind::usage, folder_ + " begins with a picture: it cannot change a clip",
                  "use a checkpoint of CogVideoX for text");
    if (!intent_.image)
      throw Error(ErrorKind::usage, folder_ + " makes videos from a picture", "give the first frame with --image");
    if (intent_.strength)
      throw Error(ErrorKind::usage, "the first frame of this model always holds fully", "leave --strength out");
    plan_.reference_class = "CogVideoXImageToVideoPipeline";
    json& a = plan_.request.arguments;
    a["image"] = intent_.image->string();
    a.emplace("resize_mode", "crop");
    if (transformer_.patch_size_t == 0 || is_set("width") || is_set("height")) return;
    const media::Picture picture = media::read_picture(*intent_.image);
    const double aspect = static_cast<double>(std::max(picture.width, picture.height)) /
                          static_cast<double>(std::min(picture.width, picture.height));
    const auto cell = static_cast<double>(vae_.spatial_ratio() * transformer_.patch_size);
    const auto longer = static_cast<int64_t>(std::round(static_cast<double>(short_side) * aspect / cell) * cell);
    const int64_t other = std::min(longer, long_side);
    a["width"] = picture.width >= picture.height ? other : short_side;
    a["height"] = picture.width >= picture.height ? short_side : other;
  }

  //! As many of the clip's frames as training had, or as fill whole chunks and patches.
  void change_clip() {
    plan_.reference_class = "CogVideoXVideoToVideoPipeline";
    json& a = plan_.request.arguments;
    const media::VideoInfo info = clip_info(*intent_.video);
    if (a.contains("num_frames"))
      a["video"] = {{"file", intent_.video->string()}, {"frames", a.at("num_frames")}};
    else
      a["video"] = {{"file", intent_.video->string()}, {"frames", usable_frames(info.frames)}};
    a.erase("num_frames");
    a.emplace("resize_mode", "crop");
    if (intent_.strength) a["strength"] = *intent_.strength;
    if (info.fps > 0) a.emplace("frame_rate", info.fps);
  }

  int64_t usable_frames(int64_t frames) const {
    const auto group = static_cast<int64_t>(vae_.temporal_compression_ratio);
    const int64_t patch = transformer_.frames_of_patch();
    const int64_t most = std::min(frames, transformer_.sample_frames);
    const int64_t latents = std::max<int64_t>(1, (most - 1) / group + 1);
    // Whole patches of latent frames, or an odd number of them: then the first frame has one of its own.
    const int64_t whole = patch > 1 ? std::max(latents / patch * patch, patch) : latents - (latents - 1) % 2;
    return (whole - 1) * group + 1;
  }

  const Intent& intent_;
  models::cogvideox::TransformerConfig transformer_;
  models::cogvideox::VaeConfig vae_;
  bool takes_picture_ = false;
  std::string folder_;
  json own_ = json::object();
  Plan plan_;
};

}  // namespace

Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request) {
  return Planner(folder, intent, request).make();
}

Limits limits(const checkpoint::Folder& folder) {
  const auto transformer = models::cogvideox::TransformerConfig::from(folder.config("transformer"));
  const auto vae = models::cogvideox::VaeConfig::from(folder.config("vae"));
  Limits l;
  l.size_multiple = static_cast<int>(vae.spatial_ratio() * transformer.patch_size);
  // An odd number of latent frames: then the first one has a picture of its own, and none is made beside what was
  // asked.
  l.frame_group = 2 * static_cast<int64_t>(vae.temporal_compression_ratio);
  l.frame_offset = 1;
  take_defaults(common_arguments(folder), l);
  if (transformer.patch_size_t > 0) {
    // No larger than it has positions for.
    l.width = static_cast<int>(std::min<int64_t>(long_side, l.width));
    l.height = static_cast<int>(std::min<int64_t>(short_side, l.height));
    l.frames = documented_frames;
  }
  l.most_frames = l.frames;
  l.most_pixels = int64_t{l.width} * l.height;
  l.one_size = transformer.use_learned_positional_embeddings;
  l.takes_picture = l.needs_picture = transformer.in_channels == 2 * vae.latent_channels;
  l.changes_clips = !l.takes_picture;
  return l;
}

}  // namespace prax::pipelines::cogvideox
