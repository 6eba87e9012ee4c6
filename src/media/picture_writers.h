#pragma once

#include <memory>

#include "media/writer.h"

namespace prax::media {

//! One PNG with up to sixteen frames, evenly chosen, in a grid at most 2048 pixels wide; never enlarged.
std::unique_ptr<FrameSink> open_contact_sheet(const std::filesystem::path& path, const WriterOptions& options);
//! frame_00000.png ... in a folder, and settings.json with the metadata.
std::unique_ptr<FrameSink> open_picture_folder(const std::filesystem::path& path, const WriterOptions& options);
//! NumPy's format: float32 [T, H, W, 3], little-endian, exactly as decoded.
//! https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
std::unique_ptr<FrameSink> open_npy(const std::filesystem::path& path, const WriterOptions& options);

}  // namespace prax::media
