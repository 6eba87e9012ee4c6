#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "jobs/job.h"
#include "server/context.h"
#include "server/form.h"

namespace prax::server {

constexpr size_t most_url_characters = 20'971'520;  //!< of a picture, also as a data: URL

//! A picture or clip that was handed in: known by its bytes, whatever its name or type said.
struct CheckedMedia {
  std::shared_ptr<http::TemporaryFile> file;
  std::string media_type;  //!< "image/png", "video/mp4"
  std::string ending;      //!< "png"
  uint64_t bytes = 0;
  int64_t width = 0, height = 0, frames = 1;
  double fps = 0;

  bool picture() const { return media_type.starts_with("image/") && frames <= 1; }
};

enum class Wanted { picture, clip, either };

//! Looks at an upload. Throws HttpError(400) with `param` for what is no PNG, JPEG or WebP picture (no MP4, WebM or
//! other clip), damaged, or larger than the settings allow; nothing is decoded before its stated size is known.
CheckedMedia check_media(const Context& context, http::Spool& upload, Wanted wanted, const std::string& param);

//! The bytes of a data URL, or of a URL that is fetched by the settings' rules. HttpError(400).
http::Spool read_url(const Context& context, const std::string& url, const std::string& param);

//! Puts it into the storage as `name` of a job or character.
jobs::InputFile store_input(const Context& context, const std::string& owner_id, const std::string& name,
                            const CheckedMedia& media);

//! The first picture of a stored clip, as a PNG. HttpError(404) when it is gone, HttpError(400) with `param` when it
//! cannot be made.
CheckedMedia first_picture(const Context& context, const jobs::InputFile& clip, const std::string& param);

}  // namespace prax::server
