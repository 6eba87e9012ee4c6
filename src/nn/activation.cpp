#include "nn/activation.h"

#include <algorithm>
#include <utility>

namespace prax::nn {

std::optional<kernels::Activation> activation_named(std::string_view name) {
  using enum kernels::Activation;
  constexpr std::pair<std::string_view, kernels::Activation> names[] = {{"silu", silu},
                                                                        {"swish", silu},
                                                                        {"linear-silu", silu},
                                                                        {"gelu", gelu},
                                                                        {"relu", relu},
                                                                        {"gelu-approximate", gelu_tanh},
                                                                        {"gelu_new", gelu_tanh},
                                                                        {"mish", mish},
                                                                        {"gelu_pytorch_tanh", gelu_tanh},
                                                                        {"quick_gelu", quick_gelu}};
  std::string lower(name);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const auto* found = std::find_if(std::begin(names), std::end(names), [&](const auto& n) { return n.first == lower; });
  if (found == std::end(names)) return std::nullopt;
  return found->second;
}

void refuse_activation(const checkpoint::Config& config, const std::string& key, const std::string& name,
                       const std::string& usual) {
  config.refuse(key + " \"" + name + "\" is not an activation that prax knows", usual);
}

kernels::Activation read_activation(const checkpoint::Config& config, const std::string& key,
                                    const std::string& fallback, const std::string& usual) {
  const auto name = config.get<std::string>(key, fallback);
  const auto activation = activation_named(name);
  if (!activation) refuse_activation(config, key, name, usual);
  return *activation;
}

}  // namespace prax::nn
