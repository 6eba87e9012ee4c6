#include "pipelines/memory_forecast.h"

#include <algorithm>

#include "checkpoint/folder.h"
#include "pipelines/denoisers.h"
#include "tensor/memory.h"
#include "tensor/parallel.h"
#include "tensor/rehearsal.h"

namespace prax::pipelines {

namespace {

//! Blocks of the operands and the result of a product that one thread works on.
constexpr uint64_t scratch_of_a_thread = uint64_t{1} << 20;

//! Drops the frames.
class NoSink : public media::FrameSink {
public:
  void begin(const media::VideoFormat&) override {}
  void frame(std::span<const float>) override {}
  void finish() override {}
};

uint64_t weight_bytes(const checkpoint::Folder& folder, const std::string& component, const std::string& variant) {
  uint64_t bytes = 0;
  for (const auto& tensor : folder.weights(component, variant)->list()) bytes += tensor.bytes();
  return bytes;
}

//! Weight files that a stage reads.
uint64_t mapped_in(const std::string& stage, const checkpoint::Folder& folder, const std::string& variant) {
  const auto denoisers = denoisers_of(folder);
  uint64_t sum = 0, of_denoiser = 0;
  for (const auto& component : folder.components()) {
    const std::string& name = component.name;
    const bool denoiser = std::find(denoisers.begin(), denoisers.end(), name) != denoisers.end();
    if (denoiser && stage == "denoise") of_denoiser = std::max(of_denoiser, weight_bytes(folder, name, variant));
    const bool read = stage == "text"     ? name.starts_with("text_encoder")
                      : stage == "decode" ? name.find("vae") != std::string::npos
                      : stage == "encode" ? name.find("vae") != std::string::npos
                                          : false;
    if (read) sum += weight_bytes(folder, name, variant);
  }
  return sum + of_denoiser;
}

//! Notes the most of each stage while a run goes through them.
class Stages {
public:
  explicit Stages(uint64_t beside) : beside_(beside) {}

  void enter(std::string_view stage) {
    if (stage == now_) return;
    leave();
    now_ = stage;
    reset_peak_memory();
  }
  void leave() {
    const uint64_t most = beside_ + memory_use().peak;
    const auto it = std::find_if(stages.begin(), stages.end(), [&](const StageMemory& s) { return s.stage == now_; });
    if (it == stages.end()) {
      stages.push_back({now_, most, 0});
    } else {
      it->anonymous = std::max(it->anonymous, most);
    }
  }

  std::vector<StageMemory> stages;

private:
  uint64_t beside_;  //!< what is no tensor
  std::string now_ = "load";
};

}  // namespace

uint64_t MemoryForecast::anonymous() const { return stages.empty() ? 0 : largest().anonymous; }

uint64_t MemoryForecast::anonymous(const std::string& stage) const {
  for (const StageMemory& s : stages)
    if (s.stage == stage) return s.anonymous;
  return 0;
}

const StageMemory& MemoryForecast::largest() const {
  return *std::max_element(stages.begin(), stages.end(),
                           [](const StageMemory& a, const StageMemory& b) { return a.anonymous < b.anonymous; });
}

MemoryForecast forecast_memory(const std::filesystem::path& path, const LoadOptions& options, const Request& request,
                               const SinkMemory& sink) {
  MemoryForecast forecast;
  {
    const Rehearsal rehearsal;
    const auto pipeline = load(path, options);
    // Tokenizers, configurations, the program: they are there in earnest. Small tensors are, too.
    const uint64_t process = anonymous_memory(), small = memory_use().small;
    Stages stages(process - std::min(process, small) + static_cast<uint64_t>(thread_count()) * scratch_of_a_thread);
    Monitor monitor;
    monitor.progress = [&](const Progress& p) { stages.enter(p.stage); };
    Run run = pipeline->begin(request, monitor);
    pipeline->generate(
        run, [](int64_t) { return std::make_unique<NoSink>(); }, monitor);
    stages.leave();
    forecast.format = run.format;
    forecast.stages = std::move(stages.stages);
  }
  const auto folder = checkpoint::Folder::open(path);
  for (StageMemory& stage : forecast.stages) {
    stage.mapped = mapped_in(stage.stage, folder, options.variant);
    if (stage.stage == "decode" && sink) stage.anonymous += sink(forecast.format);
  }
  return forecast;
}

}  // namespace prax::pipelines
