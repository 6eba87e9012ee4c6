#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace prax::media {

struct PictureSize {
  int64_t width = 0;
  int64_t height = 0;
};

//! The size that a PNG, JPEG or WebP file's header states, without decoding anything: a file of a few bytes may stand
//! for gigabytes of pixels. `head` is the file's beginning; a JPEG may need more of it (its size comes after its
//! metadata). nullopt when it is none of the three or the size does not lie in `head`.
std::optional<PictureSize> stated_picture_size(std::string_view head);

}  // namespace prax::media
