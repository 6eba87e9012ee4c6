#include "checkpoint/folder.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "checkpoint/json_text.h"
#include "checkpoint/messages.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/torch_zip.h"

namespace prax::checkpoint {

namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

//! Names in a folder, sorted.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code failure;
  for (fs::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure))
    names.push_back(it->path().filename().string());
  if (failure)
    throw Error(ErrorKind::io, "cannot list " + named(folder) + ": " + failure.message(), "check its permissions");
  std::sort(names.begin(), names.end());
  return names;
}

bool has_ending(const std::string& name, std::initializer_list<const char*> endings) {
  return std::any_of(endings.begin(), endings.end(), [&](const char* ending) { return name.ends_with(ending); });
}

const char* const weights_endings[] = {".safetensors", ".gguf", ".ckpt", ".pt", ".pth", ".bin"};
bool is_weights_file(const std::string& name) {
  return std::any_of(std::begin(weights_endings), std::end(weights_endings),
                     [&](const char* ending) { return name.ends_with(ending); });
}

constexpr const char* get_the_layout =
    "single-file checkpoints are not read; download the whole folder in the diffusers layout (with model_index.json)";

[[noreturn]] void no_model_folder(const fs::path& path) {
  std::error_code failure;
  const auto status = fs::status(path, failure);
  if (status.type() == fs::file_type::not_found)
    throw Error(ErrorKind::checkpoint, "there is no model folder " + named(path), "check the path");
  if (failure && status.type() == fs::file_type::none)
    throw Error(ErrorKind::io, "cannot look at " + named(path) + ": " + failure.message(), "check its permissions");
  if (status.type() != fs::file_type::directory) {
    if (path.filename() == "model_index.json")
      throw Error(ErrorKind::checkpoint, named(path) + " is a file, not a model folder", "name the folder it is in");
    throw Error(ErrorKind::checkpoint, named(path) + " is a file, not a model folder", get_the_layout);
  }
  const auto names = names_in(path);
  std::string hint = "a model folder has a model_index.json and one folder a component; download the whole of it";
  std::vector<std::string> weights;
  std::copy_if(names.begin(), names.end(), std::back_inserter(weights), is_weights_file);
  if (is_file(path.lexically_normal() / ".." / "model_index.json")) {
    hint = "this is one component of a model; name the folder above it";
  } else if (std::binary_search(names.begin(), names.end(), "snapshots")) {
    hint = "this is a folder of the download cache; name the folder of a revision under its snapshots folder";
  } else if (!weights.empty()) {
    hint = get_the_layout;
  } else {
    for (const auto& name : names)
      if (is_file(path / name / "model_index.json")) hint = "did you mean " + named(path / name) + "?";
  }
  throw Error(ErrorKind::checkpoint,
              named(path) + " has no model_index.json; it " +
                  (names.empty() ? std::string("is empty") : "holds " + list_of(names)),
              hint);
}

//! A name from a file of the checkpoint that must stay inside of its folder.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

//! What one variant ("" for the plain one) of a component's weights consists of on disk.
struct WeightFiles {
  std::string single, index;        //!< file names, "" where there is none
  std::vector<std::string> shards;  //!< files that look like shards
};

//! "-00001-of-00004" at the end of a text.
bool ends_in_shard_number(const std::string& text) {
  constexpr std::string_view pattern = "-00000-of-00000";
  if (text.size() < pattern.size()) return false;
  const std::string end = text.substr(text.size() - pattern.size());
  for (size_t i = 0; i < pattern.size(); ++i) {
    const bool digit = end[i] >= '0' && end[i] <= '9';
    if (pattern[i] == '0' ? !digit : end[i] != pattern[i]) return false;
  }
  return true;
}

std::string without_shard_number(const std::string& text) { return text.substr(0, text.size() - 15); }

//! Sorts the file names of a component into variants. With V for a variant and N for a shard number "-00001-of-00002":
//!   base.safetensors  base.V.safetensors  baseN.safetensors  base.VN.safetensors  (older: baseN.V.safetensors)
//!   base.safetensors.index.json  base.safetensors.index.V.json  (older: base.safetensors.V.index.json)
//! Reference: _add_variant in diffusers/utils/hub_utils.py, variant_compatible_siblings in
//! diffusers/pipelines/pipeline_loading_utils.py.
std::map<std::string, WeightFiles> sort_variants(const std::vector<std::string>& names, const std::string& base) {
  const std::string ending = ".safetensors", index = ".index.json", json = ".json";
  std::map<std::string, WeightFiles> variants;
  for (const std::string& name : names) {
    if (!name.starts_with(base)) continue;
    const std::string rest = name.substr(base.size());
    if (rest.starts_with(ending) && rest.ends_with(json)) {
      const std::string middle = rest.substr(ending.size(), rest.size() - ending.size() - json.size());
      if (middle == ".index") {
        variants[""].index = name;
      } else if (middle.starts_with(".index.")) {
        variants[middle.substr(7)].index = name;
      } else if (middle.starts_with(".") && middle.ends_with(".index") && middle.size() > 7) {
        variants[middle.substr(1, middle.size() - 7)].index = name;
      }
    } else if (rest.ends_with(ending)) {
      const std::string middle = rest.substr(0, rest.size() - ending.size());
      const size_t dot = middle.find('.');
      if (middle.empty()) {
        variants[""].single = name;
      } else if (middle[0] == '.' && middle.size() > 1) {
        const std::string variant = middle.substr(1);
        if (!ends_in_shard_number(variant)) {
          variants[variant].single = name;
        } else {
          variants[without_shard_number(variant)].shards.push_back(name);
        }
      } else if (middle.size() == 15 && ends_in_shard_number(middle)) {
        variants[""].shards.push_back(name);
      } else if (dot == 15 && ends_in_shard_number(middle.substr(0, dot)) && dot + 1 < middle.size()) {
        variants[middle.substr(dot + 1)].shards.push_back(name);
      }
    }
  }
  return variants;
}

