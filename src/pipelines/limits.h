#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! Which sizes and lengths a model folder makes.
struct Limits {
  std::string family;           //!< "LTX-Video"
  std::string reference_class;  //!< that the folder names
  int size_multiple = 1;        //!< width and height are multiples of it, in pixels
  int64_t frame_group = 1;      //!< clips have k * frame_group + frame_offset frames
  int64_t frame_offset = 0;
  int64_t most_frames = 0;    //!< longest clip that the model was made for
  int64_t most_pixels = 0;    //!< largest picture (width * height) that it was made for
  bool one_size = false;      //!< makes the default size alone
  int width = 0, height = 0;  //!< defaults
  int64_t frames = 0;
  double fps = 0;
  bool takes_picture = false;  //!< can begin with a picture
  bool needs_picture = false;  //!< cannot begin without one
  bool changes_clips = false;  //!< remix and edit
  bool extends_clips = false;  //!< extensions
  //! An extension's run begins with so many of the clip's last frames, or as many as it has, in whole groups.
  int64_t most_context_frames = 0;
  bool takes_conditions = false;  //!< pictures and clips at any frame, loops
};

//! How many frames of a clip the run of its extension repeats: num_frames is these and the new ones.
inline int64_t context_frames(const Limits& limits, int64_t clip_frames) {
  const int64_t seen = clip_frames < limits.most_context_frames ? clip_frames : limits.most_context_frames;
  return (seen - limits.frame_offset) / limits.frame_group * limits.frame_group + limits.frame_offset;
}

//! From the folder's files: the autoencoder's grid, the family's documented longest clip and largest picture, and what
//! praxinoscope.json says itself ({"defaults": {...}, "limits": {"frames": 49, "pixels": 36864}}). Error(checkpoint).
Limits limits(const std::filesystem::path& folder);

//! Default size, length and rate from arguments of those names.
void take_defaults(const std::vector<Argument>& arguments, Limits& limits);
//! What the folder's praxinoscope.json says in place of the family.
void take_own_limits(const checkpoint::Folder& folder, Limits& limits);

}  // namespace prax::pipelines
