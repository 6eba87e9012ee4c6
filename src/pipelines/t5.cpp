#include "pipelines/t5.h"

namespace prax::pipelines {

std::unique_ptr<models::T5Encoder> open_t5(const checkpoint::Folder& folder, const std::string& component,
                                           const LoadOptions& options) {
  const auto weights = folder.weights(component, options.variant);
  auto encoder = std::make_unique<models::T5Encoder>(folder.config(component), checkpoint::Weights(weights),
                                                     wide_dtype(options.dtype));
  // Of the whole T5, whose other half makes no embeddings, and the embedding's other name.
  checkpoint::require_all_used(*weights,
                               {"decoder.*", "lm_head.weight", "encoder.embed_tokens.weight", "shared.weight"});
  return encoder;
}

}  // namespace prax::pipelines