std::shared_ptr<TensorSource> open_index(const fs::path& folder, const std::string& index_name) {
  const fs::path index_path = folder / index_name;
  const nlohmann::json index = read_json(index_path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object())
    broken(index_path, "has no weight_map");
  std::map<std::string, std::vector<std::string>> tensors_of_shard;
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) broken(index_path, "says no file name for tensor " + in_quotes(tensor));
    const auto& file = shard.get_ref<const std::string&>();
    if (!is_plain_name(file))
      broken(index_path, "puts tensor " + in_quotes(tensor) + " into " + in_quotes(file) + ", outside of its folder",
             "do not use this checkpoint unless you trust its source");
    if (!file.ends_with(".safetensors"))
      broken(index_path,
             "puts tensor " + in_quotes(tensor) + " into " + in_quotes(file) + ", which is no safetensors file",
             "download a checkpoint in safetensors format");
    tensors_of_shard[file].push_back(tensor);
  }
  if (tensors_of_shard.empty()) broken(index_path, "names no tensor");
  std::vector<std::string> missing;
  for (const auto& [file, tensors] : tensors_of_shard)
    if (!is_file(folder / file)) missing.push_back(file);
  if (!missing.empty())
    broken(index_path, "needs " + list_of(missing) + ", which " + (missing.size() == 1 ? "is" : "are") + " not there",
           "the download did not finish; download the missing files into " + folder.string());
  std::vector<std::shared_ptr<SafetensorsFile>> files;
  for (const auto& [file, tensors] : tensors_of_shard) {
    files.push_back(SafetensorsFile::open(folder / file));
    for (const std::string& tensor : tensors)
      if (!files.back()->entries().contains(tensor))
        broken(index_path, "puts tensor " + in_quotes(tensor) + " into " + in_quotes(file) + ", which does not hold it",
               "the index and the file belong to different checkpoints; download both again");
  }
  return join_safetensors(std::move(files));
}

//! Pyramid Flow is published without a model_index.json; its autoencoder's folder is named as no other model's.
constexpr const char* pyramid_flow_vae = "causal_video_vae";
constexpr const char* pyramid_flow_class = "PyramidDiTForVideoGeneration";

//! What such a folder holds: every folder with a configuration is a component.
std::vector<Component> components_without_index(const fs::path& path) {
  std::vector<Component> components;
  for (const std::string& name : names_in(path)) {
    if (is_file(path / name / "config.json")) {
      const std::string class_name = Config::read(path / name / "config.json").class_name();
      components.push_back({name, name.starts_with("text_encoder") ? "transformers" : "diffusers", class_name});
    } else if (name.starts_with("tokenizer") && is_folder(path / name)) {
      components.push_back({name, "transformers", ""});
    }
  }
  return components;
}

}  // namespace

bool Folder::is_there(const fs::path& path) {
  return is_file(path / "model_index.json") || is_file(path / pyramid_flow_vae / "config.json");
}

Folder Folder::open(const fs::path& path) {
  if (!is_file(path / "model_index.json") && is_there(path)) {
    Folder folder;
    folder.path_ = path;
    folder.pipeline_class_ = pyramid_flow_class;
    folder.components_ = components_without_index(path);
    return folder;
  }
  if (!is_folder(path) || !is_file(path / "model_index.json")) no_model_folder(path);
  const fs::path file = path / "model_index.json";
  const Config index = Config::read(file);
  Folder folder;
  folder.path_ = path;
  folder.pipeline_class_ = index.class_name();
  if (folder.pipeline_class_.empty()) broken(file, "does not say its pipeline (_class_name)");
  for (const auto& [name, entry] : index.values().items()) {
    // What is no list is an argument of the pipeline, like "force_zeros_for_empty_prompt": true.
    if (name.starts_with('_') || !entry.is_array()) continue;
    const auto is_text_or_null = [](const nlohmann::json& item) { return item.is_string() || item.is_null(); };
    if (entry.size() != 2 || !is_text_or_null(entry[0]) || !is_text_or_null(entry[1]))
      broken(file, "has an entry " + in_quotes(name) + " that is no [library, class]");
    if (!is_plain_name(name)) broken(file, "names a component " + in_quotes(name) + ", which is no folder name");
    if (entry[0].is_null() || entry[1].is_null()) continue;  // an optional component that this model does without
    folder.components_.push_back({name, entry[0].get<std::string>(), entry[1].get<std::string>()});
  }
  if (folder.components_.empty()) broken(file, "names no component");
  return folder;
}

