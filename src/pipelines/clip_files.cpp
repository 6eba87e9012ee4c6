#include "pipelines/clip_files.h"

#include "base/version.h"
#include "media/writer.h"
#include "pipelines/compute_dtype.h"

namespace prax::pipelines {

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

std::map<std::string, std::string> describe(const Run& run, const std::string& reference_class,
                                            const std::string& model, DType dtype) {
  const Request& request = run.request;
  return {{"prompt", request.prompt},
          {"negative_prompt", request.negative_prompt},
          {"seed", std::to_string(request.seed)},
          {"global_seed", std::to_string(request.global_seed.value_or(request.seed))},
          {"arguments", request.arguments.dump()},
          {"model", model_name(model)},
          {"pipeline", reference_class},
          {"dtype", name_of_compute(dtype)},
          {"software", std::string("prax ") + version()}};
}

std::vector<fs::path> clip_paths(const fs::path& output, int64_t count) {
  std::vector<fs::path> files;
  for (int64_t index = 0; index < count; ++index) files.push_back(clip_path(output, index, count));
  return files;
}

OpenSink clip_writers(const fs::path& output, int64_t count, int quality,
                      std::function<std::map<std::string, std::string>()> describe) {
  return [=, describe = std::move(describe)](int64_t index) {
    media::WriterOptions options;
    options.metadata = describe();
    if (count > 1) options.metadata["clip"] = std::to_string(index + 1);
    options.quality = quality;
    return media::open_writer(clip_path(output, index, count), options);
  };
}

}  // namespace prax::pipelines
