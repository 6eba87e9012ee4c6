#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace prax::checkpoint {

//! A tensor's entry in a file's header.
struct TensorInfo {
  std::string name;
  DType dtype;
  Shape shape;
  size_t bytes() const { return static_cast<size_t>(element_count(shape)) * size_of(dtype); }
};

//! How a network multiplies by weights: `weights` [out_i, in], by their names, stacked into one matrix whose rows are
//! then cut into `pieces` equal ones, each a product of its own.
struct ProductNote {
  std::vector<std::string> weights;
  int64_t in = 0, out = 0;  //!< of the stack
  int64_t pieces = 1;
  DType dtype = DType::f32;  //!< of the products: f32, bf16, or i8
};

//! Where a model's tensors come from: a safetensors file, shards, random numbers for a benchmark, or nothing at all
//! (names and shapes only, to hold a model against a manifest).
class TensorSource {
public:
  virtual ~TensorSource() = default;
  virtual bool contains(const std::string& name) const = 0;
  //! The tensor as stored. Throws Error(checkpoint) that names it when it is missing or its shape is another.
  virtual Tensor get(const std::string& name, const Shape& shape) = 0;
  //! A layer says what it will do with its weights; a source that wants to know takes note.
  virtual void note_product(const ProductNote& /*product*/) {}
  //! Names in the source that get() was never asked for.
  virtual std::vector<std::string> unused() const = 0;
  //! What is there, by name, without reading any of it; empty where the source makes whatever it is asked for.
  virtual std::vector<TensorInfo> list() const { return {}; }
  //! What people should see as its origin: a path, "synthetic".
  virtual std::string description() const = 0;
};

class LoraSet;

//! How much of a network's weights its layers may keep packed in memory. What is beyond it they take from the file each
//! time.
class PackingBudget {
public:
  explicit PackingBudget(uint64_t bytes) : left_(bytes) {}
  //! Takes a layer's weights in, if there is room for them.
  bool take(uint64_t bytes) {
    if (bytes > left_) return false;
    left_ -= bytes;
    return true;
  }

private:
  uint64_t left_;
};

//! A cursor into a TensorSource: `weights["transformer_blocks"][3].tensor("to_q.weight", {n, k})`.
class Weights {
public:
  explicit Weights(std::shared_ptr<TensorSource> source, std::string prefix = {}, std::shared_ptr<LoraSet> loras = {},
                   std::shared_ptr<PackingBudget> budget = {})
      : source_(std::move(source)), prefix_(std::move(prefix)), loras_(std::move(loras)), budget_(std::move(budget)) {}

  Weights operator[](std::string_view name) const;
  Weights operator[](int index) const { return (*this)[std::string_view(std::to_string(index))]; }
  bool contains(std::string_view name) const { return source_->contains(path(name)); }
  Tensor tensor(std::string_view name, const Shape& shape) const { return source_->get(path(name), shape); }
  std::string path(std::string_view name) const;
  TensorSource& source() const { return *source_; }
  //! Low-rank changes for the layers to apply (lora.h), or null.
  const std::shared_ptr<LoraSet>& loras() const { return loras_; }
  //! How much may be packed, or null where that is not limited.
  const std::shared_ptr<PackingBudget>& budget() const { return budget_; }

private:
  std::shared_ptr<TensorSource> source_;
  std::string prefix_;
  std::shared_ptr<LoraSet> loras_;
  std::shared_ptr<PackingBudget> budget_;
};

//! Throws Error(checkpoint) naming up to five tensors of the source that nobody used and that match none of the
//! ignored patterns (a pattern is an exact name or a prefix ending in '*').
void require_all_used(const TensorSource& source, const std::vector<std::string>& ignored = {});

//! Throws Error(checkpoint) naming the tensor and its first element that is infinite or not a number. A layer calls it
//! when it packs a weight, when the data is read anyway. Integers and tensors without storage pass.
void require_finite(const Tensor& tensor, const std::string& name);

//! Throws Error(checkpoint) when the elements are not of a floating-point type.
void require_floating(const Tensor& tensor, const std::string& name);

//! Records what it is asked for and returns tensors without storage.
class ManifestSource : public TensorSource {
public:
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string& name, const Shape& shape) override;
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "manifest"; }
  //! Names and shapes in the order of asking.
  const std::vector<std::pair<std::string, Shape>>& requested() const { return requested_; }

private:
  std::vector<std::pair<std::string, Shape>> requested_;
};

//! Passes on what another source has, and keeps what a network's layers say they do with it.
class NotingSource : public TensorSource {
public:
  explicit NotingSource(std::shared_ptr<TensorSource> source) : source_(std::move(source)) {}
  bool contains(const std::string& name) const override { return source_->contains(name); }
  Tensor get(const std::string& name, const Shape& shape) override { return source_->get(name, shape); }
  void note_product(const ProductNote& product) override { products_.push_back(product); }
  std::vector<std::string> unused() const override { return source_->unused(); }
  std::vector<TensorInfo> list() const override { return source_->list(); }
  std::string description() const override { return source_->description(); }

  const std::vector<ProductNote>& products() const { return products_; }

private:
  std::shared_ptr<TensorSource> source_;
  std::vector<ProductNote> products_;
};

//! Random weights of the asked shapes for benchmarks: matrices and kernels normal / sqrt(fan-in) with fan-in =
//! numel / shape[0], 1-D weights (gains of norms) near 1, other vectors and scalars near 0. The same name and shape
//! give the same numbers on every machine. Approximately normal; they repeat after 1048573 values. Matrices from 8 MB
//! on are read-only windows onto a few files in memory that all of them share (one a fan-in and dtype), so that a model
//! of any size takes no anonymous memory; their numbers repeat after 8191 pages.
class SyntheticSource : public TensorSource {
public:
  //! dtype f32, bf16 or f16; otherwise Error(usage).
  explicit SyntheticSource(DType dtype = DType::bf16);
  bool contains(const std::string&) const override { return true; }
  Tensor get(const std::string& name, const Shape& shape) override;
  std::vector<std::string> unused() const override { return {}; }
  std::string description() const override { return "synthetic"; }

private:
  DType dtype_;
};

}  // namespace prax::checkpoint
