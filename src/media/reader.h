#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace prax::media {

//! What is known about a clip without looking at its pictures.
struct VideoInfo {
  int width = 0;  //!< as shown: turned as the metadata says
  int height = 0;
  int64_t frames = 0;   //!< as stored; counted from the packets where the container does not say
  double fps = 0;       //!< average
  double duration = 0;  //!< seconds
  std::string codec;    //!< FFmpeg's name: "h264", "vp9", "gif"
  bool has_cover = false;
  std::map<std::string, std::string> tags;  //!< the container's, as they are: "comment", "title" ...
};

//! Reads the head of a video or picture file. Throws Error(io) when it cannot be opened, Error(input) when it is none.
VideoInfo probe(const std::filesystem::path& path);

//! Every frame as [T,H,W,3] f32 in 0..1, of anything that read_clip() reads. Y'CbCr is converted with the matrix and
//! the range that the stream is tagged with; untagged streams are BT.709 from 720 lines on, else BT.601, as players do.
//! Errors as read_clip().
Tensor read_frames(const std::filesystem::path& path);

//! The settings that a writer stored in a file of any of its kinds (a folder: settings.json); empty when there are
//! none.
std::map<std::string, std::string> read_settings(const std::filesystem::path& path);

}  // namespace prax::media
