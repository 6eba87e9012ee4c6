#pragma once

#include "pipelines/intent.h"

namespace prax::pipelines::ltx {

//! See make_plan(): which pipeline of LTX-Video does it, and with what.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

}  // namespace prax::pipelines::ltx
