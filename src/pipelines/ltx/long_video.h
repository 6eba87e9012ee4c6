#pragma once

#include "pipelines/ltx/ltx_pipeline.h"
#include "schedulers/ltx_euler_ancestral_rf.h"

namespace prax::pipelines::ltx {

//! Long videos from several prompts: diffusers pipelines/ltx/pipeline_ltx_i2v_long_multi_prompt.py
//! (LTXI2VLongMultiPromptPipeline). The latents are denoised in windows that overlap; each sees the end of what is
//! there, has its own prompt and its own noise, takes the look of the first window (AdaIN), and is faded into the
//! whole.
class LongVideo : public LtxPipeline {
public:
  LongVideo(const checkpoint::Folder& folder, const LoadOptions& options);
  std::string reference_class() const override { return "LTXI2VLongMultiPromptPipeline"; }

  void denoise(Run& run, const Monitor& monitor) override;
  void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) override;
  Tensor preview(const Run& run) override;

protected:
  void check_arguments(const nlohmann::json& arguments) const override;
  void prepare(Run& run, const Monitor& monitor) override;
  int64_t count_steps(const Run& run) const override;
  void require_own(const Run& run) const override;

private:
  //! Latent frames [begin, end).
  struct Span {
    int64_t begin, end;
  };
  //! A window with what is appended to it: latents [1, C, F, H, W] and a value a frame, 1 for free and 0 for held.
  struct Window {
    Tensor latents;
    std::vector<float> free;
    int64_t overlap = 0, guiding = 0, negative = 0;  //!< appended frames, as the reference counts their positions
    int64_t appended = 0;                            //!< frames to drop in the end
  };
  //! Either scheduler, behind what a window needs of it.
  class Schedule;

  std::vector<Span> windows(const nlohmann::json& arguments) const;
  //! Latent frames of the whole: an overlap of two makes one more at each seam than the windows cover, as in the
  //! reference.
  int64_t joined_frames(const nlohmann::json& arguments) const;
  std::vector<std::string> texts(const Run& run) const;
  Window window(const Run& run, size_t index, const Span& span) const;
  Tensor positions(const Window& window, double frame_rate) const;
  //! Joins a finished window to the whole.
  void fuse(Run& run, const Tensor& window, int64_t overlap) const;
};

}  // namespace prax::pipelines::ltx
