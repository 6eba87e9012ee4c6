#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "media/clip.h"
#include "media/reader.h"
#include "media/resize.h"
#include "tensor/tensor.h"

namespace prax::pipelines {

//! The one picture of an argument of type "picture". Error(usage) when it names several.
media::Picture read_picture_argument(const nlohmann::json& value);

//! The frames of one clip of an argument of type "clip". Errors as media::read_clip().
media::Clip read_clip_argument(const nlohmann::json& value);

//! Size, length and rate of a clip or picture as it is stored: of a file from its head, of numbered pictures by looking
//! at all of them. Errors as media::read_clip().
media::VideoInfo clip_info(const std::filesystem::path& file);

//! What a decoder gives in -1..1, as a picture in 0..1.
Tensor to_rgb(const Tensor& decoded);

//! Help of the argument that all pipelines with pictures have.
inline constexpr const char* resize_mode_help =
    "how pictures of another shape are made to fit: default (stretched, as the reference does), crop, fill";

//! Makes the paths in an argument of type "file", "picture", "clip" or "conditions" absolute, so that a run can be
//! gone on with from another folder.
void make_paths_absolute(const std::string& type, nlohmann::json& value, const std::filesystem::path& base);

}  // namespace prax::pipelines
