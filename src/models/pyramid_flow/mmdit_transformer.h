#pragma once

#include "models/pyramid_flow/transformer.h"

namespace prax::models::pyramid_flow {

//! PyramidDiffusionMMDiT: joint blocks only; a table of positions in the picture, and rotary positions over time.
class MmditTransformer : public Transformer {
public:
  MmditTransformer(const checkpoint::Config& config, const checkpoint::Weights& weights, DType dtype);
  void release() override;

private:
  void embed(std::span<const Tensor> clips, std::span<const ClipSize> sizes, const ClipSize& noisy,
             Tensor rows) const override;
  Rotary rotary(const Sequence& sequence) const override;
  void add_positions(const ClipSize& clip, const ClipSize& noisy, float* rows) const;

  nn::Linear proj_;
  int64_t table_size_;  //!< rows and columns of the table
  Tensor table_;        //!< [1, table_size^2, dim], as stored
  std::string table_name_;
};

}  // namespace prax::models::pyramid_flow
