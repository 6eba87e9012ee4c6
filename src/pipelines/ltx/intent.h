#pragma once

#include "pipelines/intent.h"
#include "pipelines/limits.h"

namespace prax::pipelines::ltx {

//! See make_plan(): which pipeline of LTX-Video does it, and with what.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

//! See prax::pipelines::limits().
Limits limits(const checkpoint::Folder& folder);

}  // namespace prax::pipelines::ltx
