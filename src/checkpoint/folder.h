#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/config.h"
#include "checkpoint/weights.h"

namespace prax::checkpoint {

//! One entry of model_index.json: `"vae": ["diffusers", "AutoencoderKLLTXVideo"]`.
struct Component {
  std::string name;        //!< "vae"
  std::string library;     //!< "diffusers"
  std::string class_name;  //!< "AutoencoderKLLTXVideo"
};

//! A model folder in the diffusers layout: model_index.json and one folder a component. Pyramid Flow's folders have no
//! index; what is in them says what they are.
class Folder {
public:
  //! Whether a path looks like such a folder, without reading its files.
  static bool is_there(const std::filesystem::path& path);
  //! Throws Error(checkpoint) when the path is no such folder, saying what is missing.
  static Folder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  //! `_class_name` of model_index.json, e.g. "LTXPipeline"; of Pyramid Flow its authors' class.
  const std::string& pipeline_class() const { return pipeline_class_; }
  const std::vector<Component>& components() const { return components_; }
  const Component* find(const std::string& name) const;
  //! The component's folder; Error(checkpoint) when the index or the disk does not have it.
  std::filesystem::path component_path(const std::string& name) const;
  //! config.json (scheduler: scheduler_config.json) of a component.
  Config config(const std::string& component) const;
  //! The component's weights: `diffusion_pytorch_model.safetensors` or `model.safetensors`, sharded by
  //! `*.index.json`, also as a variant (`diffusion_pytorch_model.bf16.safetensors`,
  //! `model.fp16-00001-of-00002.safetensors`): the plain files where they exist, else the one variant that does,
  //! or the asked one. Where there are none, `diffusion_pytorch_model.bin` or `pytorch_model.bin` (see torch_zip.h).
  std::shared_ptr<TensorSource> weights(const std::string& component, const std::string& variant = {}) const;

private:
  std::filesystem::path path_;
  std::string pipeline_class_;
  std::vector<Component> components_;
};

//! The name of one of several weight files: "base-00001-of-00004.safetensors".
std::string shard_name(const std::string& base, size_t number, size_t count);

//! Whether a file of a component, by its name, is weights or an index of them.
bool belongs_to_weights(const std::string& name);

}  // namespace prax::checkpoint
