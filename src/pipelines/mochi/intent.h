#pragma once

#include "pipelines/intent.h"
#include "pipelines/limits.h"

namespace prax::pipelines::mochi {

//! See make_plan(): Mochi 1 makes videos from text, and nothing else. Error(usage) for what is more.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

//! See prax::pipelines::limits().
Limits limits(const checkpoint::Folder& folder);

}  // namespace prax::pipelines::mochi
