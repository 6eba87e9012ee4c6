#include "render.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/human.h"
#include "base/process.h"
#include "output.h"
#include "pipelines/clip_files.h"

namespace prax::app {

void print_summary(const Summary& summary, const pipelines::Run& run, const std::string& model, bool json) {
  if (json) {
    nlohmann::json files = nlohmann::json::array();
    for (const auto& file : summary.files) files.push_back(file.string());
    print_json({{"type", "result"},
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
                {"peak_bytes", peak_memory()}});
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
  const std::string line = fmt::format("{}  {} frames {}x{}  {} ({})  peak {}  seed {}\n", names, run.format.frames,
                                       run.format.width, run.format.height, human_duration(summary.seconds), stages,
                                       human_bytes(peak_memory()), run.request.seed);
  std::fputs(line.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace prax::app
