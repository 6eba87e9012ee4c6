#include <array>

#include "base/error.h"
#include "pipelines/cogvideox/image_to_video.h"
#include "pipelines/cogvideox/intent.h"
#include "pipelines/cogvideox/text_to_video.h"
#include "pipelines/cogvideox/video_to_video.h"
#include "pipelines/limits.h"
#include "pipelines/ltx/conditioned.h"
#include "pipelines/ltx/image_to_video.h"
#include "pipelines/ltx/intent.h"
#include "pipelines/ltx/long_video.h"
#include "pipelines/ltx/text_to_video.h"
#include "pipelines/ltx/two_pass.h"
#include "pipelines/ltx/upsample.h"
#include "pipelines/mochi/intent.h"
#include "pipelines/mochi/mochi_pipeline.h"
#include "pipelines/pipeline.h"
#include "pipelines/pyramid_flow/intent.h"
#include "pipelines/pyramid_flow/pyramid_flow_pipeline.h"

namespace prax::pipelines {

namespace {

//! A pipeline class of the reference, and the family whose model folders it runs.
struct Family {
  std::string_view name;
  std::string_view reference_class;
  std::unique_ptr<Pipeline> (*make)(const checkpoint::Folder&, const LoadOptions&);
  Plan (*plan)(const checkpoint::Folder&, const Intent&, const Request&);
  Limits (*limits)(const checkpoint::Folder&);
};

template <typename T>
std::unique_ptr<Pipeline> make(const checkpoint::Folder& folder, const LoadOptions& options) {
  return std::make_unique<T>(folder, options);
}

std::unique_ptr<Pipeline> make_conditioned(const checkpoint::Folder& folder, const LoadOptions& options) {
  if (options.upscaler.empty()) return std::make_unique<ltx::Conditioned>(folder, options);
  return std::make_unique<ltx::TwoPass>(folder, options);
}

// All folders of a family hold the same components; the class that a folder names only says what the publisher showed
// first.
constexpr std::array families{
    Family{"LTX-Video", "LTXPipeline", make<ltx::TextToVideo>, ltx::plan, ltx::limits},
    Family{"LTX-Video", "LTXImageToVideoPipeline", make<ltx::ImageToVideo>, ltx::plan, ltx::limits},
    Family{"LTX-Video", "LTXConditionPipeline", make_conditioned, ltx::plan, ltx::limits},
    Family{"LTX-Video", "LTXI2VLongMultiPromptPipeline", make<ltx::LongVideo>, ltx::plan, ltx::limits},
    Family{"LTX-Video", "LTXLatentUpsamplePipeline", make<ltx::Upsample>, ltx::plan, ltx::limits},
    Family{"CogVideoX", "CogVideoXPipeline", make<cogvideox::TextToVideo>, cogvideox::plan, cogvideox::limits},
    Family{"CogVideoX", "CogVideoXImageToVideoPipeline", make<cogvideox::ImageToVideo>, cogvideox::plan,
           cogvideox::limits},
    Family{"CogVideoX", "CogVideoXVideoToVideoPipeline", make<cogvideox::VideoToVideo>, cogvideox::plan,
           cogvideox::limits},
    Family{"Mochi 1", "MochiPipeline", make<mochi::MochiPipeline>, mochi::plan, mochi::limits},
    Family{"Pyramid Flow", "PyramidDiTForVideoGeneration", make<pyramid_flow::PyramidFlowPipeline>, pyramid_flow::plan,
           pyramid_flow::limits}};

const Family* family_of(std::string_view reference_class) {
  for (const Family& f : families)
    if (f.reference_class == reference_class) return &f;
  return nullptr;
}

std::string names_of_families() {
  std::string names;
  std::string_view last;
  for (const Family& f : families) {
    if (f.name == last) continue;
    names += (names.empty() ? "" : ", ") + std::string(f.name);
    last = f.name;
  }
  return names;
}

const Family& require_family(const checkpoint::Folder& folder) {
  if (const Family* own = family_of(folder.pipeline_class())) return *own;
  throw Error(ErrorKind::checkpoint,
              folder.path().string() + " is a " + folder.pipeline_class() + ", which this version of prax cannot run",
              "it runs " + names_of_families() + "; `prax models` lists what is here");
}

}  // namespace

bool can_run(std::string_view reference_class) { return family_of(reference_class) != nullptr; }

Plan make_plan(const std::filesystem::path& model, const Intent& intent, const Request& request) {
  const checkpoint::Folder folder = checkpoint::Folder::open(model);
  try {
    return require_family(folder).plan(folder, intent, request);
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::usage, "one of the settings has a value of another type than its argument",
                "see `prax info` for the arguments of " + model.string());
  }
}

Limits limits(const std::filesystem::path& path) {
  const checkpoint::Folder folder = checkpoint::Folder::open(path);
  const Family& family = require_family(folder);
  Limits found = family.limits(folder);
  found.family = family.name;
  found.reference_class = folder.pipeline_class();
  take_own_limits(folder, found);
  return found;
}

std::unique_ptr<Pipeline> load(const std::filesystem::path& path, const LoadOptions& options) {
  const checkpoint::Folder folder = checkpoint::Folder::open(path);
  const Family* own = &require_family(folder);
  if (options.reference_class.empty()) return own->make(folder, options);
  const Family* asked = family_of(options.reference_class);
  if (!asked || asked->name != own->name)
    throw Error(
        ErrorKind::usage,
        path.string() + " is a model of " + std::string(own->name) + ", which no " + options.reference_class + " runs",
        "give a model of another family, or leave out what asks for it");
  return asked->make(folder, options);
}

}  // namespace prax::pipelines
