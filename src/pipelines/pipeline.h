#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancellation.h"
#include "base/progress.h"
#include "checkpoint/folder.h"
#include "checkpoint/lora.h"
#include "media/frame_sink.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace prax::pipelines {

//! One argument of the family's reference pipeline, by the reference's name.
struct Argument {
  std::string name;              //!< "num_inference_steps"
  std::string type;              //!< how its value is written in JSON: see arguments.h
  nlohmann::json default_value;  //!< null when there is none
  std::string help;
};

//! What to make. `arguments` holds the reference's names; absent ones take the checkpoint's or the reference's default.
struct Request {
  std::string prompt;
  std::string negative_prompt;
  uint64_t seed = 0;
  //! Seed of what the reference draws from torch's global generator; the seed when absent.
  std::optional<uint64_t> global_seed;
  nlohmann::json arguments = nlohmann::json::object();
  //! Values of arguments of type "file" that are at hand already, by the argument's name. Not kept in a run's file.
  std::map<std::string, Tensor> tensors = {};
};

//! A run between two denoising steps: with the request, all that is needed to go on. The result of going on is
//! bit-identical to that of an uninterrupted run.
struct Run {
  Request request;            //!< `arguments` complete: every argument has its value
  media::VideoFormat format;  //!< of each clip
  int64_t step = 0;           //!< finished steps
  int64_t steps = 0;
  Tensor latents;  //!< f32, packed as the denoiser takes them [B, tokens, channels]
  Generator generator;
  Generator global_generator;
  //! What else a pipeline knows between two steps, by names of its own: encoded conditions, masks, finished windows ...
  std::map<std::string, Tensor> state;
  std::map<std::string, Generator> generators;
};

//! What a run file keeps for the program that wrote it, beside the run: "output", "dtype" ...
using RunNotes = std::map<std::string, std::string>;

//! Writes a run to a file and reads it back (safetensors with the request as metadata). Atomic. Only the latest
//! state is kept. load_run throws Error(input) on a file that is no run.
void save_run(const std::filesystem::path& file, const Run& run, const std::string& model, const RunNotes& notes = {});
Run load_run(const std::filesystem::path& file, std::string* model = nullptr, RunNotes* notes = nullptr);

//! What a caller hears of a run and can do to it. All calls come from the thread that runs the pipeline.
struct Monitor {
  std::function<void(const Progress&)> progress;
  //! After each denoising step (for saving the run, previews, tests).
  std::function<void(const Run&)> after_step;
  //! Named intermediates in the names of the reference cases ("text_encoder.0.out", "transformer.1.in.timestep",
  //! "vae.decode.0.out"). Set only by `verify` and tests.
  std::function<void(const std::string& name, const Tensor&)> probe;
  const CancelToken* cancel = nullptr;

  void report(std::string_view stage, int64_t step, int64_t steps) const {
    if (progress) progress({stage, step, steps});
  }
  void check() const {
    if (cancel) cancel->check();
  }
};

struct LoadOptions {
  DType dtype = DType::bf16;  //!< arithmetic of the matrix products: f32, bf16, or i8 for the denoiser's
  std::string variant;        //!< of the weight files, "" for automatic
  //! The reference's class to run the folder as, where the family has several; "" for the one that the folder names.
  std::string reference_class = {};
  std::filesystem::path upscaler = {};  //!< folder of a latent upsampler, for a second pass at twice the size
  std::vector<checkpoint::LoraRequest> loras = {};
  checkpoint::LoraMode lora_mode = checkpoint::LoraMode::automatic;
  //! Folder where encoded prompts are kept for runs to come (see prompt_cache.h), and how much of them; none when
  //! empty.
  std::filesystem::path prompt_cache = {};
  uint64_t prompt_cache_bytes = 1'000'000'000;
  //! Bytes of the denoiser's weights that may be kept packed in memory; the others are taken from the file in each
  //! step.
  std::optional<uint64_t> packed_weights = {};

  std::shared_ptr<checkpoint::PackingBudget> budget() const {
    return packed_weights ? std::make_shared<checkpoint::PackingBudget>(*packed_weights) : nullptr;
  }
};

//! Opens the sink of a clip; called once for each.
using OpenSink = std::function<std::unique_ptr<media::FrameSink>(int64_t index)>;

//! A model folder made ready to run. Weights are mapped, packed when first used, and let go by stage.
class Pipeline {
public:
  virtual ~Pipeline() = default;

  virtual std::string family() const = 0;           //!< "ltx-video"
  virtual std::string reference_class() const = 0;  //!< "LTXPipeline"
  virtual const std::vector<Argument>& arguments() const = 0;

  //! Checks the request, completes its arguments, encodes pictures and clips, draws the initial latents. Error(usage)
  //! names the nearest legal value (sizes, frame counts) or argument (a misspelt name).
  virtual Run begin(const Request& request, const Monitor& monitor = {}) = 0;
  //! Encodes the text and takes the steps that are left.
  virtual void denoise(Run& run, const Monitor& monitor) = 0;
  //! Decodes clip `index` of the batch into the sink as frames become ready; calls begin(), frame()..., finish().
  //! Leaves the run as it was.
  virtual void decode(const Run& run, int64_t index, media::FrameSink& sink, const Monitor& monitor) = 0;
  //! denoise(), then decode() of every clip. A family whose clips become final piece by piece hands over each piece at
  //! once, while later ones are still noise; the frames are the same. A sink gets all frames of its clip, so that a run
  //! that was interrupted decodes again what it had.
  virtual void generate(Run& run, const OpenSink& open, const Monitor& monitor) {
    denoise(run, monitor);
    for (int64_t index = 0; index < run.latents.dim(0); ++index) decode(run, index, *open(index), monitor);
  }
  //! What the family's autoencoder makes of one clip's pixels [1, 3, T, H, W] in -1..1: the moments of its latents
  //! [1, 2 C, F, H', W']. Undefined where a pipeline encodes pictures in its runs anyway.
  virtual Tensor encode(const Tensor& /*pixels*/) { return {}; }
  //! The argument vae_tiling, where the family has it, for tiles of about `side` pixels that fit together.
  virtual nlohmann::json tiling_near(int64_t side) const;
  //! A small picture of the latents as they stand: [H, W, 3] f32 in 0..1, of the middle frame.
  virtual Tensor preview(const Run& run) = 0;
};

//! Whether load() has a family for the `_class_name` of a model_index.json.
bool can_run(std::string_view reference_class);

//! Reads model_index.json and picks the family. Error(checkpoint) names the families that work.
std::unique_ptr<Pipeline> load(const std::filesystem::path& folder, const LoadOptions& options = {});

}  // namespace prax::pipelines
