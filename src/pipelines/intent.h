#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/folder.h"
#include "pipelines/pipeline.h"

namespace prax::pipelines {

//! A picture or clip that stands at a frame of the video.
struct PlacedMedia {
  std::filesystem::path file;
  int64_t frame = 0;
  double strength = 1.0;
};

//! One of several prompts, for so long.
struct Shot {
  std::string prompt;
  double seconds = 0;
};

//! What people ask for beside the prompt, in no family's words.
struct Intent {
  std::optional<std::filesystem::path> image;   //!< the first frame
  std::optional<std::filesystem::path> video;   //!< a clip to change
  std::vector<PlacedMedia> conditions;          //!< pictures and clips at frames
  std::optional<double> strength;               //!< how far a clip is changed, or how strongly a picture holds
  std::optional<std::filesystem::path> extend;  //!< a clip to go on with
  bool loop = false;                            //!< the end meets the beginning
  std::vector<Shot> shots;
  std::filesystem::path upscaler;  //!< the model folder of a second pass at twice the size
};

//! How a family does it: which of its reference's pipelines, with which request.
struct Plan {
  std::string reference_class;
  Request request;
};

//! Says how the family of a model folder does what is asked for, with the defaults that suit the checkpoint: those of
//! its own files, else those of the family's documentation. Arguments that the request has stay. Reads the heads of
//! pictures and clips for sizes and lengths. Error(usage) for what the family cannot do, naming what it can.
Plan make_plan(const std::filesystem::path& model, const Intent& intent, const Request& request);

}  // namespace prax::pipelines
