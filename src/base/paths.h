#pragma once

#include <filesystem>
#include <vector>

namespace prax {

//! The running program's file.
std::filesystem::path program_path();

//! The user's home folder (HOME, else the password file); empty when there is none.
std::filesystem::path home_path();

//! What may be deleted at any time: praxinoscope in XDG_CACHE_HOME, or in ~/.cache. Throws Error(io) where there is no
//! home folder.
std::filesystem::path cache_path();

//! Where the embedded model can be, in the order of looking: the PRAX_NANO environment variable (alone, when set), an
//! installation (`../share/praxinoscope/models/nano` beside the program), the source tree of a development build.
std::vector<std::filesystem::path> embedded_model_candidates();

//! The first candidate that holds a model_index.json. Throws Error(checkpoint) that names the places.
std::filesystem::path embedded_model_path();

//! The built studio (index.html and what it loads): beside an installation, else in the source tree of a development
//! build; empty when it is in neither.
std::filesystem::path studio_path();

//! A model as people name it: "nano" is the embedded one, anything else a folder (a leading "~/" is the home folder,
//! also where no shell expanded it). A folder called "nano" is reached as "./nano".
std::filesystem::path resolve_model(const std::filesystem::path& name);

//! Where the manifests of published checkpoints (configurations and shapes without weights) are: beside an installation
//! or in the source tree, as the embedded model is. Throws Error(io) that names the places.
std::filesystem::path manifests_path();

}  // namespace prax
