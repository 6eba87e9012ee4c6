#include "render.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/human.h"
#include "base/process.h"
#include "output.h"
#include "pipelines/clip_files.h"
#include "pipelines/step_saving.h"

namespace prax::app {

void print_summary(const Summary& summary, const pipelines::Run& run, const std::string& model, bool json) {
  const auto calls = pipelines::calls_of(run);
  if (json) {
    nlohmann::json files = nlohmann::json::array();
    for (const auto& file : summary.files) files.push_back(file.string());
    nlohmann::json result{{"type", "result"},
                          {"file", files.at(0)},
                          {"files", files},
                          {"width", run.format.width},
                          {"height", run.format.height},
                          {"frames", run.format.frames},
                          {"fps", run.format.fps},
                          {"steps", run.step},
                          {"seed", run.request.seed},
                          {"model", pipelines::model_name(model)},
                          {"seconds", summary.seconds},
                          {"stages", summary.stages},
                          {"peak_bytes", peak_memory()},
                          {"peak_anonymous_bytes", summary.peak()},
                          {"stage_memory", summary.memory}};
    if (calls) result["denoiser_calls"] = {{"whole", calls->whole}, {"spared", calls->spared}};
    print_json(result);
    return;
  }
  std::string stages;
  for (const char* stage : {"text", "denoise", "decode"}) {
    const auto it = summary.stages.find(stage);
    if (it == summary.stages.end()) continue;
    std::string time = human_duration(it->second);
    // "0.4" is enough beside a total that has the unit.
    if (time.ends_with(" s") && time.find(' ') == time.size() - 2) time.resize(time.size() - 2);
    stages += (stages.empty() ? "" : ", ") + std::string(stage) + " " + time;
  }
  std::string names;
  for (const auto& file : summary.files) names += (names.empty() ? "" : " ") + file.string();
  const std::string line = fmt::format(
      "{}  {} frames {}x{}  {} ({})  peak {} and mapped files  seed {}\n", names, run.format.frames, run.format.width,
      run.format.height, human_duration(summary.seconds), stages, human_bytes(summary.peak()), run.request.seed);
  std::fputs(line.c_str(), stdout);
  if (calls)
    fmt::print("cache: the denoiser ran whole {} of {} times, its first block alone {} times\n", calls->whole,
               calls->whole + calls->spared, calls->spared);
  std::fflush(stdout);
}

}  // namespace prax::app
