#include "pipelines/t5.h"

namespace prax::pipelines {

std::unique_ptr<models::T5Encoder> open_t5(const checkpoint::Folder& folder, const std::string& component,
                                           const LoadOptions& options, const std::vector<std::string>& ignored) {
  const auto weights = folder.weights(component, options.variant);
  auto encoder = std::make_unique<models::T5Encoder>(folder.config(component), checkpoint::Weights(weights),
                                                     wide_dtype(options.dtype));
  checkpoint::require_all_used(*weights, ignored);
  return encoder;
}

}  // namespace prax::pipelines
