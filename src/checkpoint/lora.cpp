#include "checkpoint/lora.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <system_error>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/messages.h"

namespace prax::checkpoint {

namespace {

constexpr size_t modules_shown = 3;

std::string matrices_of(const LoraFile::Module& module) {
  return "A " + to_string(module.a.shape()) + " and B " + to_string(module.b.shape());
}

std::string last_part(const std::string& name) { return name.substr(name.find_last_of('.') + 1); }

//! Whether the matrices change a weight of that shape: A as wide as one output's inputs, B as long as the outputs.
bool fits(const LoraFile::Module& module, const Shape& weight) {
  const Shape &a = module.a.shape(), &b = module.b.shape();
  const int64_t out = weight[0], in = out == 0 ? 0 : element_count(weight) / out;
  const bool rows = a.size() == 2 ? a[1] == in : std::equal(a.begin() + 1, a.end(), weight.begin() + 1, weight.end());
  return rows && b[0] == out;
}

}  // namespace

std::shared_ptr<LoraSet> LoraSet::open(const std::vector<LoraRequest>& requests, LoraMode mode) {
  auto set = std::make_shared<LoraSet>();
  set->mode_ = mode;
  for (const LoraRequest& request : requests) {
    if (!std::isfinite(request.weight))
      throw Error(ErrorKind::usage, "the weight of the LoRA " + named(request.path) + " is not a finite number",
                  "give a number such as 1, 0.7 or -0.4");
    Loaded loaded{LoraFile::open(request.path), request.weight, {}};
    for (const Loaded& other : set->files_) {
      std::error_code unknown;
      if (!std::filesystem::equivalent(request.path, other.file.path(), unknown)) continue;
      throw Error(ErrorKind::usage, "the LoRA " + named(request.path) + " is given twice",
                  "give it once, with the sum of the weights");
    }
    for (const auto& [name, module] : loaded.file.modules()) {
      if (std::abs(module.scale * request.weight) > std::numeric_limits<float>::max())
        throw Error(ErrorKind::usage, "the weight of the LoRA " + named(request.path) + " is too large",
                    "give a number such as 1, 0.7 or -0.4");
      loaded.used[name] = false;
    }
    set->files_.push_back(std::move(loaded));
  }
  return set;
}

std::vector<LoraChange> LoraSet::changes(const std::string& module, const Shape& weight) {
  asked_[module] = weight;
  std::string flat = module;
  std::replace(flat.begin(), flat.end(), '.', '_');
  std::vector<LoraChange> found;
  for (Loaded& loaded : files_) {
    const auto& modules = loaded.file.modules();
    const auto dotted = modules.find(module), underscored = modules.find(flat);
    const bool has_flat = underscored != modules.end() && underscored != dotted && underscored->second.flat;
    if (dotted == modules.end() && !has_flat) continue;
    if (dotted != modules.end() && has_flat)
      throw Error(ErrorKind::checkpoint, named(loaded.file.path()) + " changes " + in_quotes(module) + " twice",
                  "the file is a mixture of two; get it again from where it was published");
    const auto& [name, change] = has_flat ? *underscored : *dotted;
    if (!fits(change, weight))
      throw Error(ErrorKind::checkpoint,
                  named(loaded.file.path()) + " changes " + in_quotes(module) + " by " + matrices_of(change) +
                      ", but the model's weight there is " + to_string(weight),
                  "the LoRA was made for another model; use it with the one that its publisher names");
    loaded.used[name] = true;
    const auto scale = static_cast<float>(change.scale * loaded.weight);
    if (scale == 0) continue;
    const int64_t rank = change.a.dim(0);
    found.push_back({change.a.view({rank, -1}), change.b.view({change.b.dim(0), rank}), change.bias, scale});
  }
  return found;
}

void LoraSet::require_all_used() const {
  for (const Loaded& loaded : files_) {
    std::vector<std::string> unused;
    for (const auto& [name, used] : loaded.used)
      if (!used) unused.push_back(name);
    if (unused.empty()) continue;
    std::string list;
    for (size_t i = 0; i < std::min(modules_shown, unused.size()); ++i)
      list += (i ? ", " : "") + in_quotes(unused[i]) + " (" + matrices_of(loaded.file.modules().at(unused[i])) + ")";
    if (unused.size() > modules_shown) list += " and " + std::to_string(unused.size() - modules_shown) + " more";

    // Modules of the same last name say most about the difference.
    std::vector<std::pair<std::string, Shape>> expected(asked_.begin(), asked_.end());
    std::stable_partition(expected.begin(), expected.end(),
                          [&](const auto& one) { return last_part(one.first) == last_part(unused[0]); });
    std::string hint;
    for (size_t i = 0; i < std::min(modules_shown, expected.size()); ++i)
      hint += (i ? ", " : "") + in_quotes(expected[i].first) + " " + to_string(expected[i].second);
    throw Error(ErrorKind::checkpoint,
                named(loaded.file.path()) + " changes modules that this model does not have: " + list,
                "use the LoRA with the model that it was made for; this one has " +
                    (hint.empty() ? "no layer for any" : hint + (expected.size() > modules_shown ? " ..." : "")));
  }
}

}  // namespace prax::checkpoint
