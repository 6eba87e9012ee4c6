#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/error.h"
#include "media/writer.h"
#include "tensor/tensor.h"

namespace prax::media {

//! A folder of its own for each test, removed at the end.
class MediaTest : public ::testing::Test {
protected:
  MediaTest() {
    std::string name = (std::filesystem::temp_directory_path() / "prax-media-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = name;
  }
  ~MediaTest() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path at(const std::string& name) const { return folder_ / name; }
  size_t entries() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }

  std::filesystem::path folder_;
};

//! A soft coloured pattern that moves: [height, width, 3].
inline std::vector<float> smooth_frame(int width, int height, int64_t t) {
  std::vector<float> rgb;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double u = static_cast<double>(x) / width, v = static_cast<double>(y) / height;
      rgb.push_back(static_cast<float>(0.5 + 0.3 * std::sin(3 * u + 0.1 * static_cast<double>(t))));
      rgb.push_back(static_cast<float>(0.5 + 0.3 * std::cos(2 * v)));
      rgb.push_back(static_cast<float>(0.3 + 0.2 * u * v));
    }
  }
  return rgb;
}

inline std::vector<float> plain_frame(int width, int height, float r, float g, float b) {
  std::vector<float> rgb;
  for (int i = 0; i < width * height; ++i) rgb.insert(rgb.end(), {r, g, b});
  return rgb;
}

inline void write_smooth(const std::filesystem::path& path, const VideoFormat& format,
                         const WriterOptions& options = {}) {
  const auto writer = open_writer(path, options);
  writer->begin(format);
  for (int64_t t = 0; t < format.frames; ++t) writer->frame(smooth_frame(format.width, format.height, t));
  writer->finish();
}

inline double psnr(const float* a, const float* b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return -10 * std::log10(sum / static_cast<double>(count) + 1e-12);
}

//! Of a clip made by write_smooth, against what was written; the worst frame.
inline double worst_psnr(const Tensor& frames) {
  double worst = 1000;
  const size_t size = static_cast<size_t>(frames.numel() / frames.dim(0));
  for (int64_t t = 0; t < frames.dim(0); ++t) {
    const auto made = smooth_frame(static_cast<int>(frames.dim(2)), static_cast<int>(frames.dim(1)), t);
    worst = std::min(worst, psnr(frames.data<float>() + static_cast<size_t>(t) * size, made.data(), size));
  }
  return worst;
}

inline std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

inline void put_bytes(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

//! What `action` throws has this kind and says this.
template <typename Action>
void expect_error(ErrorKind kind, const std::string& part, Action action) {
  try {
    action();
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    EXPECT_FALSE(error.hint().empty()) << error.what();
  }
}

}  // namespace prax::media
