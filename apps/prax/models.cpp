#include <fmt/format.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/paths.h"
#include "checkpoint/folder.h"
#include "commands.h"
#include "output.h"
#include "pipelines/pipeline.h"

namespace prax::app {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

//! What was published where. For people to find models; nothing that runs a model reads this.
struct Publication {
  std::string_view family, repository, pipeline_class, licence, makes;
};

constexpr std::string_view see_there = "see the repository";
constexpr std::array publications{
    Publication{"LTX-Video", "Lightricks/LTX-Video", "LTXPipeline", "LTXV Open Weights (0.9.0: see there)",
                "text and picture to video, 2B"},
    Publication{"LTX-Video", "a-r-r-o-w/LTX-Video-0.9.1-diffusers", "LTXPipeline", see_there,
                "text and picture to video, 2B"},
    Publication{"LTX-Video", "Lightricks/LTX-Video-0.9.5", "LTXConditionPipeline", see_there,
                "keyframes and clips too, 2B"},
    Publication{"LTX-Video", "Lightricks/LTX-Video-0.9.7-dev", "LTXConditionPipeline", see_there, "13B"},
    Publication{"LTX-Video", "Lightricks/LTX-Video-0.9.7-distilled", "LTXConditionPipeline", see_there,
                "13B, few steps"},
    Publication{"LTX-Video", "Lightricks/LTX-Video-0.9.8-13B-distilled", "LTXConditionPipeline", see_there,
                "13B, few steps"},
    Publication{"CogVideoX", "zai-org/CogVideoX-2b", "CogVideoXPipeline", "Apache-2.0", "text to video"},
    Publication{"CogVideoX", "zai-org/CogVideoX-5b", "CogVideoXPipeline", "CogVideoX LICENSE", "text to video"},
    Publication{"CogVideoX", "zai-org/CogVideoX-5b-I2V", "CogVideoXImageToVideoPipeline", "CogVideoX LICENSE",
                "picture to video"},
    Publication{"CogVideoX", "zai-org/CogVideoX1.5-5B", "CogVideoXPipeline", "CogVideoX LICENSE", "text to video"},
    Publication{"CogVideoX", "zai-org/CogVideoX1.5-5B-I2V", "CogVideoXImageToVideoPipeline", "CogVideoX LICENSE",
                "picture to video"},
    Publication{"Mochi 1", "genmo/mochi-1-preview", "MochiPipeline", "Apache-2.0", "text to video, 10B"},
    Publication{"Pyramid Flow", "rain1011/pyramid-flow-miniflux", "PyramidDiTForVideoGeneration", see_there,
                "text and picture to video (384p, 768p), text to picture"},
    Publication{"Pyramid Flow", "rain1011/pyramid-flow-sd3", "PyramidDiTForVideoGeneration", see_there,
                "text and picture to video (384p, 768p)"}};

}  // namespace

std::string_view published_family(std::string_view pipeline_class) {
  for (const Publication& p : publications)
    if (p.pipeline_class == pipeline_class) return p.family;
  return {};
}

namespace {

//! Where the Hugging Face tools keep what they download.
//! Reference: huggingface_hub/constants.py (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME).
fs::path download_cache() {
  const auto from = [](const char* name, const char* below) -> fs::path {
    const char* value = std::getenv(name);
    return value && *value ? fs::path(value) / below : fs::path();
  };
  for (const fs::path& place :
       {from("HF_HUB_CACHE", ""), from("HF_HOME", "hub"), from("XDG_CACHE_HOME", "huggingface/hub")})
    if (!place.empty()) return place;
  return home_path() / ".cache/huggingface/hub";
}

struct Found {
  fs::path path;
  std::string pipeline_class;
};

void look_in(const fs::path& folder, std::set<fs::path>& seen, std::vector<Found>& found) {
  std::error_code error;
  if (!checkpoint::Folder::is_there(folder)) return;
  const fs::path real = fs::canonical(folder, error);
  if (error || !seen.insert(real).second) return;
  try {
    found.push_back({folder, checkpoint::Folder::open(folder).pipeline_class()});
  } catch (const Error&) {
    found.push_back({folder, "broken model folder"});
  }
}

void look_below(const fs::path& parent, std::set<fs::path>& seen, std::vector<Found>& found) {
  std::error_code error;
  look_in(parent, seen, found);
  for (const auto& entry : fs::directory_iterator(parent, fs::directory_options::skip_permission_denied, error))
    if (entry.is_directory(error)) look_in(entry.path(), seen, found);
}

//! Model folders in the usual places: the embedded one, here, PRAX_MODELS, the user's data folder, the download cache.
std::vector<Found> models_on_disk() {
  std::set<fs::path> seen;
  std::vector<Found> found;
  for (const auto& candidate : embedded_model_candidates()) look_in(candidate, seen, found);
  look_below(".", seen, found);
  if (const char* list = std::getenv("PRAX_MODELS")) {
    const std::string text = list;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(':', begin), text.size());
      if (end > begin) look_below(text.substr(begin, end - begin), seen, found);
      begin = end + 1;
    }
  }
  if (const fs::path home = home_path(); !home.empty())
    look_below(home / ".local/share/praxinoscope/models", seen, found);
  std::error_code error;
  for (const auto& repository : fs::directory_iterator(download_cache(), error))
    for (const auto& snapshot : fs::directory_iterator(repository.path() / "snapshots", error))
      look_in(snapshot.path(), seen, found);
  return found;
}

void models(bool as_json) {
  const auto found = models_on_disk();
  if (as_json) {
    json published = json::array(), here = json::array();
    for (const auto& p : publications)
      published.push_back({{"family", p.family},
                           {"repository", p.repository},
                           {"pipeline", p.pipeline_class},
                           {"licence", p.licence},
                           {"makes", p.makes},
                           {"runs", pipelines::can_run(p.pipeline_class)}});
    for (const auto& f : found)
      here.push_back(
          {{"path", f.path.string()}, {"pipeline", f.pipeline_class}, {"runs", pipelines::can_run(f.pipeline_class)}});
    print_json({{"type", "models"}, {"published", published}, {"on_disk", here}});
    return;
  }
  fmt::print("Published models (prax runs text to video of those marked *):\n");
  std::string_view family;
  for (const auto& p : publications) {
    if (p.family != family) fmt::print("\n  {}\n", p.family);
    family = p.family;
    fmt::print("  {} {:<44} {:<38} {}\n", pipelines::can_run(p.pipeline_class) ? '*' : ' ', p.repository, p.licence,
               p.makes);
  }
  fmt::print("\nOn this disk:\n\n");
  for (const auto& f : found)
    fmt::print("  {} {:<44} {}\n", pipelines::can_run(f.pipeline_class) ? '*' : ' ', f.pipeline_class, f.path.string());
  if (found.empty()) fmt::print("  none\n");
  fmt::print(
      "\nFolders are looked for here, in PRAX_MODELS (a list like PATH), in ~/.local/share/praxinoscope/models and in\n"
      "the cache of the Hugging Face tools. Use one with --model FOLDER; `prax info FOLDER` says what it holds.\n");
}

}  // namespace

void add_models(CLI::App& app, int&) {
  auto as_json = std::make_shared<bool>(false);
  auto* c = app.add_subcommand("models", "The families, and which models are on this disk");
  c->add_flag("--json", *as_json, "One JSON object on stdout");
  c->callback([as_json] { models(*as_json); });
}

}  // namespace prax::app
