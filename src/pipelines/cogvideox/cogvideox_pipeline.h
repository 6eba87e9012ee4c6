#pragma once

#include <memory>
#include <optional>

#include "models/cogvideox/transformer.h"
#include "models/cogvideox/vae.h"
#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"
#include "pipelines/prompt_cache.h"
#include "pipelines/step_saving.h"
#include "schedulers/cogvideox_schedule.h"
#include "text/t5_tokenizer.h"

namespace prax::pipelines::cogvideox {

//! What the pipelines of CogVideoX share: the components of a model folder, and the way from a request over denoising
//! steps to frames (diffusers pipelines/cogvideo). A pipeline of the reference says in its own file how its latents
//! begin, and what the denoiser sees beside them. A run's latents are [1, frames, channels, height, width], scaled.
class CogVideoXPipeline : public Pipeline {
public:
  std::string family() const override { return "cogvideox"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;
  nlohmann::json tiling_near(int64_t side) const override;

protected:
  //! `clip_channels` says of how many latents' channels the denoiser's input is made: 1, or 2 where it sees a picture
  //! beside them.
  CogVideoXPipeline(const checkpoint::Folder& folder, const LoadOptions& options, std::vector<Argument> arguments,
                    int64_t clip_channels);

  // What a pipeline adds.

  //! Latent frames that the reference puts before the clip, so that all fit into patches.
  virtual int64_t padding_frames(const nlohmann::json& arguments) const;
  //! Checks the completed arguments beyond sizes. Error(usage).
  virtual void check_arguments(const Request&) const {}
  //! Draws the latents and whatever else the run begins with, in the reference's order.
  virtual void prepare(Run& run, const Monitor& monitor) = 0;
  //! The schedule's steps that the run leaves out at its beginning.
  virtual int64_t first_step(const nlohmann::json&) const { return 0; }
  //! What the denoiser sees: [frames, in_channels, height, width].
  virtual Tensor model_input(const Run& run) const;

  // What pipelines work with.

  const models::cogvideox::VaeConfig& vae_config() const { return vae_->config(); }
  const models::cogvideox::TransformerConfig& transformer_config() const { return transformer_->config(); }
  //! Latent frames of a clip of so many frames.
  int64_t latent_frames(int64_t frames) const;
  //! [1, frames, channels, height, width] of a clip of `num_frames`.
  Shape latent_shape(const nlohmann::json& arguments) const;
  //! The argument `latents`; undefined when absent. Error(usage) for another shape; of any length where frames is 0.
  Tensor given_latents(const Run& run, Shape wanted) const;
  //! A sample of the latents of pixels [T, H, W, 3] in -1..1: [1, frames, channels, height, width], each value
  //! multiplied by `scale`. `call` counts a run's calls, for probes.
  Tensor encode(Run& run, const Tensor& pixels, double scale, int64_t call, const Monitor& monitor);
  std::unique_ptr<schedulers::CogVideoXSchedule> schedule(const nlohmann::json& arguments) const;

private:
  models::T5Encoder& text_encoder();
  void check_sizes(const nlohmann::json& arguments) const;
  //! Error(input) for a run that another model began.
  void require_own(const Run& run) const;
  Tensor encode_text(const std::string& text, int64_t max_sequence_length, int64_t call, const Monitor& monitor);
  //! The negative prompt when guided, then the prompt, as the reference stacks them: each [tokens, channels] f32.
  std::vector<Tensor> encode_prompts(const Run& run, const Monitor& monitor);
  //! The denoiser's answer to every prompt: [prompts, frames, channels, height, width]
  Tensor predict(const Run& run, const std::vector<Tensor>& prompts, int64_t timestep,
                 const models::cogvideox::Rotary& rotary, const Monitor& monitor, StepCache& cache) const;
  //! Its answer to one: [frames, channels, height, width]. `item` is 0 for the prompt, 1 for the negative prompt.
  Tensor answer(int64_t item, const Run& run, const Tensor& text, int64_t timestep,
                const models::cogvideox::Rotary& rotary, const Monitor& monitor, StepCache& cache) const;
  double guidance_at(const Run& run, int64_t timestep) const;
  //! What the denoiser is told of ofs, where it asks.
  std::optional<float> ofs() const;
  //! Latents [frames, channels, height, width] of the run, as the decoder wants them: [channels, frames, height,
  //! width].
  Tensor unscaled(const Tensor& latents) const;
  void use_tiling(const nlohmann::json& arguments);

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  PromptCache prompts_;
  text::T5Tokenizer tokenizer_;
  checkpoint::Config scheduler_config_;
  std::unique_ptr<models::T5Encoder> text_encoder_;
  std::unique_ptr<models::cogvideox::Transformer> transformer_;
  std::unique_ptr<models::cogvideox::Vae> vae_;
};

//! Arguments that all pipelines of CogVideoX have, with the reference's defaults for a model folder.
std::vector<Argument> common_arguments(const checkpoint::Folder& folder);

//! The place of an argument in a list.
std::vector<Argument>::iterator find_argument(std::vector<Argument>& arguments, const std::string& name);

}  // namespace prax::pipelines::cogvideox
