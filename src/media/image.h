#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace prax::media {

//! [height, width, 3] in 0..1 as a PNG file's bytes, with texts as iTXt chunks.
std::vector<uint8_t> encode_png(std::span<const float> rgb, int width, int height,
                                const std::map<std::string, std::string>& metadata = {});
//! The same as a JPEG file's bytes (4:2:0).
std::vector<uint8_t> encode_jpeg(std::span<const float> rgb, int width, int height);

//! Writes a picture [H, W, 3] f32 in 0..1. The file appears when it is complete. Error(io).
void write_png(const std::filesystem::path& path, const Tensor& rgb,
               const std::map<std::string, std::string>& metadata = {});

}  // namespace prax::media
