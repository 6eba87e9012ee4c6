#pragma once

#include <cstdlib>

#include "support/golden.h"

namespace prax::test {

//! Where the references of Pyramid Flow lie. PRAX_PYRAMID_FLOW_CASES names another folder that was made in the same
//! way, to hold the same tests against models of other sizes.
inline std::filesystem::path pyramid_flow_cases() {
  const char* other = std::getenv("PRAX_PYRAMID_FLOW_CASES");
  return other ? other : std::filesystem::path(PRAX_TEST_DATA) / "cases" / "pyramid_flow";
}

//! A case of that folder.
struct PyramidFlowGolden : Golden {
  explicit PyramidFlowGolden(const std::string& name) : Golden(pyramid_flow_cases() / name) {}
  //! A component of the case's checkpoint, which the case names up to the component
  //! ("checkpoint_flux/causal_video_vae") or, for a whole run, without.
  std::filesystem::path component(const std::string& name = {}) const {
    return pyramid_flow_cases() / json.at("checkpoint").get<std::string>() / name;
  }
};

inline checkpoint::Config config_of(const std::filesystem::path& component) {
  return checkpoint::Config::read(component / "config.json");
}

inline checkpoint::Weights weights_of(const std::filesystem::path& component, const char* file) {
  return checkpoint::Weights(checkpoint::open_safetensors({component / file}));
}

}  // namespace prax::test
