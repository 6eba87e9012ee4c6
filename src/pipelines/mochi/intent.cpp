#include "pipelines/mochi/intent.h"

#include "base/error.h"

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

}  // namespace prax::pipelines::mochi
