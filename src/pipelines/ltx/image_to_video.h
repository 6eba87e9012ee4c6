#pragma once

#include "pipelines/ltx/ltx_pipeline.h"

namespace prax::pipelines::ltx {

//! A video that begins with a picture: diffusers pipelines/ltx/pipeline_ltx_image2video.py (LTXImageToVideoPipeline).
//! The picture is the first latent frame; it stays as it is, and its tokens are told timestep 0.
class ImageToVideo : public LtxPipeline {
public:
  ImageToVideo(const checkpoint::Folder& folder, const LoadOptions& options);
  std::string reference_class() const override { return "LTXImageToVideoPipeline"; }

protected:
  void check_arguments(const nlohmann::json& arguments) const override;
  void prepare(Run& run, const Monitor& monitor) override;
  Moment moment(const Run& run, float timestep) const override;
  Tensor step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler, const Tensor& prediction) const override;
};

}  // namespace prax::pipelines::ltx
