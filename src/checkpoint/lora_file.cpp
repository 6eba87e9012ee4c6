#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <regex>
#include <utility>

#include "base/error.h"
#include "checkpoint/config.h"
#include "checkpoint/json_text.h"
#include "checkpoint/lora.h"
#include "checkpoint/messages.h"
#include "checkpoint/safetensors.h"

namespace prax::checkpoint {

namespace {

using Module = LoraFile::Module;

constexpr const char* get_it_again = "the file is damaged or incomplete; download it again";

// ------------------------------------------------------------------------------------------------ names

enum class Part { a, b, bias, alpha };

struct Key {
  std::string module;
  Part part = Part::a;
  bool flat = false, of_peft = false;
};

//! Ends of tensor names by the programs that write them: PEFT, diffusers of several ages, kohya's, genmo's.
constexpr std::array<std::pair<std::string_view, Part>, 18> endings{{
    {".lora_A.weight", Part::a},
    {".lora_B.weight", Part::b},
    {".lora_B.bias", Part::bias},
    {".lora_A.default.weight", Part::a},
    {".lora_B.default.weight", Part::b},
    {".lora_B.default.bias", Part::bias},
    {".lora_A", Part::a},
    {".lora_B", Part::b},
    {".lora.down.weight", Part::a},
    {".lora.up.weight", Part::b},
    {".lora_down.weight", Part::a},
    {".lora_up.weight", Part::b},
    {".lora_up.bias", Part::bias},
    {".lora_linear_layer.down.weight", Part::a},
    {".lora_linear_layer.up.weight", Part::b},
    {"_lora.down.weight", Part::a},
    {"_lora.up.weight", Part::b},
    {".alpha", Part::alpha},
}};

bool cut_front(std::string& text, std::string_view front) {
  if (!text.starts_with(front)) return false;
  text.erase(0, front.size());
  return true;
}

void replace_all(std::string& text, std::string_view old, std::string_view with) {
  for (size_t at = 0; (at = text.find(old, at)) != std::string::npos; at += with.size())
    text.replace(at, old.size(), with);
}

//! What the name says, or nothing when it is not one of a low-rank change.
std::optional<Key> parse_name(const std::string& name) {
  const auto ending = std::find_if(endings.begin(), endings.end(), [&](const auto& one) {
    return name.size() > one.first.size() && name.ends_with(one.first);
  });
  if (ending == endings.end()) return {};
  Key key;
  key.part = ending->second;
  key.module = name.substr(0, name.size() - ending->first.size());
  if (ending->first.starts_with("_lora") && key.module.ends_with(".to_out")) key.module += ".0";
  replace_all(key.module, ".processor.", ".");
  key.of_peft = cut_front(key.module, "base_model.model.");
  cut_front(key.module, "model.");
  key.flat = cut_front(key.module, "lora_unet_") || cut_front(key.module, "lora_transformer_");
  const bool original = key.flat || cut_front(key.module, "diffusion_model.");
  if (!original) cut_front(key.module, "transformer.");
  // The two names of the original LTX-Video checkpoints that differ: convert_ltx_transformer_checkpoint_to_diffusers.
  if (original) {
    const std::string dot = key.flat ? "_" : ".";
    if (cut_front(key.module, "adaln_single" + dot)) key.module.insert(0, "time_embed" + dot);
    if (key.module == "patchify_proj") key.module = "proj_in";
  }
  if (key.module.empty()) return {};
  return key;
}

// ------------------------------------------------------------------------------------------------ metadata

//! A pattern of PEFT's get_pattern_key: re.match(rf"(.*\.)?({pattern})$", module). Nearly all are plain names, whose
//! dots match any character.
class Pattern {
public:
  //! Error(checkpoint) when it cannot be read or is unreasonably large.
  Pattern(const std::string& text, const std::string& origin) : literal_(text) {
    anchored_ = cut_front(literal_, "^");
    if (literal_.find_first_of("\\^$*+?()[]{}|") == std::string::npos) return;
    constexpr size_t longest = 1000;  // bounds the automaton, as the refusal of repeat counts does
    if (text.size() > longest || text.find('{') != std::string::npos) refuse(text, origin);
    try {
      // Polynomial: a hostile pattern must not take exponential time.
      regex_.emplace("(.*\\.)?(" + text + ")", std::regex::ECMAScript | std::regex_constants::__polynomial);
    } catch (const std::regex_error&) {
      refuse(text, origin);
    }
  }

  bool matches(const std::string& module) const {
    if (regex_) return std::regex_match(module, *regex_);
    if (module.size() < literal_.size()) return false;
    const size_t at = module.size() - literal_.size();
    if (at > 0 && (anchored_ || module[at - 1] != '.')) return false;
    return std::equal(literal_.begin(), literal_.end(), module.begin() + static_cast<std::ptrdiff_t>(at),
                      [](char p, char c) { return p == c || p == '.'; });
  }

private:
  [[noreturn]] static void refuse(const std::string& text, const std::string& origin) {
    throw Error(ErrorKind::checkpoint, origin + ": the pattern " + in_quotes(text) + " cannot be used",
                "name the modules in rank_pattern and alpha_pattern");
  }

