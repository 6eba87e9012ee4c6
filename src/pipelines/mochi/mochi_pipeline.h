#pragma once

#include <memory>
#include <optional>

#include "models/mochi/transformer.h"
#include "models/mochi/vae.h"
#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"
#include "pipelines/prompt_cache.h"
#include "pipelines/step_saving.h"
#include "schedulers/flow_match_euler.h"
#include "text/t5_tokenizer.h"

namespace prax::pipelines::mochi {

//! Text to video with Mochi 1: diffusers pipelines/mochi/pipeline_mochi.py (MochiPipeline), argument for argument. A
//! run's latents are [B, channels, frames, height, width], normalised.
class MochiPipeline : public Pipeline {
public:
  MochiPipeline(const checkpoint::Folder& folder, const LoadOptions& options);

  std::string family() const override { return "mochi"; }
  std::string reference_class() const override { return "MochiPipeline"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor encode(const Tensor& pixels) override;
  Tensor preview(const Run& run) override;

private:
  //! A prompt for the denoiser: [batch, tokens, text_embed_dim] f32 and a 0/1 mask a token for each clip.
  struct Prompt {
    Tensor embeds;
    std::vector<std::vector<int64_t>> masks;
  };

  void check_sizes(const nlohmann::json& arguments) const;
  Shape latent_shape(const nlohmann::json& arguments) const;
  schedulers::FlowMatchEulerScheduler schedule(const nlohmann::json& arguments) const;
  //! Error(input) for a run that another model began.
  void require_own(const Run& run) const;

  models::T5Encoder& text_encoder();
  //! One prompt for `batch` clips. `call` is its number among the text encoder's calls.
  Prompt encode_text(const std::string& text, int64_t batch, int64_t max_sequence_length, int64_t call,
                     const Monitor& monitor);
  Prompt given_prompt(const Run& run, const std::string& prefix) const;
  //! The negative prompt when guided, then the prompt, as the reference stacks them.
  std::vector<Prompt> encode_prompts(const Run& run, const Monitor& monitor);
  //! The denoiser's answer for every clip with every prompt: [prompts * B, C, F, H, W]
  Tensor predict(const Run& run, const std::vector<Prompt>& prompts, float timestep,
                 const models::mochi::Rotary& rotary, const Monitor& monitor, StepCache& cache) const;
  //! Its answer for one clip, latents [C, F, H, W], and one prompt: `item` is clip + B * prompt, the negative prompt
  //! being the second.
  Tensor answer(int64_t item, int64_t batch, const Tensor& latents, const std::vector<Prompt>& prompts, float timestep,
                const models::mochi::Rotary& rotary, const Monitor& monitor, StepCache& cache) const;
  //! _decode's input: latents * std / scaling_factor + mean.
  Tensor denormalize(const Tensor& latents) const;

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  PromptCache prompts_;
  bool force_zeros_for_empty_prompt_;
  text::T5Tokenizer tokenizer_;
  schedulers::FlowMatchEulerOptions scheduler_options_;
  std::unique_ptr<models::T5Encoder> text_encoder_;
  std::unique_ptr<models::mochi::Transformer> transformer_;
  std::unique_ptr<models::mochi::Vae> vae_;
  Tensor denoised_;  //!< the clips as the last step expected them to end, for previews
};

//! The reference's arguments with its defaults.
std::vector<Argument> reference_arguments();

//! The argument vae_tiling: null or false, true (the reference's sizes), or an object with some of them by name.
//! Error(usage) for others.
std::optional<models::mochi::Tiling> tiling_of(const nlohmann::json& value);

}  // namespace prax::pipelines::mochi
