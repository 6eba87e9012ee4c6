#pragma once

#include <memory>

#include "media/writer.h"

namespace prax::media {

//! H.264 in MP4, VP9 in WebM: 4:2:0, BT.709, limited range, exact frame times. Sizes must be even.
std::unique_ptr<FrameSink> open_mp4(const std::filesystem::path& path, const WriterOptions& options);
std::unique_ptr<FrameSink> open_webm(const std::filesystem::path& path, const WriterOptions& options);
//! Animated WebP, endless.
std::unique_ptr<FrameSink> open_webp(const std::filesystem::path& path, const WriterOptions& options);
//! Animated GIF, endless, one palette for the clip (found when all frames are there), dithered.
std::unique_ptr<FrameSink> open_gif(const std::filesystem::path& path, const WriterOptions& options);

}  // namespace prax::media
