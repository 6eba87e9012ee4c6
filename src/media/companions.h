#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "media/frame_sink.h"

namespace prax::media {

//! Gives every frame to several sinks, in their order.
class Tee : public FrameSink {
public:
  explicit Tee(std::vector<std::unique_ptr<FrameSink>> sinks) : sinks_(std::move(sinks)) {}
  void begin(const VideoFormat& format) override;
  void frame(std::span<const float> rgb) override;
  void finish() override;

private:
  std::vector<std::unique_ptr<FrameSink>> sinks_;
};

//! The clip's middle frame as a WebP picture. The file appears when the clip is complete. Error(io), Error(disk_full).
std::unique_ptr<FrameSink> open_thumbnail(const std::filesystem::path& path);

//! One JPEG with up to 25 frames, evenly chosen from first to last, side by side in a grid of at most 2048 pixels'
//! width, row by row. The file appears when the clip is complete. Error(io), Error(disk_full).
std::unique_ptr<FrameSink> open_spritesheet(const std::filesystem::path& path);

}  // namespace prax::media
