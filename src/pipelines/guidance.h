#pragma once

#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Whether each step asks the denoiser twice, once with the negative prompt: guidance_scale is more than 1.
bool guided(const nlohmann::json& arguments);

//! Warns of a negative prompt that a run without guidance does not read.
void warn_of_unread_prompt(const Run& run, bool is_guided);

}  // namespace prax::pipelines
