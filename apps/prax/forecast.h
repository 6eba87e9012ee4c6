#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "pipelines/memory_forecast.h"
#include "request.h"

namespace prax::app {

//! The flags of `info` that describe a clip.
struct ForecastFlags {
  RequestFlags request;
  std::string dtype, memory, output = "video.mp4";
};
void add_forecast_flags(CLI::App& command, ForecastFlags& flags);

//! What a clip will take.
struct Forecast {
  pipelines::MemoryForecast memory;
  std::string choice;  //!< arithmetic and what else was chosen to fit
  uint64_t limit = 0;  //!< 0 for none
};

//! Forecasts the clip, of the model's usual size where the flags say none. Nothing where the model makes no clip
//! without further inputs and nobody asked for one. Error as `generate` with these flags.
std::optional<Forecast> forecast_for(const std::filesystem::path& model, const std::string& reference_class,
                                     const ForecastFlags& flags);

nlohmann::json to_json(const Forecast& forecast);
void print_forecast(const Forecast& forecast);

}  // namespace prax::app
