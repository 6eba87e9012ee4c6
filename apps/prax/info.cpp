#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "base/error.h"
#include "base/human.h"
#include "base/paths.h"
#include "checkpoint/folder.h"
#include "commands.h"
#include "forecast.h"
#include "output.h"
#include "pipelines/pipeline.h"

namespace prax::app {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct InfoOptions {
  std::string place, reference_class;
  ForecastFlags forecast;
  bool json = false;
};

//! A component as its files' headers describe it.
struct Holding {
  checkpoint::Component component;
  int64_t tensors = 0;
  uint64_t parameters = 0, bytes = 0;
  std::map<std::string, int64_t> dtypes;  //!< name -> tensors
  std::string problem;                    //!< why it cannot be read, "" when it can
};

bool has_weights(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.path().extension() == ".safetensors" || entry.path().extension() == ".bin") return true;
  return false;
}

std::vector<Holding> holdings_of(const checkpoint::Folder& folder) {
  std::vector<Holding> all;
  for (const auto& component : folder.components()) {
    Holding h{component, 0, 0, 0, {}, {}};
    try {
      if (has_weights(folder.component_path(component.name)))
        for (const auto& tensor : folder.weights(component.name)->list()) {
          const auto count = static_cast<uint64_t>(element_count(tensor.shape));
          ++h.tensors;
          h.parameters += count;
          h.bytes += count * size_of(tensor.dtype);
          ++h.dtypes[std::string(prax::name_of(tensor.dtype))];
        }
    } catch (const Error& error) {  // what is there of a download is worth knowing
      h.problem = error.what();
    }
    all.push_back(std::move(h));
  }
  return all;
}

std::string dtypes_of(const Holding& h) {
  std::string text;
  for (const auto& [name, count] : h.dtypes) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void show_folder(const fs::path& path, const InfoOptions& o) {
  const std::string& reference_class = o.reference_class;
  const bool as_json = o.json;
  const auto folder = checkpoint::Folder::open(path);
  const auto holdings = holdings_of(folder);
  constexpr size_t longest_name = 40;
  const std::string published = slug(published_family(folder.pipeline_class()), longest_name, "");
  std::unique_ptr<pipelines::Pipeline> pipeline;
  std::string problem;  // why it does not run
  try {
    pipelines::LoadOptions load;
    load.reference_class = reference_class;
    pipeline = pipelines::load(path, load);
  } catch (const Error& error) {
    problem = std::string(error.what()) + (error.hint().empty() ? "" : " (" + error.hint() + ")");
  }
  std::optional<Forecast> forecast;
  if (pipeline) forecast = forecast_for(path, reference_class, o.forecast);
  if (as_json) {
    json components = json::array(), arguments = json::array();
    for (const Holding& h : holdings)
      components.push_back({{"name", h.component.name},
                            {"class", h.component.class_name},
                            {"tensors", h.tensors},
                            {"parameters", h.parameters},
                            {"bytes", h.bytes},
                            {"dtypes", h.dtypes},
                            {"problem", h.problem.empty() ? json() : json(h.problem)}});
    if (pipeline)
      for (const auto& a : pipeline->arguments())
        arguments.push_back({{"name", a.name}, {"type", a.type}, {"default", a.default_value}, {"help", a.help}});
    print_json({{"type", "info"},
                {"path", path.string()},
                {"pipeline", folder.pipeline_class()},
                {"family", pipeline            ? json(pipeline->family())
                           : published.empty() ? json()
                                               : json(published)},
                {"runs", pipeline != nullptr},
                {"problem", pipeline ? json() : json(problem)},
                {"components", components},
                {"arguments", arguments},
                {"forecast", forecast ? to_json(*forecast) : json()}});
    return;
  }
  const std::string family = pipeline ? pipeline->family() : published;
  fmt::print("{}\n{}{}, {}\n\n", path.string(), folder.pipeline_class(), family.empty() ? "" : " (" + family + ")",
             pipeline ? "prax runs it" : "prax cannot run it as it is");
  uint64_t parameters = 0, bytes = 0;
  size_t widest = 16;
  for (const Holding& h : holdings) widest = std::max(widest, h.component.name.size());
  for (const Holding& h : holdings) {
    fmt::print("  {:<{}} {:<34}", h.component.name, widest, h.component.class_name);
    if (h.tensors)
      fmt::print(" {:>15} parameters  {:>8}  {}", human_count(h.parameters), human_bytes(h.bytes), dtypes_of(h));
    if (!h.problem.empty()) fmt::print(" {}", h.problem);
    fmt::print("\n");
    parameters += h.parameters;
    bytes += h.bytes;
  }
  fmt::print("\n  {} parameters, {} on disk\n", human_count(parameters), human_bytes(bytes));
  if (forecast) print_forecast(*forecast);
  if (!pipeline) return fmt::print("\n  {}\n", problem);
  fmt::print("\n  as {}, --set takes these, with their defaults:\n", pipeline->reference_class());
  for (const auto& a : pipeline->arguments())
    fmt::print("    {:<32} {:<10} {}\n", a.name, a.default_value.is_null() ? "" : a.default_value.dump(), a.help);
}

void show_run(const fs::path& file, bool as_json) {
  std::string model;
  pipelines::RunNotes notes;
  const auto run = pipelines::load_run(file, &model, &notes);
  if (as_json) {
    print_json({{"type", "run"},
                {"path", file.string()},
                {"model", model},
                {"prompt", run.request.prompt},
                {"negative_prompt", run.request.negative_prompt},
                {"seed", run.request.seed},
                {"arguments", run.request.arguments},
                {"step", run.step},
                {"steps", run.steps},
                {"notes", notes}});
    return;
  }
  fmt::print("{}: a run of {}\n  prompt    {}\n", file.string(), model, run.request.prompt);
  if (!run.request.negative_prompt.empty()) fmt::print("  negative  {}\n", run.request.negative_prompt);
  fmt::print("  clip      {}x{}, {} frames, {} frames a second\n  seed      {}\n  step      {} of {}\n",
             run.format.width, run.format.height, run.format.frames, human_number(run.format.fps), run.request.seed,
             run.step, run.steps);
  fmt::print("  go on     prax {} {}\n", run.step < run.steps ? "generate --resume" : "decode",
             shell_word(file.string()) + (run.step < run.steps ? "" : " -o video.mp4"));
}

void info(const InfoOptions& o) {
  std::error_code ignored;
  if (fs::is_regular_file(o.place, ignored)) return show_run(o.place, o.json);
  show_folder(resolve_model(o.place), o);
}

}  // namespace

void add_info(CLI::App& app, int&) {
  auto o = std::make_shared<InfoOptions>();
  auto* c = app.add_subcommand("info", "What a model folder or a saved run holds");
  c->add_option("MODEL", o->place, "A model folder, nano, or a .prax file")->required();
  c->add_option("--as", o->reference_class, "The reference's pipeline to run it as, like LTXConditionPipeline");
  add_forecast_flags(*c, o->forecast);
  c->add_flag("--json", o->json, "One JSON object on stdout");
  c->callback([o] { info(*o); });
}

}  // namespace prax::app
