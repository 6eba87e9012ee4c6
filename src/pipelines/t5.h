#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Of a whole T5, whose other half makes no embeddings, and the embedding's other names.
inline const std::vector<std::string> rest_of_t5{"decoder.*", "lm_head.weight", "encoder.embed_tokens.weight",
                                                 "shared.weight"};

//! The T5 encoder that the folder has under `component`. Error(checkpoint) when its weights do not fit, or some belong
//! to nothing and are not `ignored`.
std::unique_ptr<models::T5Encoder> open_t5(const checkpoint::Folder& folder, const std::string& component,
                                           const LoadOptions& options,
                                           const std::vector<std::string>& ignored = rest_of_t5);

}  // namespace prax::pipelines
