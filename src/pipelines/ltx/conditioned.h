#pragma once

#include "pipelines/ltx/ltx_pipeline.h"

namespace prax::pipelines::ltx {

//! A video with pictures and clips at any of its frames, each with its strength, and video to video: diffusers
//! pipelines/ltx/pipeline_ltx_condition.py (LTXConditionPipeline). What stands at frame 0 takes the place of the first
//! latent frames; pictures, and the first two latent frames of clips, at other frames are extra tokens with those
//! frames' positions. A token is told at most the timestep that its strength leaves.
//! Beyond the reference: `loop` holds the first frame at the end, too (without a picture there, a first pass makes it),
//! and `extend` goes on with a clip and gives that clip and its continuation as one.
class Conditioned : public LtxPipeline {
public:
  Conditioned(const checkpoint::Folder& folder, const LoadOptions& options);
  std::string reference_class() const override { return "LTXConditionPipeline"; }
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;

protected:
  void check_arguments(const nlohmann::json& arguments) const override;
  void prepare(Run& run, const Monitor& monitor) override;
  schedulers::FlowMatchEulerScheduler schedule(const Run& run) const override;
  int64_t first_step(const Run& run) const override;
  int64_t count_passes(const Run& run) const override;
  void next_pass(Run& run) override;
  models::ltx::Rotary positions(const Run& run, Tensor& coords) const override;
  void before_step(Run& run, float timestep) const override;
  Moment moment(const Run& run, float timestep) const override;
  Tensor step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler, const Tensor& prediction) const override;
  int64_t extra_tokens(const Run& run) const override;
  bool masks_text() const override { return true; }

private:
  struct Condition {
    nlohmann::json image, video;  //!< one of them is null
    int64_t frame_index = 0;
    double strength = 1.0;
  };
  //! What is held, in the reference's words and ours.
  static std::vector<Condition> conditions(const nlohmann::json& arguments);
  static std::vector<Condition> single_conditions(const nlohmann::json& arguments);
  class Holder;
  //! Pixels of a condition, cut to what the clip has room for: [T, H, W, 3] in -1..1.
  Tensor pixels_of(const Condition& condition, const Run& run) const;
  void initial_latents(Run& run, Tensor& latents, const Monitor& monitor, int64_t& encoded);
};

}  // namespace prax::pipelines::ltx
