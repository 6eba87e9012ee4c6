#pragma once

#include <memory>

#include "models/ltx/transformer.h"
#include "models/ltx/vae.h"
#include "models/text/t5_encoder.h"
#include "pipelines/ltx/decoding.h"
#include "pipelines/ltx/latents.h"
#include "pipelines/pipeline.h"
#include "pipelines/prompt_cache.h"
#include "pipelines/step_saving.h"
#include "schedulers/flow_match_euler.h"
#include "text/t5_tokenizer.h"

namespace prax::pipelines::ltx {

//! Extents of a clip's latents.
struct Grid {
  int64_t frames, height, width;
  int64_t tokens() const { return frames * height * width; }
};

//! What the pipelines of LTX-Video share: the components of a model folder, and the way from a request over denoising
//! steps to frames. A pipeline of the reference says in its own file what it adds: how it draws and conditions the
//! latents, its schedule, its timestep for each token.
class LtxPipeline : public Pipeline {
public:
  std::string family() const override { return "ltx-video"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request, const Monitor& monitor = {}) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

  const models::ltx::Vae& vae() const { return *vae_; }
  //! Steps of a run of a request whose arguments are complete.
  int64_t steps_of(const Request& request) const;
  //! A run's latents [B, C, F, H, W], normalised.
  Tensor latents_of(const Run& run) const { return video_latents(run, run.latents); }
  //! What stands between the denoiser's latents and the autoencoder's.
  LatentScale latent_scale() const;
  Grid latent_grid(const nlohmann::json& arguments) const;

protected:
  //! A prompt for the denoiser: [batch, tokens, caption_channels] f32 and a 0/1 mask a token.
  struct Prompt {
    Tensor embeds;
    std::vector<std::vector<int64_t>> masks;
  };
  //! What the denoiser is told at one step beside latents and prompts.
  struct Moment {
    std::string name;              //!< of the call, for probes: "transformer.3"
    std::vector<float> timesteps;  //!< one, or one for each token; all clips have the same
    Shape timestep_shape;          //!< as the reference passes it for one clip
    const models::ltx::Rotary* rotary = nullptr;
    const Tensor* coords = nullptr;  //!< [3, tokens], where the reference passes them
    bool coords_once = false;        //!< for both branches of guidance together
  };

  LtxPipeline(const checkpoint::Folder& folder, const LoadOptions& options, std::vector<Argument> arguments);

  // What a pipeline adds.

  //! Checks the completed arguments beyond sizes. Error(usage).
  virtual void check_arguments(const nlohmann::json&) const {}
  //! Draws the latents and whatever else the run begins with, in the reference's order.
  virtual void prepare(Run& run, const Monitor& monitor);
  //! The noise levels of the run. Error(checkpoint) for a folder with another kind of scheduler.
  virtual schedulers::FlowMatchEulerScheduler schedule(const Run& run) const;
  //! The schedule's steps that the run leaves out at its beginning.
  virtual int64_t first_step(const Run&) const { return 0; }
  //! A run takes its schedule's steps once, or several times: with its state made ready for each further pass.
  virtual int64_t count_passes(const Run&) const { return 1; }
  virtual void next_pass(Run&) {}
  virtual int64_t count_steps(const Run& run) const;
  //! The schedule's index of the step that the run is at.
  int64_t schedule_index(const Run& run) const;
  //! Positions of the tokens. `coords` is filled where the reference passes them.
  virtual models::ltx::Rotary positions(const Run& run, Tensor& coords) const;
  //! Before the denoiser is called at a step.
  virtual void before_step(Run&, float /*timestep*/) const {}
  virtual Moment moment(const Run& run, float timestep) const;
  //! The latents after a step.
  virtual Tensor step(Run& run, const schedulers::FlowMatchEulerScheduler& scheduler, const Tensor& prediction) const;
  //! Whether the text encoder is kept from reading the padding of prompts.
  virtual bool masks_text() const { return false; }
  //! Tokens of the run that stand before the video's own.
  virtual int64_t extra_tokens(const Run&) const { return 0; }

  // What pipelines work with.

  void check_sizes(const nlohmann::json& arguments) const;
  //! Error(input) for a run that another model began.
  virtual void require_own(const Run& run) const;
  //! _pack_latents: [B, C, F, H, W] -> [B, tokens, C], and back.
  Tensor pack(const Tensor& latents) const;
  Tensor unpack(const Tensor& tokens, const Grid& grid) const;
  Tensor denormalize(const Tensor& latents) const { return denormalize_latents(latents, latent_scale()); }
  //! As most pipelines of the reference do it: without the scaling factor.
  Tensor normalize(const Tensor& latents) const;
  //! Pixels [T, H, W, 3] in -1..1 -> moments of the latents [2 C, F, H, W]. `call` counts a run's calls, for probes.
  Tensor encode(const nlohmann::json& arguments, const Tensor& pixels, int64_t call, const Monitor& monitor) {
    return encode_pixels(*vae_, tiling(arguments), pixels, call, monitor);
  }
  //! The tokens of the video itself as latents [B, C, F, H, W].
  Tensor video_latents(const Run& run, const Tensor& tokens) const;

  models::T5Encoder& text_encoder();
  //! The prompt and, when guided, the negative prompt, in the order prompt, negative.
  std::vector<Prompt> encode_prompts(const Run& run, bool guided, const Monitor& monitor);
  //! One prompt in the run's batch size. `call` is its number among the text encoder's calls.
  std::vector<Prompt> encode_texts(const std::vector<std::string>& texts, int64_t batch, int64_t max_sequence_length,
                                   int64_t first_call, const Monitor& monitor);
  void release_text_encoder();
  //! The denoiser's answer for every clip: negative prompt first, as the reference stacks them: [branches * B, tokens,
  //! C]
  Tensor predict(const Tensor& latents, const std::vector<Prompt>& prompts, const Moment& moment,
                 const Monitor& monitor, StepCache& cache);
  //! Its answer for one clip, latents [tokens, C], and one prompt: `item` is clip + B * prompt.
  Tensor answer(int64_t item, int64_t batch, const Tensor& latents, const std::vector<Prompt>& prompts,
                const Moment& moment, const Monitor& monitor, StepCache& cache) const;
  //! uncond + scale (text - uncond), rescaled.
  static Tensor guide(const Tensor& prediction, int64_t batch, double scale, double rescale);
  //! How the autoencoder cuts what is large: the argument vae_tiling.
  static models::ltx::Tiling tiling(const nlohmann::json& arguments) { return tiling_of(arguments.at("vae_tiling")); }

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  PromptCache prompts_;
  text::T5Tokenizer tokenizer_;
  std::unique_ptr<models::T5Encoder> text_encoder_;
  std::unique_ptr<models::ltx::Transformer> transformer_;
  std::unique_ptr<models::ltx::Vae> vae_;
  std::optional<schedulers::FlowMatchEulerOptions> scheduler_options_;  //!< of a folder with that scheduler
  Tensor denoised_;  //!< the clip as the last step expected it to end, for previews

private:
  //! Where the clip would end if the prediction held: for previews.
  void expect_end(const Run& run, const Tensor& prediction, const Moment& now, int64_t train_timesteps);
  Prompt given_prompt(const Run& run, const std::string& prefix) const;
};

//! Arguments that all pipelines of LTX-Video have, with the reference's defaults.
std::vector<Argument> common_arguments();

}  // namespace prax::pipelines::ltx