const Component* Folder::find(const std::string& name) const {
  const auto it =
      std::find_if(components_.begin(), components_.end(), [&](const Component& c) { return c.name == name; });
  return it == components_.end() ? nullptr : &*it;
}

fs::path Folder::component_path(const std::string& name) const {
  if (!find(name)) {
    std::vector<std::string> names;
    for (const Component& component : components_) names.push_back(component.name);
    throw Error(ErrorKind::checkpoint,
                "the model " + named(path_) + " has no component " + in_quotes(name) + "; it has " + list_of(names),
                "use a complete model of this kind");
  }
  const fs::path path = path_ / name;
  if (!is_folder(path))
    throw Error(ErrorKind::checkpoint, "the folder " + named(path) + " is missing although model_index.json names it",
                "the download is incomplete; download the folder " + name + " too");
  return path;
}

Config Folder::config(const std::string& component) const {
  const fs::path folder = component_path(component);
  std::vector<std::string> names{"config.json", "scheduler_config.json"};
  if (component.find("scheduler") != std::string::npos) std::swap(names[0], names[1]);
  for (const std::string& name : names)
    if (is_file(folder / name)) return Config::read(folder / name);
  return Config::read(folder / names[0]);  // its message says what is missing
}

std::shared_ptr<TensorSource> Folder::weights(const std::string& component, const std::string& variant) const {
  const fs::path folder = component_path(component);
  const bool transformers = find(component)->library == "transformers";
  const auto names = names_in(folder);
  // Each library has its own file name; some checkpoints were saved by the other one.
  std::vector<std::string> bases{"diffusion_pytorch_model", "model"};
  if (transformers) std::swap(bases[0], bases[1]);
  auto variants = sort_variants(names, bases[0]);
  if (variants.empty()) variants = sort_variants(names, bases[1]);
  if (variants.empty()) {
    // As transformers and diffusers name what torch.save wrote.
    const std::string saved = transformers ? "pytorch_model.bin" : bases[0] + ".bin";
    if (is_file(folder / saved)) return open_torch_zip(folder / saved);
    std::vector<std::string> others;
    std::copy_if(names.begin(), names.end(), std::back_inserter(others), is_weights_file);
    const bool pickled = std::any_of(others.begin(), others.end(), [](const std::string& name) {
      return has_ending(name, {".bin", ".pt", ".pth", ".ckpt"});
    });
    throw Error(ErrorKind::checkpoint,
                named(folder) + " has no weights: " + bases[0] + ".safetensors is missing" +
                    (others.empty() ? "" : " (there is " + list_of(others) + ")"),
                pickled ? "of pickled weights only " + saved + " is read; download the .safetensors files"
                        : "the download is incomplete; download the folder " + component + " again");
  }

  std::vector<std::string> there;
  for (const auto& [name, files] : variants)
    if (!name.empty()) there.push_back(name);
  std::string chosen = variant;
  if (!variants.contains(chosen)) {
    if (!variant.empty()) {
      // As in the reference, a component without the asked variant uses its plain files, if another component has it.
      const bool elsewhere = std::any_of(components_.begin(), components_.end(), [&](const Component& other) {
        const fs::path path = path_ / other.name;
        if (!is_folder(path)) return false;
        const auto files = names_in(path);
        return sort_variants(files, bases[0]).contains(variant) || sort_variants(files, bases[1]).contains(variant);
      });
      if (!elsewhere || !variants.contains(""))
        throw Error(ErrorKind::checkpoint, named(folder) + " has no variant " + in_quotes(variant) + " of its weights",
                    there.empty() ? "ask for no variant" : "it has the variants " + list_of(there));
      chosen.clear();
    } else if (there.size() == 1) {
      chosen = there.front();
    } else {
      throw Error(ErrorKind::checkpoint,
                  named(folder) + " has the variants " + list_of(there) + " and no plain weights",
                  "say which variant to use, or keep only one");
    }
  }
  const WeightFiles& files = variants.at(chosen);
  // Where both exist, transformers takes the single file and diffusers the index.
  if (!files.single.empty() && (files.index.empty() || transformers)) return open_safetensors({folder / files.single});
  if (!files.index.empty()) return open_index(folder, files.index);
  throw Error(ErrorKind::checkpoint, named(folder) + " has shards (" + list_of(files.shards) + ") but no index of them",
              "download the *.safetensors.index.json beside them");
}

std::string shard_name(const std::string& base, size_t number, size_t count) {
  const auto five_digits = [](size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
  };
  return base + "-" + five_digits(number) + "-of-" + five_digits(count) + ".safetensors";
}

bool belongs_to_weights(const std::string& name) {
  return is_weights_file(name) || (name.ends_with(".json") && name.find(".safetensors.") != std::string::npos);
}

}  // namespace prax::checkpoint
