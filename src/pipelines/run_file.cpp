#include <cmath>

#include "base/error.h"
#include "checkpoint/safetensors.h"
#include "pipelines/pipeline.h"

// A run between two steps as a file: a safetensors file with the tensor "latents", the pipeline's own ones as
// "state.NAME", and three metadata entries: "format" ("praxinoscope-run"), "version" (of the layout below) and "run"
// (JSON, all the rest).

namespace prax::pipelines {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* run_format = "praxinoscope-run";
constexpr int file_version = 2;
constexpr std::string_view state_prefix = "state.";

[[noreturn]] void broken(const fs::path& file, const std::string& what) {
  throw Error(ErrorKind::input, file.string() + " is no run that can be gone on with: " + what,
              "give the .prax file that `prax generate` wrote, or begin anew");
}

json to_json(const Run& run, const std::string& model, const RunNotes& notes) {
  json request = {{"prompt", run.request.prompt},
                  {"negative_prompt", run.request.negative_prompt},
                  {"seed", run.request.seed},
                  {"arguments", run.request.arguments}};
  if (run.request.global_seed) request["global_seed"] = *run.request.global_seed;
  json generators = json::object();
  for (const auto& [name, generator] : run.generators) generators[name] = generator.state();
  return {{"model", model},
          {"request", std::move(request)},
          {"video",
           {{"width", run.format.width},
            {"height", run.format.height},
            {"frames", run.format.frames},
            {"fps", run.format.fps}}},
          {"step", run.step},
          {"steps", run.steps},
          {"generator", run.generator.state()},
          {"global_generator", run.global_generator.state()},
          {"generators", std::move(generators)},
          {"notes", notes}};
}

// Throws nlohmann's exceptions on missing keys and wrong types, and Error(input) on a generator state that is none.
Run from_json(const json& values) {
  Run run;
  const json& request = values.at("request");
  request.at("prompt").get_to(run.request.prompt);
  request.at("negative_prompt").get_to(run.request.negative_prompt);
  run.request.seed = request.at("seed").get<uint64_t>();
  if (request.contains("global_seed")) run.request.global_seed = request.at("global_seed").get<uint64_t>();
  run.request.arguments = request.at("arguments");
  const json& video = values.at("video");
  video.at("width").get_to(run.format.width);
  video.at("height").get_to(run.format.height);
  video.at("frames").get_to(run.format.frames);
  video.at("fps").get_to(run.format.fps);
  values.at("step").get_to(run.step);
  values.at("steps").get_to(run.steps);
  run.generator = Generator::from_state(values.at("generator").get<std::string>());
  run.global_generator = Generator::from_state(values.at("global_generator").get<std::string>());
  for (const auto& [name, state] : values.at("generators").items())
    run.generators.emplace(name, Generator::from_state(state.get<std::string>()));
  return run;
}

}  // namespace

void save_run(const fs::path& file, const Run& run, const std::string& model, const RunNotes& notes) {
  std::string text;
  try {
    text = to_json(run, model, notes).dump();
  } catch (const json::exception&) {
    throw Error(ErrorKind::input, "the run cannot be saved: its prompt or one of its settings is not valid UTF-8");
  }
  std::map<std::string, Tensor> tensors{{"latents", run.latents}};
  for (const auto& [name, tensor] : run.state) tensors.emplace(std::string(state_prefix) + name, tensor);
  checkpoint::write_safetensors(
      file, tensors, {{"format", run_format}, {"version", std::to_string(file_version)}, {"run", std::move(text)}});
}

Run load_run(const fs::path& file, std::string* model, RunNotes* notes) {
  std::error_code error;
  if (!fs::exists(file, error)) {
    throw Error(ErrorKind::input, "there is no file " + file.string(), "check the path of the saved run");
  }
  if (fs::is_directory(file, error)) broken(file, "it is a folder");
  std::shared_ptr<checkpoint::SafetensorsFile> source;
  try {
    source = checkpoint::SafetensorsFile::open(file);
  } catch (const Error& problem) {
    if (problem.kind() == ErrorKind::io) throw;
    broken(file, problem.what());
  }
  const auto& metadata = source->metadata();
  auto entry = [&](const char* key) {
    const auto it = metadata.find(key);
    return it == metadata.end() ? std::string() : it->second;
  };
  if (entry("format") != run_format) broken(file, "it is another safetensors file");
  if (entry("version") != std::to_string(file_version)) {
    throw Error(ErrorKind::input,
                file.string() + " was written by another version of prax (layout " + entry("version") +
                    ", this one reads " + std::to_string(file_version) + ")",
                "go on with the version that wrote it");
  }

  Run run;
  std::string its_model;
  RunNotes its_notes;
  try {
    const json values = json::parse(entry("run"));
    run = from_json(values);
    values.at("model").get_to(its_model);
    values.at("notes").get_to(its_notes);
  } catch (const json::exception& problem) {
    broken(file, problem.what());
  } catch (const Error& problem) {
    broken(file, problem.what());
  }
  if (!run.request.arguments.is_object()) broken(file, "its arguments are no object");
  if (run.steps < 0 || run.step < 0 || run.step > run.steps) {
    broken(file, "it says that " + std::to_string(run.step) + " of " + std::to_string(run.steps) + " steps are done");
  }
  if (run.format.width <= 0 || run.format.height <= 0 || run.format.frames <= 0 || !std::isfinite(run.format.fps) ||
      run.format.fps <= 0) {
    broken(file, "its video has no size");
  }
  const auto latents = source->entries().find("latents");
  if (latents == source->entries().end()) broken(file, "it has no latents");
  if (latents->second.dtype != DType::f32) broken(file, "its latents are not f32");
  if (latents->second.shape.size() < 2 || element_count(latents->second.shape) <= 0) {
    broken(file, "its latents have the shape " + to_string(latents->second.shape));
  }
  // A copy, because the steps to come may write into it, and the file may be replaced meanwhile.
  run.latents = source->tensor("latents").clone();
  for (const auto& [name, stored] : source->entries())
    if (name.starts_with(state_prefix))
      run.state.emplace(name.substr(state_prefix.size()), source->tensor(name).clone());
  if (model) *model = std::move(its_model);
  if (notes) *notes = std::move(its_notes);
  return run;
}

}  // namespace prax::pipelines
