#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/text/clip_encoder.h"
#include "models/text/t5_encoder.h"
#include "pipelines/pipeline.h"
#include "pipelines/prompt_cache.h"
#include "text/clip_tokenizer.h"
#include "text/t5_tokenizer.h"

namespace prax::pipelines::pyramid_flow {

//! The two designs of the denoiser, which have text encoders of their own.
enum class Design {
  flux,  //!< CLIP-L (its pooled state as it is) and T5
  mmdit  //!< CLIP-L and CLIP-G (pooled states projected, side by side) and T5
};

//! A prompt for the denoiser.
struct Prompt {
  Tensor embeds;              //!< [128, text channels] f32
  std::vector<int64_t> mask;  //!< 0/1 a token
  Tensor pooled;              //!< [pooled channels] f32
  int64_t tokens() const;     //!< how many are no padding; they come first
};

//! The text encoders of a model folder: FluxTextEncoderWithMask and SD3TextEncoderWithMask of the authors' code.
class TextEncoders {
public:
  //! Opens everything, so that what is wrong is said at once. Error(checkpoint). With a cache of prompts, weights are
  //! opened when a text is not found in it.
  TextEncoders(const checkpoint::Folder& folder, const LoadOptions& options, Design design);

  int64_t text_channels() const { return t5_config_.d_model; }
  int64_t pooled_channels() const;

  //! The prompts as they are. `names` tell them apart for probes: "prompt.embeds", "prompt.mask", "prompt.pooled", and
  //! the encoders' own: "prompt.clip_l.ids", "prompt.clip_l.last_hidden_state", "prompt.t5.ids" ...
  std::vector<Prompt> encode(const std::vector<std::string>& texts, const std::vector<std::string>& names,
                             const Monitor& monitor);

private:
  struct Clip {
    std::string name;  //!< of the folder
    text::ClipTokenizer tokenizer;
    models::ClipConfig config;
    std::unique_ptr<models::ClipEncoder> encoder;
  };
  models::ClipEncoder& open(Clip& clip) const;
  models::T5Encoder& open_t5();

  checkpoint::Folder folder_;
  LoadOptions options_;
  Design design_;
  PromptCache cache_;
  std::vector<Clip> clips_;
  std::string t5_name_;
  models::T5Config t5_config_;
  std::unique_ptr<text::T5Tokenizer> t5_tokenizer_;
  std::unique_ptr<models::T5Encoder> t5_;
};

}  // namespace prax::pipelines::pyramid_flow
