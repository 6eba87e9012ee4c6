#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "run_prax.h"

namespace {

//! What `prax generate -o x.npy` wrote.
struct Clip {
  std::string header, data;

  //! Frame `index` of a clip whose frames have so many values, 0..1.
  std::vector<float> frame(size_t index, size_t values) const {
    std::vector<float> out(values);
    if (data.size() >= (index + 1) * values * sizeof(float))
      std::memcpy(out.data(), data.data() + index * values * sizeof(float), values * sizeof(float));
    return out;
  }
};

inline Clip npy(const std::filesystem::path& file) {
  const std::string text = file_text(file);
  if (text.size() < 128) return {};
  const auto length = static_cast<unsigned char>(text[8]) + 256u * static_cast<unsigned char>(text[9]);
  return {text.substr(10, length), text.substr(10 + length)};
}

//! Peak signal-to-noise ratio in dB of values in 0..1.
inline double psnr(const std::vector<float>& a, const std::vector<float>& b) {
  double squares = 0;
  for (size_t i = 0; i < a.size(); ++i) squares += (a[i] - b[i]) * static_cast<double>(a[i] - b[i]);
  return -10 * std::log10(squares / static_cast<double>(a.size()) + 1e-12);
}

}  // namespace
