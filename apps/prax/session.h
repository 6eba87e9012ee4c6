#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "pipelines/pipeline.h"
#include "pipelines/run_keeper.h"
#include "progress_bar.h"

namespace prax::app {

//! What `generate` needs beside the request.
struct SessionOptions {
  std::filesystem::path output;
  std::string model;           //!< as people name it: "nano" or a folder
  std::string dtype, variant;  //!< "": see compute_dtype()
  int quality = 16;
  std::filesystem::path preview;
  int64_t preview_every = 5;
  bool keep_latents = false, json = false, quiet = false;
  bool cache_prompts = false;
  //! What the model is loaded as, and with what: see pipelines::LoadOptions.
  std::string reference_class;
  std::filesystem::path upscaler;
  std::vector<checkpoint::LoraRequest> loras;
  std::string memory;  //!< the limit as it was given; see memory_limit()
  std::optional<uint64_t> packed_weights;
};

//! Takes a run to its finished file: denoises, decodes, shows progress, keeps the run's state beside the output until
//! the output is complete, and says how to go on when that does not happen. `resumed_from` is the file that the run
//! was read from, or empty. Throws what went wrong, after saving what there is.
void carry_out(pipelines::Pipeline& pipeline, pipelines::Run run, const SessionOptions& options,
               const std::filesystem::path& resumed_from, ProgressBar::Clock::time_point started);

//! Makes options and request fit the memory that the options, or the environment, allow, and says how; nothing where
//! there is no limit. The arithmetic may change where `may_quantize`. Error(resource) where nothing fits.
void keep_within_memory(SessionOptions& options, pipelines::Request& request, bool may_quantize);

//! The pipeline of the options' model.
std::unique_ptr<pipelines::Pipeline> open_pipeline(const SessionOptions& options);

//! What the options say of the model, as notes of a saved run, and back.
pipelines::RunNotes notes_of(const SessionOptions& options);
void take_notes(const pipelines::RunNotes& notes, SessionOptions& options);

//! Removes the temporary files that this process's writers for the output would remove themselves if they could.
void remove_parts(const std::filesystem::path& output, int64_t clips);

}  // namespace prax::app
