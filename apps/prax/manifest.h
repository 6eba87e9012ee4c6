#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/config.h"

namespace prax::app {

//! What a model is without its weights: {"class", "config", ...}, one component of a published checkpoint.
struct Manifest {
  std::string name;        //!< of the file, without ending
  std::string class_name;  //!< "LTXVideoTransformer3DModel"
  checkpoint::Config config;
};

//! Reads a manifest, a component's config.json, or a set of manifests ({"class", "components": {component: name}},
//! which are looked for beside it). Error(input) when the file is neither, Error(io) when it cannot be read.
std::vector<Manifest> read_manifests(const std::filesystem::path& file);

//! The same by name, from the folder of manifests that comes with the program: "ltx-video-2b", "t5-v1.1-xxl"; '-', '.'
//! and '_' are the same, and a name may be cut where only one file goes on so. Error(usage) that lists what is there.
std::vector<Manifest> find_manifests(const std::string& name);

}  // namespace prax::app