  std::string literal_;
  bool anchored_ = false;
  std::optional<std::regex> regex_;
};

//! What PEFT's LoraConfig says about scales. Defaults are its own.
class AdapterConfig {
public:
  AdapterConfig(const nlohmann::json& values, const std::string& origin) : origin_(origin) {
    const Config config(values, origin);
    refuse_unsupported(config);
    rank_ = config.get<int64_t>("r", 8);
    alpha_ = config.get<double>("lora_alpha", 8);
    root_ = config.get<bool>("use_rslora", false);
    ranks_ = patterns<int64_t>(values, "rank_pattern");
    alphas_ = patterns<double>(values, "alpha_pattern");
  }

  //! alpha / rank of a module. Error(checkpoint) when the matrices have another rank or alpha is not finite.
  double scale(const std::string& module, int64_t rank) const {
    const int64_t expected = find(ranks_, module, rank_);
    if (rank != expected)
      throw Error(ErrorKind::checkpoint,
                  origin_ + " gives " + in_quotes(module) + " the rank " + std::to_string(expected) +
                      ", but its matrices have the rank " + std::to_string(rank),
                  get_it_again);
    const double alpha = find(alphas_, module, alpha_);
    if (!std::isfinite(alpha))
      throw Error(ErrorKind::checkpoint, origin_ + ": the alpha of " + in_quotes(module) + " is not a finite number",
                  get_it_again);
    return alpha / (root_ ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
  }

private:
  template <typename T>
  using Patterns = std::vector<std::pair<Pattern, T>>;

  template <typename T>
  Patterns<T> patterns(const nlohmann::json& values, const std::string& key) const {
    Patterns<T> read;
    const auto it = values.find(key);
    if (it == values.end() || it->is_null()) return read;
    const Config entries(*it, origin_ + ", " + key);
    for (const auto& [pattern, value] : it->items())
      read.emplace_back(Pattern(pattern, entries.origin()), entries.get<T>(pattern, T{}));
    return read;
  }

  template <typename T>
  static T find(const Patterns<T>& patterns, const std::string& module, T otherwise) {
    for (const auto& [pattern, value] : patterns)
      if (pattern.matches(module)) return value;
    return otherwise;
  }

  //! Options that make something else of the two matrices than W + scale B A, or change W itself.
  void refuse_unsupported(const Config& config) const {
    const auto refuse = [&](const std::string& option, const nlohmann::json& value) {
      throw Error(ErrorKind::checkpoint,
                  origin_ + ": " + option + " = " +
                      in_quotes(value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace)) +
                      " is not supported",
                  "use a LoRA without it, or merge it into the model's weights with PEFT");
    };
    for (const char* option : {"use_dora", "use_qalora", "use_bdlora", "alora_invocation_tokens", "layer_replication",
                               "arrow_config", "kasa_config", "velora_config", "monteclora_config"}) {
      if (!config.has(option)) continue;
      const nlohmann::json& value = config.values()[option];
      if (value != false && !((value.is_structured() || value.is_string()) && value.empty())) refuse(option, value);
    }
    if (config.has("peft_type") && config.values()["peft_type"] != "LORA")
      refuse("peft_type", config.values()["peft_type"]);
    // Other starts (pissa, olora, corda, loftq ...) take their share out of the model's weights.
    if (config.has("init_lora_weights")) {
      const nlohmann::json& start = config.values()["init_lora_weights"];
      if (!start.is_boolean() && start != "gaussian" && start != "eva" && start != "orthogonal")
        refuse("init_lora_weights", start);
    }
  }

