#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipelines/memory_forecast.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! How to make a clip within a limit.
struct MemoryPlan {
  LoadOptions load;
  Request request;
  MemoryForecast forecast;
  std::string choice;  //!< for people: "int8, 40 % of the denoiser's weights packed, decoding in tiles of 256 pixels"
};

//! The quickest way that stays below `limit` bytes of anonymous memory: as it is; decoding in tiles, ever smaller ones,
//! unless the request says how; the denoiser in int8, where `may_quantize`; and its weights taken from the file in each
//! step, as many as do not fit. What stays as it was asked for gives the same bits as without a limit. Error(resource)
//! says what would be needed when nothing fits.
MemoryPlan plan_memory(const std::filesystem::path& folder, const LoadOptions& options, const Request& request,
                       uint64_t limit, bool may_quantize, const SinkMemory& sink = {});

}  // namespace prax::pipelines
