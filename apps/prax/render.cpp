#include "render.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>

#include "base/error.h"
#include "base/human.h"
#include "media/writer.h"
#include "output.h"
#include "pipelines/denoisers.h"
#include "pipelines/step_saving.h"

namespace prax::app {

namespace fs = std::filesystem;

fs::path clip_path(const fs::path& output, int64_t index, int64_t count) {
  if (count == 1) return output;
  const fs::path whole = output.has_filename() ? output : output.parent_path();
  fs::path name = whole.stem();
  name += "-" + std::to_string(index + 1);
  name += whole.extension();
  return whole.parent_path() / name;
}

std::string model_name(const std::string& model) {
  fs::path path = fs::path(model).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  // ~/.cache/huggingface/hub/models--Lightricks--LTX-Video/snapshots/<revision>
  const fs::path cached = path.parent_path().parent_path().filename();
  constexpr std::string_view prefix = "models--";
  if (path.parent_path().filename() == "snapshots" && cached.string().starts_with(prefix)) {
    std::string name = cached.string().substr(prefix.size());
    if (const size_t at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
    return name;
  }
  return path.filename().string();
}

std::map<std::string, std::string> describe(const pipelines::Run& run, const std::string& reference_class,
                                            const std::string& model, DType dtype) {
  const pipelines::Request& request = run.request;
  return {{"prompt", request.prompt},
          {"negative_prompt", request.negative_prompt},
          {"seed", std::to_string(request.seed)},
          {"global_seed", std::to_string(request.global_seed.value_or(request.seed))},
          {"arguments", request.arguments.dump()},
          {"model", model_name(model)},
          {"pipeline", reference_class},
          {"dtype", name_of_compute(dtype)},
          {"software", "prax " PRAX_VERSION}};
}

std::vector<fs::path> clip_paths(const fs::path& output, int64_t count) {
  std::vector<fs::path> files;
  for (int64_t index = 0; index < count; ++index) files.push_back(clip_path(output, index, count));
  return files;
}

pipelines::OpenSink clip_writers(const fs::path& output, int64_t count, int quality,
                                 std::function<std::map<std::string, std::string>()> describe) {
  return [=, describe = std::move(describe)](int64_t index) {
    media::WriterOptions options;
    options.metadata = describe();
    if (count > 1) options.metadata["clip"] = std::to_string(index + 1);
    options.quality = quality;
    return media::open_writer(clip_path(output, index, count), options);
  };
}

DType compute_dtype(const std::string& name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  if (name == "int8") return DType::i8;
  throw Error(ErrorKind::usage, "--dtype is '" + name + "', which cannot be",
              "use bf16 (the usual), int8 (half the memory) or f32 (exact)");
}

std::string name_of_compute(DType dtype) { return dtype == DType::i8 ? "int8" : std::string(prax::name_of(dtype)); }

DType compute_dtype(const std::string& asked, const fs::path& folder, const std::string& variant) {
  if (!asked.empty()) return compute_dtype(asked);
  return pipelines::stored_dtype(checkpoint::Folder::open(folder), variant);
}

uint64_t peak_memory() {
  rusage use = {};
  getrusage(RUSAGE_SELF, &use);
  return static_cast<uint64_t>(use.ru_maxrss) * 1024;
}

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
                          {"model", model_name(model)},
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
