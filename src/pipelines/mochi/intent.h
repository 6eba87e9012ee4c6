#pragma once

#include "pipelines/intent.h"

namespace prax::pipelines::mochi {

//! See make_plan(): Mochi 1 makes videos from text, and nothing else. Error(usage) for what is more.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

}  // namespace prax::pipelines::mochi
