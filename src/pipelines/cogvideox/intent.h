#pragma once

#include "pipelines/intent.h"
#include "pipelines/limits.h"

namespace prax::pipelines::cogvideox {

//! See make_plan(): CogVideoX makes videos from text, changes clips, and (checkpoints for that) goes on from a picture.
//! Error(usage) for what is more.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

//! See prax::pipelines::limits().
Limits limits(const checkpoint::Folder& folder);

}  // namespace prax::pipelines::cogvideox
