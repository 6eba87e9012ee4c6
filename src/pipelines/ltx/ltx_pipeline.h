#pragma once

#include <memory>

#include "models/ltx/transformer.h"
#include "models/ltx/vae.h"
#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"
#include "schedulers/flow_match_euler.h"
#include "text/t5_tokenizer.h"

namespace prax::pipelines::ltx {

//! Text to video with LTX-Video: diffusers pipelines/ltx/pipeline_ltx.py (LTXPipeline), argument for argument.
class LtxPipeline : public Pipeline {
public:
  LtxPipeline(const checkpoint::Folder& folder, const LoadOptions& options);

  std::string family() const override { return "ltx-video"; }
  std::string reference_class() const override { return "LTXPipeline"; }
  const std::vector<Argument>& arguments() const override { return arguments_; }

  Run begin(const Request& request) override;
  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

private:
  //! A prompt for the denoiser: [batch, tokens, caption_channels] f32 and a 0/1 mask a token.
  struct Prompt {
    Tensor embeds;
    std::vector<std::vector<int64_t>> masks;
  };
  struct Grid {
    int64_t frames, height, width;
    int64_t tokens() const { return frames * height * width; }
  };

  Grid latent_grid(const nlohmann::json& arguments) const;
  void check_sizes(const nlohmann::json& arguments) const;
  //! Error(input) for a run that another model began.
  void require_own(const Run& run) const;
  Tensor initial_latents(const nlohmann::json& arguments, Generator& generator) const;
  Tensor pack(const Tensor& latents) const;
  Tensor unpack(const Tensor& tokens, const Grid& grid) const;
  Tensor denormalize(const Tensor& latents) const;
  schedulers::FlowMatchEulerScheduler schedule(const Run& run) const;

  models::T5Encoder& text_encoder();
  std::vector<Prompt> encode_prompts(const Run& run, bool guided, const Monitor& monitor);
  Prompt given_prompt(const nlohmann::json& arguments, const std::string& prefix) const;
  Tensor predict(const Run& run, const std::vector<Prompt>& prompts, const models::ltx::Rotary& rotary, float timestep,
                 int64_t step, const Monitor& monitor);
  Tensor guide(const Tensor& prediction, int64_t batch, double scale, double rescale) const;

  checkpoint::Folder folder_;
  LoadOptions options_;
  std::vector<Argument> arguments_;
  text::T5Tokenizer tokenizer_;
  std::unique_ptr<models::T5Encoder> text_encoder_;
  std::unique_ptr<models::ltx::Transformer> transformer_;
  std::unique_ptr<models::ltx::Vae> vae_;
  schedulers::FlowMatchEulerOptions scheduler_options_;
  Tensor denoised_;  //!< the clip as the last step expected it to end, for previews
};

}  // namespace prax::pipelines::ltx
