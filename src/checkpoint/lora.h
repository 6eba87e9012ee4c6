#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace prax::checkpoint {

//! A file of low-rank changes of a model's weights (LoRA, https://arxiv.org/abs/2106.09685): each module's matrix W
//! becomes W + scale * B A. Read as diffusers loaders/lora_conversion_utils.py, utils/state_dict_utils.py and PEFT do:
//!   - modules by the names of diffusers, behind "transformer.", "base_model.model." or nothing; by those of the
//!     original checkpoints behind "diffusion_model."; or with underscores for dots behind "lora_unet_"
//!   - matrices as lora_A and lora_B, lora.down and lora.up, or lora_down and lora_up
//!   - alpha and rank from the file's metadata (`lora_adapter_metadata`, with their patterns and use_rslora), else from
//!     adapter_config.json beside a file of PEFT's, else alpha from tensors "<module>.alpha", else alpha = rank
class LoraFile {
public:
  struct Module {
    Tensor a;           //!< [rank, in], or [rank, ...kernel] of a convolution
    Tensor b;           //!< [out, rank], or [out, rank, 1 ...]
    Tensor bias;        //!< [out], added to the layer's with the same scale; undefined where there is none
    double scale = 1;   //!< alpha / rank, or alpha / sqrt(rank) with use_rslora
    bool flat = false;  //!< the name has underscores for dots
  };

  //! Error(io) when the file cannot be read; Error(checkpoint) when it is broken, holds anything but low-rank matrices
  //! (DoRA, whole weights, Kronecker products ...), or its metadata has an option that changes their meaning.
  static LoraFile open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  //! By the module's name: "transformer_blocks.0.attn1.to_q".
  const std::map<std::string, Module>& modules() const { return modules_; }

private:
  std::filesystem::path path_;
  std::map<std::string, Module> modules_;
};

//! A LoRA that a user asks for. Any sign; 0 checks the file and changes nothing.
struct LoraRequest {
  std::filesystem::path path;
  double weight = 1;
};

//! How layers apply the changes.
enum class LoraMode {
  automatic,  //!< fused where a layer keeps its packed weights, on the fly where they are streamed from the file
  fused,      //!< W + scale B A is computed in f32 when the matrix is packed; products cost what they did
  on_the_fly  //!< x A^T and its product with B are computed with every product; the weights stay as they are
};

//! One change of one weight: W [out, in] becomes W + scale * b a, the bias becomes bias + scale * `bias`.
struct LoraChange {
  Tensor a;  //!< [rank, in]
  Tensor b;  //!< [out, rank]
  Tensor bias;
  float scale = 1;  //!< the request's weight included
};

//! The LoRA files of one run. A model's layers ask for the changes of their weights when they are built (see
//! Weights::loras()); afterwards require_all_used() tells whether the files were made for that model.
class LoraSet {
public:
  //! Error(usage) when a weight is not finite or a file is named twice, and the errors of LoraFile::open.
  static std::shared_ptr<LoraSet> open(const std::vector<LoraRequest>& requests, LoraMode mode = LoraMode::automatic);

  LoraMode mode() const { return mode_; }
  //! The changes of a module whose weight has this shape [out, in] or [out, ...kernel], those with scale 0 left out.
  //! Error(checkpoint) when a file has matrices for it that do not fit.
  std::vector<LoraChange> changes(const std::string& module, const Shape& weight);
  //! Error(checkpoint) naming modules of a file that no layer asked for, and some that the model has.
  void require_all_used() const;

private:
  struct Loaded {
    LoraFile file;
    double weight;
    std::map<std::string, bool> used;  //!< by the file's names
  };

  LoraMode mode_ = LoraMode::automatic;
  std::vector<Loaded> files_;
  std::map<std::string, Shape> asked_;
};

}  // namespace prax::checkpoint
