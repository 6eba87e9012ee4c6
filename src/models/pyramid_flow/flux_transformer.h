#pragma once

#include "models/pyramid_flow/transformer.h"

namespace prax::models::pyramid_flow {

//! PyramidFluxTransformer: joint blocks, then single ones; rotary positions over time, row and column.
class FluxTransformer : public Transformer {
public:
  FluxTransformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  void release() override;

private:
  void embed(std::span<const Tensor> clips, std::span<const ClipSize> sizes, const ClipSize& noisy,
             Tensor rows) const override;
  Rotary rotary(const Sequence& sequence) const override;

  std::vector<int64_t> axes_;  //!< channels of a head for each axis
  nn::Linear x_embedder_;
};

}  // namespace prax::models::pyramid_flow