  std::string origin_;
  int64_t rank_ = 0;
  double alpha_ = 0;
  bool root_ = false;
  Patterns<int64_t> ranks_;
  Patterns<double> alphas_;
};

//! The configuration in the file's metadata, where a key is "transformer.r", or beside a file of PEFT's.
std::optional<AdapterConfig> read_config(const SafetensorsFile& file, bool of_peft) {
  const std::string origin = named(file.path()) + ", lora_adapter_metadata";
  const auto text = file.metadata().find("lora_adapter_metadata");
  if (text != file.metadata().end() && !text->second.empty()) {
    const nlohmann::json all = parse_json(text->second, origin);
    if (!all.is_object()) throw Error(ErrorKind::checkpoint, origin + " is no JSON object", get_it_again);
    constexpr std::string_view component = "transformer.";
    nlohmann::json of_transformer = nlohmann::json::object();
    for (const auto& [key, value] : all.items())
      if (key.starts_with(component)) of_transformer[key.substr(component.size())] = value;
    if (!of_transformer.empty()) return AdapterConfig(of_transformer, origin);
    if (all.contains("lora_alpha")) return AdapterConfig(all, origin);
  }
  const auto beside = file.path().parent_path() / "adapter_config.json";
  std::error_code unknown;
  if (of_peft && std::filesystem::exists(beside, unknown)) return AdapterConfig(read_json(beside), named(beside));
  return {};
}

// ------------------------------------------------------------------------------------------------ tensors

//! What is known of a module before its tensors are held together.
struct Found {
  Module module;
  std::optional<double> alpha;
};

double read_alpha(const Tensor& tensor, const std::string& name, const std::filesystem::path& path) {
  if (tensor.numel() != 1)
    broken(path,
           "has the alpha " + in_quotes(name) + " of shape " + to_string(tensor.shape()) + " where one number is due",
           get_it_again);
  const double alpha = static_cast<double>(*tensor.to(DType::f32).data<float>());
  if (!std::isfinite(alpha)) broken(path, "has an alpha that is not finite: " + in_quotes(name), get_it_again);
  return alpha;
}

Tensor read_matrix(const SafetensorsFile& file, const std::string& name) {
  const Tensor tensor = file.tensor(name);
  require_floating(tensor, name);
  require_finite(tensor, name);
  return tensor;
}

void require_pair(const Module& m, const std::string& name, const std::filesystem::path& path) {
  const std::string module = in_quotes(name);
  if (!m.a.defined() || !m.b.defined()) {
    const std::string missing = m.a.defined() ? "no B" : m.b.defined() ? "no A" : "no matrices";
    broken(path, "has " + missing + " for the module " + module, get_it_again);
  }
  const Shape &a = m.a.shape(), &b = m.b.shape();
  const std::string shapes = ": A " + to_string(a) + ", B " + to_string(b);
  const bool pair = a.size() >= 2 && b.size() >= 2 && a[0] == b[1] &&
                    std::all_of(b.begin() + 2, b.end(), [](int64_t extent) { return extent == 1; });
  if (!pair)
    broken(path, "has matrices for the module " + module + " that do not go together" + shapes,
           "A must be [rank, in] and B [out, rank]; download the file again");
  if (m.a.numel() == 0 || m.b.numel() == 0)
    broken(path, "has empty matrices for the module " + module + shapes,
           "a rank is at least 1; download the file again");
  if (m.bias.defined() && m.bias.shape() != Shape{b[0]})
    broken(path, "has a bias " + to_string(m.bias.shape()) + " for the module " + module + shapes, get_it_again);
}

[[noreturn]] void refuse_others(const std::vector<std::string>& others, bool any_lora,
                                const std::filesystem::path& path) {
  if (!any_lora)
    broken(path, "is no LoRA: its tensors are " + (others.empty() ? "none" : list_of(others)),
           "name a LoRA's .safetensors file; a whole model is not one");
  const bool dora = std::any_of(others.begin(), others.end(), [](const std::string& name) {
    return name.find("lora_magnitude_vector") != std::string::npos || name.find("dora_scale") != std::string::npos;
  });
  broken(path,
         (dora ? "is a DoRA, which cannot be applied: " : "holds tensors that cannot be applied: ") + list_of(others),
         "use a plain LoRA, or merge the file into the model's weights with the program that made it");
}

}  // namespace

LoraFile LoraFile::open(const std::filesystem::path& path) {
  const auto file = SafetensorsFile::open(path);
  std::map<std::string, Found> found;
  std::vector<std::string> others;
  bool of_peft = false;
  for (const auto& [name, entry] : file->entries()) {
    const auto key = parse_name(name);
    if (!key) {
      others.push_back(name);
      continue;
    }
    Found& at = found[key->module];
    at.module.flat = key->flat;
    of_peft = of_peft || key->of_peft;
    const auto once = [&](bool known) {
      if (known)
        broken(path, "has the " + in_quotes(name) + " of the module " + in_quotes(key->module) + " twice",
               "the file is a mixture of two; get it again from where it was published");
    };
    if (key->part == Part::alpha) {
      once(at.alpha.has_value());
      at.alpha = read_alpha(file->tensor(name), name, path);
      continue;
    }
    Tensor& tensor = key->part == Part::a ? at.module.a : key->part == Part::b ? at.module.b : at.module.bias;
    once(tensor.defined());
    tensor = read_matrix(*file, name);
  }
  if (!others.empty() || found.empty()) refuse_others(others, !found.empty(), path);

  const auto config = read_config(*file, of_peft);
  LoraFile lora;
  lora.path_ = path;
  for (auto& [name, at] : found) {
    require_pair(at.module, name, path);
    const int64_t rank = at.module.a.dim(0);
    if (config) {
      at.module.scale = config->scale(name, rank);
    } else if (at.alpha) {
      at.module.scale = *at.alpha / static_cast<double>(rank);
    }
    lora.modules_.emplace(name, std::move(at.module));
  }
  return lora;
}

}  // namespace prax::checkpoint
