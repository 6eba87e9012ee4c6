#pragma once

#include "pipelines/intent.h"
#include "pipelines/limits.h"

namespace prax::pipelines::pyramid_flow {

//! See make_plan(): what Pyramid Flow does of it, with the settings of its authors' demos where nothing is said.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

//! See prax::pipelines::limits().
Limits limits(const checkpoint::Folder& folder);

}  // namespace prax::pipelines::pyramid_flow
