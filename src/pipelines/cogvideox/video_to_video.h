#pragma once

#include "pipelines/cogvideox/cogvideox_pipeline.h"

namespace prax::pipelines::cogvideox {

//! A clip changed: diffusers pipelines/cogvideo/pipeline_cogvideox_video2video.py (CogVideoXVideoToVideoPipeline). The
//! clip's latents are noised to where the schedule's last `strength` of steps begin.
class VideoToVideo : public CogVideoXPipeline {
public:
  VideoToVideo(const checkpoint::Folder& folder, const LoadOptions& options);
  std::string reference_class() const override { return "CogVideoXVideoToVideoPipeline"; }

protected:
  int64_t padding_frames(const nlohmann::json&) const override { return 0; }
  void check_arguments(const Request& request) const override;
  void prepare(Run& run, const Monitor& monitor) override;
  int64_t first_step(const nlohmann::json& arguments) const override;

private:
  void require_whole_patches(int64_t latent_frames) const;
};

}  // namespace prax::pipelines::cogvideox
