#pragma once

#include <memory>

#include "models/pyramid_flow/transformer.h"
#include "models/pyramid_flow/vae.h"
#include "pipelines/pipeline.h"
#include "pipelines/pyramid_flow/history_cache.h"
#include "pipelines/pyramid_flow/latents.h"
#include "pipelines/pyramid_flow/picture_stream.h"
#include "pipelines/pyramid_flow/prompts.h"
#include "pipelines/step_saving.h"
#include "schedulers/pyramid_flow_match.h"

namespace prax::pipelines::pyramid_flow {

//! Text and picture to video, and text to picture: PyramidDiTForVideoGeneration of the authors' code, whose functions
//! are `generate` and, with an input_image, `generate_i2v`. A video is made frame of latents by frame of latents
//! (units), each in stages of growing resolution, each stage in steps; the denoiser sees the finished frames at falling
//! resolutions.
class PyramidFlowPipeline : public Pipeline {
public:
  PyramidFlowPipeline(const checkpoint::Folder& folder, const LoadOptions& options);

  std::string family() const override { return "pyramid-flow"; }
  std::string reference_class() const override { return "PyramidDiTForVideoGeneration"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  //! A picture goes to the sink as soon as its frame of latents is decoded, one frame of latents after the other.
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  //! Each frame of latents is decoded as soon as its last step is done. The packed weights of the denoiser and of the
  //! decoder are then in memory together; `stream` false decodes when the denoiser's are gone.
  void generate(Run& run, const OpenSink& open, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

  Design design() const { return design_; }
  //! The text encoders, opened again when they were let go.
  TextEncoders& text_encoders();

private:
  //! One step of a run.
  struct Place {
    int64_t unit, stage, index;
  };
  std::vector<Place> places(const Run& run) const;
  static int64_t stage_steps(const Run& run, const Place& at);
  //! What is called with a run whenever it has clean frames of latents that it did not have before.
  using OnFrames = std::function<void(const Run& run)>;
  void take_steps(Run& run, const Monitor& monitor, const OnFrames& on_frames);
  std::vector<Prompt> encode_prompts(const Run& run, const Monitor& monitor);
  void enter(Run& run, const Place& at, const schedulers::PyramidFlowMatchScheduler& schedule, const Monitor& monitor);
  static void keep_frame(Run& run);
  schedulers::PyramidFlowMatchScheduler scheduler(const nlohmann::json& arguments) const;
  models::pyramid_flow::Transformer& transformer(const std::string& variant);
  //! The transformer folder that suits the arguments, and sizes for it where they are left open.
  void choose_variant(nlohmann::json& arguments, bool with_picture) const;
  void check(const nlohmann::json& arguments, bool with_picture) const;
  Tensor encode_picture(Run& run, const Monitor& monitor);
  void require_own(const Run& run) const;
  static void require_finished(const Run& run);
  //! Whether a run begins with a picture.
  static bool begins_with_picture(const Run& run);
  double guidance_of(const Run& run, int64_t unit) const;
  //! Whether the step is guided; the steps of a unit count as the whole.
  static bool guides(const Run& run, const Place& at);
  Tensor predict(const Run& run, const Place& at, std::span<const models::pyramid_flow::Context> contexts,
                 double timestep, HistoryCache& history, StepCache& cache, const Monitor& monitor);
  models::pyramid_flow::VaeTiling tiling(const nlohmann::json& arguments) const;

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  std::vector<std::string> variants_;  //!< names of the transformers' folders
  Design design_;
  std::unique_ptr<TextEncoders> text_;
  std::string variant_;
  std::unique_ptr<models::pyramid_flow::Transformer> transformer_;
  std::unique_ptr<models::pyramid_flow::Vae> vae_;
};

}  // namespace prax::pipelines::pyramid_flow
