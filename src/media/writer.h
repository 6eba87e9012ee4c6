#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "media/frame_sink.h"

namespace prax::media {

struct WriterOptions {
  //! Stored in the file where the container can (MP4/WebM comment, PNG text, GIF comment ...): key -> text.
  std::map<std::string, std::string> metadata;
  //! Constant rate factor of H.264 and VP9; lower is better and larger.
  int quality = 16;
  //! MP4: embed a poster frame as cover art (attached picture).
  bool poster = true;
};

//! A sink for the path's ending: .mp4 (H.264 High, yuv420p, BT.709 flagged, faststart: plays in browsers and
//! QuickTime), .webm (VP9), .gif (one palette for the clip, dithered), .webp (animated), .png (contact sheet),
//! .npy (float32 [T,H,W,3], 0..1), no ending or a folder (frame_00000.png ...).
//! Frames go to a temporary name beside the target, which finish() renames; without finish() the destructor removes
//! it. Throws Error(usage) on an unknown ending (naming those that work), Error(io) when the place cannot be written
//! (checked when opened, not after an hour of sampling) or the disk is full.
std::unique_ptr<FrameSink> open_writer(const std::filesystem::path& path, const WriterOptions& options = {});

//! Throws what open_writer() would throw for this path, and leaves nothing behind.
void check_writable(const std::filesystem::path& path);

}  // namespace prax::media
