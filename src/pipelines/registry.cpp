#include <array>

#include "base/error.h"
#include "pipelines/ltx/ltx_pipeline.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

namespace {

//! The reference's pipeline classes whose model folders a family reads.
struct Family {
  std::string_view reference_class;
  std::unique_ptr<Pipeline> (*make)(const checkpoint::Folder&, const LoadOptions&);
};

template <typename T>
std::unique_ptr<Pipeline> make(const checkpoint::Folder& folder, const LoadOptions& options) {
  return std::make_unique<T>(folder, options);
}

// All LTX-Video folders hold the same components; the class only says what the publisher showed first.
constexpr std::array families{Family{"LTXPipeline", make<ltx::LtxPipeline>},
                              Family{"LTXImageToVideoPipeline", make<ltx::LtxPipeline>},
                              Family{"LTXConditionPipeline", make<ltx::LtxPipeline>}};

}  // namespace

bool can_run(std::string_view reference_class) {
  for (const Family& f : families)
    if (f.reference_class == reference_class) return true;
  return false;
}

std::unique_ptr<Pipeline> load(const std::filesystem::path& path, const LoadOptions& options) {
  const checkpoint::Folder folder = checkpoint::Folder::open(path);
  for (const Family& f : families)
    if (f.reference_class == folder.pipeline_class()) return f.make(folder, options);
  throw Error(ErrorKind::checkpoint,
              path.string() + " is a " + folder.pipeline_class() + ", which this version of prax cannot run",
              "it runs LTX-Video (LTXPipeline) today; `prax models` lists the families");
}

}  // namespace prax::pipelines
