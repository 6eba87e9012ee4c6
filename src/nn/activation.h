#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/config.h"
#include "kernels/kernels.h"

namespace prax::nn {

//! The activation that goes by this name, in capitals or not, in configs of diffusers (models/activations.py,
//! FeedForward in models/attention.py) or transformers (activations.py). Nothing where prax has none of that name.
std::optional<kernels::Activation> activation_named(std::string_view name);

//! The one that `config` names under `key`, or `fallback`. Error(checkpoint) for a name that is unknown; `usual` says
//! what published models have there.
kernels::Activation read_activation(const checkpoint::Config& config, const std::string& key,
                                    const std::string& fallback, const std::string& usual);

//! The refusal of a name that is unknown.
[[noreturn]] void refuse_activation(const checkpoint::Config& config, const std::string& key, const std::string& name,
                                    const std::string& usual);

}  // namespace prax::nn
