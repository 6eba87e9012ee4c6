#include "pipelines/guidance.h"

#include "base/log.h"

namespace prax::pipelines {

bool guided(const nlohmann::json& arguments) { return arguments.at("guidance_scale").get<double>() > 1.0; }

void warn_of_unread_prompt(const Run& run, bool is_guided) {
  if (!is_guided && !run.request.negative_prompt.empty())
    log_warning("the negative prompt does nothing without guidance: set guidance_scale to 2 or more for it to be read");
}

}  // namespace prax::pipelines
