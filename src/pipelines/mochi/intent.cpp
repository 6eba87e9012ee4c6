#include "pipelines/mochi/intent.h"

#include "base/error.h"
#include "models/mochi/transformer.h"
#include "models/mochi/vae.h"
#include "pipelines/mochi/mochi_pipeline.h"

namespace prax::pipelines::mochi {

Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request) {
  const std::pair<bool, const char*> wishes[] = {{intent.image.has_value(), "begin with a picture"},
                                                 {intent.video.has_value(), "change a clip"},
                                                 {!intent.conditions.empty(), "be led by pictures and clips"},
                                                 {intent.extend.has_value(), "go on with a clip"},
                                                 {intent.loop, "make a loop"},
                                                 {!intent.shots.empty(), "join shots"},
                                                 {!intent.upscaler.empty(), "make a second pass at twice the size"}};
  for (const auto& [wished, what] : wishes)
    if (wished)
      throw Error(ErrorKind::usage, std::string("Mochi 1 makes videos from a text alone and cannot ") + what,
                  "leave it out, or use a model that can, like LTX-Video");
  return {folder.pipeline_class(), request};
}

Limits limits(const checkpoint::Folder& folder) {
  constexpr int64_t longest_frames = 163;  // "up to 5.4 seconds" at 30 frames a second, say the authors
  const auto transformer = models::mochi::TransformerConfig::from(folder.config("transformer"));
  const auto vae = models::mochi::VaeConfig::from(folder.config("vae"));
  Limits l;
  l.size_multiple = static_cast<int>(vae.spatial_compression_ratio() * transformer.patch_size);
  l.frame_group = vae.temporal_compression_ratio();
  l.frame_offset = 1;
  take_defaults(reference_arguments(), l);
  l.most_frames = longest_frames;
  l.most_pixels = int64_t{l.width} * l.height;
  return l;
}

}  // namespace prax::pipelines::mochi
