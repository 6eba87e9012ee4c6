#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! What a stage of a run takes at most, in bytes.
struct StageMemory {
  std::string stage;       //!< "load", "encode", "text", "denoise", "upsample" or "decode"
  uint64_t anonymous = 0;  //!< memory that is the process's own: packed weights and activations
  uint64_t mapped = 0;  //!< weight files that it reads, of which the system keeps as much in memory as it has room for
};

//! What a run will take.
struct MemoryForecast {
  media::VideoFormat format;        //!< of the clip
  std::vector<StageMemory> stages;  //!< in the order in which they begin

  uint64_t anonymous() const;                          //!< of the stage that takes most
  uint64_t anonymous(const std::string& stage) const;  //!< 0 for one that there is not
  const StageMemory& largest() const;
};

//! Memory of what takes the frames.
using SinkMemory = std::function<uint64_t(const media::VideoFormat&)>;

//! What `request` will take, by rehearsing it (see tensor/rehearsal.h): the pipeline itself, with its checkpoint's
//! configuration, asks for its weights in their packed form and for each activation in the order in which it will, and
//! computes nothing. Nothing is known of any model beforehand. What `sink` says of the clip is added where frames are
//! written. Error as load() and begin().
MemoryForecast forecast_memory(const std::filesystem::path& folder, const LoadOptions& options, const Request& request,
                               const SinkMemory& sink = {});

}  // namespace prax::pipelines
