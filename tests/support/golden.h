#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "checkpoint/folder.h"
#include "checkpoint/safetensors.h"
#include "support/isas.h"

namespace prax::test {

//! A reference case of tests/data/cases.
struct Golden {
  explicit Golden(const std::string& name)
      : path(std::filesystem::path(PRAX_TEST_DATA) / "cases" / name),
        tensors(checkpoint::SafetensorsFile::open(path / "tensors.safetensors")) {
    std::ifstream(path / "case.json") >> json;
  }
  Tensor operator[](const std::string& name) const { return tensors->tensor(name).clone(); }
  bool has(const std::string& name) const { return tensors->entries().contains(name); }
  checkpoint::Folder checkpoint() const {
    return checkpoint::Folder::open(path / json.at("checkpoint").get<std::string>());
  }

  std::filesystem::path path;
  std::shared_ptr<checkpoint::SafetensorsFile> tensors;
  nlohmann::json json;
};

//! Largest difference over the reference's largest magnitude; infinity for another shape or a non-finite value.
inline double relative_error(const Tensor& got, const Tensor& want) {
  if (got.numel() != want.numel()) return INFINITY;
  const Tensor a = got.to(DType::f32), b = want.to(DType::f32);
  double error = 0, largest = 1e-30;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.data<float>()[i], y = b.data<float>()[i];
    if (!std::isfinite(x)) return INFINITY;
    error = std::max(error, std::abs(x - y));
    largest = std::max(largest, std::abs(y));
  }
  return error / largest;
}

inline double cosine(const Tensor& got, const Tensor& want) {
  const Tensor a = got.to(DType::f32), b = want.to(DType::f32);
  double dot = 0, aa = 0, bb = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    const double x = a.data<float>()[i], y = b.data<float>()[i];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / std::sqrt(aa * bb);
}

}  // namespace prax::test
