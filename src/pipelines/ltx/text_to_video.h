#pragma once

#include "pipelines/ltx/ltx_pipeline.h"

namespace prax::pipelines::ltx {

//! Text to video: diffusers pipelines/ltx/pipeline_ltx.py (LTXPipeline), argument for argument.
class TextToVideo : public LtxPipeline {
public:
  TextToVideo(const checkpoint::Folder& folder, const LoadOptions& options)
      : LtxPipeline(folder, options, common_arguments()) {}
  std::string reference_class() const override { return "LTXPipeline"; }
};

}  // namespace prax::pipelines::ltx
