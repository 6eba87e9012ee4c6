#pragma once

#include <filesystem>
#include <memory>

#include "media/frame_sink.h"
#include "media/writer.h"

namespace prax::media {

//! A ZIP file of frame_00000.png ..., each with the settings inside, and settings.json. Members are stored, for PNG is
//! packed already; with the 64-bit structures of APPNOTE 4.3.14 it may be of any size. One frame is in memory at a
//! time. The file appears when it is complete. Error(io), Error(disk_full).
std::unique_ptr<FrameSink> open_frame_archive(const std::filesystem::path& path, const WriterOptions& options);

}  // namespace prax::media
