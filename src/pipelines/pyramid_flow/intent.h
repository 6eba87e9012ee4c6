#pragma once

#include "pipelines/intent.h"

namespace prax::pipelines::pyramid_flow {

//! See make_plan(): what Pyramid Flow does of it, with the settings of its authors' demos where nothing is said.
Plan plan(const checkpoint::Folder& folder, const Intent& intent, const Request& request);

}  // namespace prax::pipelines::pyramid_flow
