#pragma once

#include <memory>
#include <string>

#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! The T5 encoder that the folder has under `component`. Error(checkpoint) when its weights do not fit, or some belong
//! to nothing.
std::unique_ptr<models::T5Encoder> open_t5(const checkpoint::Folder& folder, const std::string& component,
                                           const LoadOptions& options);

}  // namespace prax::pipelines
