#include "pipelines/denoisers.h"

#include <algorithm>

#include "base/error.h"
#include "models/cogvideox/transformer.h"
#include "models/ltx/transformer.h"
#include "models/mochi/transformer.h"
#include "models/pyramid_flow/transformer.h"

namespace prax::pipelines {

namespace {

template <typename Network>
void make(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype) {
  const Network network(config, weights, dtype);
}

void make_pyramid_flow(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype) {
  models::pyramid_flow::Transformer::make(config, weights, dtype);
}

struct Denoiser {
  std::string_view class_name;
  void (*make)(const checkpoint::Config&, const checkpoint::Weights&, DType);
};

constexpr Denoiser known_denoisers[] = {{"LTXVideoTransformer3DModel", make<models::ltx::Transformer>},
                                        {"CogVideoXTransformer3DModel", make<models::cogvideox::Transformer>},
                                        {"MochiTransformer3DModel", make<models::mochi::Transformer>},
                                        {"PyramidFluxTransformer", make_pyramid_flow},
                                        {"PyramidDiffusionMMDiT", make_pyramid_flow}};

const Denoiser* denoiser_of(std::string_view class_name) {
  const auto* it = std::find_if(std::begin(known_denoisers), std::end(known_denoisers),
                                [&](const Denoiser& d) { return d.class_name == class_name; });
  return it == std::end(known_denoisers) ? nullptr : it;
}

}  // namespace

std::vector<std::string> denoisers_of(const checkpoint::Folder& folder) {
  std::vector<std::string> names;
  for (const auto& component : folder.components())
    if (denoiser_of(component.class_name)) names.push_back(component.name);
  return names;
}

void describe_denoiser(const checkpoint::Config& config, const std::shared_ptr<checkpoint::TensorSource>& weights,
                       DType dtype) {
  const Denoiser* denoiser = denoiser_of(config.class_name());
  if (!denoiser)
    throw Error(ErrorKind::checkpoint,
                config.origin() + " is of a \"" + config.class_name() + "\", which is no denoiser that prax runs",
                "use a model folder of a family that `prax models` lists");
  denoiser->make(config, checkpoint::Weights(weights), dtype);
}

DType stored_dtype(const checkpoint::Folder& folder, const std::string& variant) {
  for (const std::string& name : denoisers_of(folder))
    for (const auto& tensor : folder.weights(name, variant)->list())
      if (tensor.dtype == DType::i8) return DType::i8;
  return DType::bf16;
}

}  // namespace prax::pipelines
