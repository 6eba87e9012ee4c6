#pragma once

#include "verify_case.h"

namespace prax::app {

//! Whether a case was made of Pyramid Flow, whose references have a form of their own (by the authors' code, not by
//! diffusers): single networks, the scheduler, random draws, text encoders, whole runs.
bool is_pyramid_flow_case(const ReferenceCase& reference);

//! verify_case() for these.
void verify_pyramid_flow(const ReferenceCase& reference, const VerifyOptions& options, const Report& report);

}  // namespace prax::app
