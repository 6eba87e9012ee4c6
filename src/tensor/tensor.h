#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"

namespace prax {

using Shape = std::vector<int64_t>;

//! Product of the extents; 1 for a scalar.
int64_t element_count(const Shape& shape);
//! "[2, 48, 128]"
std::string to_string(const Shape& shape);

//! A dense row-major array that shares its storage: copying a Tensor copies a handle, never the elements.
//! Storage is owned (64-byte aligned, recycled, see memory.h), or borrowed from something kept alive by a
//! shared_ptr (a mapped file). A tensor without storage ("meta") has shape and dtype only.
class Tensor {
public:
  Tensor() = default;
  static Tensor empty(Shape shape, DType dtype = DType::f32);
  static Tensor zeros(Shape shape, DType dtype = DType::f32);
  static Tensor full(Shape shape, float value);
  static Tensor meta(Shape shape, DType dtype);
  //! Wraps pages mapped from a file that `owner` keeps alive. Read-only by convention when the memory is.
  static Tensor borrow(Shape shape, DType dtype, const void* data, std::shared_ptr<const void> owner);
  template <typename T>
  static Tensor from(Shape shape, std::span<const T> values);

  bool defined() const { return dtype_set_; }
  bool has_storage() const { return data_ != nullptr; }
  const Shape& shape() const { return shape_; }
  //! Extent of one dimension; negative counts from the end.
  int64_t dim(int i) const { return shape_[i < 0 ? i + shape_.size() : i]; }
  int rank() const { return static_cast<int>(shape_.size()); }
  DType dtype() const { return dtype_; }
  int64_t numel() const { return element_count(shape_); }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype_); }

  void* raw() { return data_; }
  const void* raw() const { return data_; }
  //! The elements; throws Error(internal) when T is not the dtype.
  template <typename T>
  T* data() {
    return static_cast<T*>(typed(dtype_of<T>::value));
  }
  template <typename T>
  const T* data() const {
    return static_cast<const T*>(typed(dtype_of<T>::value));
  }
  template <typename T>
  std::span<T> span() {
    return {data<T>(), static_cast<size_t>(numel())};
  }
  template <typename T>
  std::span<const T> span() const {
    return {data<T>(), static_cast<size_t>(numel())};
  }

  //! The same elements under another shape of equal count. One extent may be -1.
  Tensor view(Shape shape) const;
  //! Rows [begin, end) of the first dimension; shares storage.
  Tensor slice(int64_t begin, int64_t end) const;
  //! A converted copy (the same handle when the dtype is already right). Rounds to nearest even.
  Tensor to(DType dtype) const;
  //! A copy of the elements in owned storage.
  Tensor clone() const;
  //! Where the elements lie in a mapped file: takes their pages out of this process's memory until they are read again.
  //! Does nothing else, and nothing to owned storage.
  void let_go() const;
  //! A copy with the dimensions reordered.
  Tensor permute(const std::vector<int>& order) const;
  //! Joins along a dimension.
  static Tensor concat(const std::vector<Tensor>& parts, int dim);

private:
  void* typed(DType wanted) const;

  Shape shape_;
  DType dtype_ = DType::f32;
  bool dtype_set_ = false;
  void* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  bool mapped_ = false;  //!< from a file
};

template <typename T>
Tensor Tensor::from(Shape shape, std::span<const T> values) {
  Tensor t = empty(std::move(shape), dtype_of<T>::value);
  std::copy(values.begin(), values.end(), t.data<T>());
  return t;
}

}  // namespace prax
