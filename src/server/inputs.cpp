#include "server/inputs.h"

#include <sys/wait.h>

#include <algorithm>
#include <functional>
#include <mutex>
#include <optional>

#include "base/child.h"
#include "base/error.h"
#include "base/hash.h"
#include "media/picture_size.h"
#include "media/still.h"
#include "server/errors.h"

namespace prax::server {
namespace {

constexpr size_t in_memory = 64 * 1024;  // of what becomes a file if it is larger
constexpr double most_fps = 120;
constexpr size_t enough_head = 64;  // of a file, to know its kind

struct Kind {
  const char* media_type;
  const char* ending;
  bool clip;
};

//! What the first bytes say; nullptr for a kind that is not taken.
const Kind* sniff(std::string_view head) {
  static constexpr Kind png{"image/png", "png", false}, jpeg{"image/jpeg", "jpg", false},
      webp{"image/webp", "webp", false}, mp4{"video/mp4", "mp4", true}, mov{"video/quicktime", "mov", true},
      webm{"video/webm", "webm", true}, gif{"image/gif", "gif", true}, avi{"video/x-msvideo", "avi", true};
  switch (media::still_kind(head)) {
    case media::StillKind::png:
      return &png;
    case media::StillKind::jpeg:
      return &jpeg;
    case media::StillKind::webp:
      return &webp;
    case media::StillKind::none:
      break;
  }
  if (head.substr(std::min<size_t>(4, head.size()), 4) == "ftyp") return head.substr(8, 4) == "qt  " ? &mov : &mp4;
  if (head.starts_with("\x1A\x45\xDF\xA3")) return &webm;
  if (head.starts_with("GIF8")) return &gif;
  if (head.starts_with("RIFF") && head.substr(std::min<size_t>(8, head.size()), 4) == "AVI ") return &avi;
  return nullptr;
}

void require_pixels(const Context& context, int64_t width, int64_t height, const std::string& param) {
  const uint64_t limit = context.settings.max_picture_pixels;
  if (width > 0 && height > 0 && static_cast<uint64_t>(width) <= limit / static_cast<uint64_t>(height)) return;
  throw bad_field(param,
                  "'" + param + "' is " + std::to_string(width) + "x" + std::to_string(height) +
                      " pixels; a picture may have at most " + std::to_string(limit) + " in all",
                  "image_too_large");
}

//! What another process of ours says of a file from outside (`prax inspect KIND`); nullopt when it comes to nothing.
//! What takes too much memory or time there, or even ends that process, hurts nobody. One is looked at at a time: each
//! may take as much as the limit allows.
std::optional<std::string> look_elsewhere(const Context& context, const std::string& kind,
                                          const std::filesystem::path& file,
                                          const std::function<void(std::string_view)>& on_output = {}) {
  constexpr uint64_t bytes_of_pixel = 32, other_memory = 256u << 20;
  constexpr int seconds = 10;
  static std::mutex one_at_a_time;
  const uint64_t memory = other_memory + context.settings.max_picture_pixels * bytes_of_pixel;
  ChildCall call;
  call.words = {
      context.program.string(), "inspect", kind, file.string(), "--memory", std::to_string(memory), "--seconds",
      std::to_string(seconds)};
  call.timeout = std::chrono::seconds(2 * seconds);
  call.shows_errors = false;
  call.on_output = on_output;
  const std::lock_guard lock(one_at_a_time);
  ChildEnd end = run_child(call);
  if (!end.problem.empty() || !WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0) return std::nullopt;
  return std::move(end.output);
}

//! What is found in an upload; its size in pixels is noted and checked.
nlohmann::json inspect(const Context& context, CheckedMedia& media, bool clip, const std::string& param) {
  nlohmann::json found;
  if (const auto text = look_elsewhere(context, clip ? "clip" : "picture", media.file->path()))
    found = nlohmann::json::parse(*text, nullptr, false);
  if (!found.is_object())
    throw bad_field(param,
                    "'" + param + "' is " + (clip ? "a clip that cannot be read" : "a damaged picture") +
                        ", or one that takes very much memory or time",
                    clip ? "invalid_video" : "invalid_image");
  media.width = found.at("width");
  media.height = found.at("height");
  require_pixels(context, media.width, media.height, param);
  return found;
}

void look_at_picture(const Context& context, CheckedMedia& media, const http::Spool& upload, const std::string& param) {
  constexpr size_t long_head = 1 << 20;  // of a JPEG with long metadata
  const auto size = media::stated_picture_size(upload.head(long_head));
  if (!size) throw bad_field(param, "'" + param + "' is a damaged picture: it does not say its size", "invalid_image");
  require_pixels(context, size->width, size->height, param);
  inspect(context, media, false, param);
}

void look_at_clip(const Context& context, CheckedMedia& media, const std::string& param) {
  const auto found = inspect(context, media, true, param);
  media.frames = std::max<int64_t>(1, found.at("frames").get<int64_t>());
  media.fps = found.at("fps");
  const double longest = context.settings.max_seconds + 1;
  const bool too_long = media.fps > 0 ? static_cast<double>(media.frames) / media.fps > longest
                                      : static_cast<double>(media.frames) > longest * most_fps;
  if (too_long)
    throw bad_field(param,
                    "'" + param + "' is longer than the " + jobs::seconds_text(context.settings.max_seconds) +
                        " seconds that are allowed here",
                    "video_too_long");
}

std::string decode_data_url(std::string_view url, const std::string& param) {
  const size_t comma = url.find(',');
  if (comma == std::string_view::npos || !url.substr(0, comma).ends_with(";base64"))
    throw bad_field(param, "'" + param + "' is a data URL that is not base64: write data:image/png;base64,...",
                    "invalid_image");
  std::string bytes = from_base64(url.substr(comma + 1));
  if (bytes.empty()) throw bad_field(param, "'" + param + "' holds no valid base64", "invalid_image");
  return bytes;
}

}  // namespace

CheckedMedia check_media(const Context& context, http::Spool& upload, Wanted wanted, const std::string& param) {
  if (upload.empty()) throw bad_field(param, "'" + param + "' is an empty file", "invalid_image");
  const Kind* kind = sniff(upload.head(enough_head));
  const char* what = wanted == Wanted::picture ? "a PNG, JPEG or WebP picture"
                     : wanted == Wanted::clip  ? "an MP4, MOV, WebM, AVI or GIF clip"
                                               : "a picture or clip";
  if (!kind || (wanted == Wanted::picture && kind->clip) || (wanted == Wanted::clip && !kind->clip))
    throw bad_field(param, "'" + param + "' is not " + what + ", by its first bytes",
                    wanted == Wanted::clip ? "invalid_video" : "invalid_image");
  CheckedMedia media;
  media.media_type = kind->media_type;
  media.ending = kind->ending;
  media.bytes = upload.size();
  media.file = upload.file();
  if (kind->clip)
    look_at_clip(context, media, param);
  else
    look_at_picture(context, media, upload, param);
  return media;
}

http::Spool read_url(const Context& context, const std::string& url, const std::string& param) {
  if (url.size() > most_url_characters)
    throw bad_field(param, "'" + param + "' may have " + std::to_string(most_url_characters) + " characters");
  http::Spool body(context.temporary, in_memory);
  if (http::equal_ignoring_case(std::string_view(url).substr(0, 5), "data:")) {
    body.append(decode_data_url(url, param));
    return body;
  }
  if (!context.settings.fetch_urls)
    throw bad_field(param,
                    "This server fetches no pictures from other servers; send the picture itself, or a data URL");
  try {
    check_url(url, context.fetch_rules());
  } catch (const Error& error) {
    throw bad_field(param, std::string(error.what()) + "; " + error.hint());
  }
  const OutboundAnswer answer = get(url, most_url_characters, body, context.fetch_rules());
  constexpr int ok = 200;
  if (answer.status != ok)
    throw bad_field(param, "The picture's URL could not be fetched: " +
                               (answer.status ? "its server answered " + std::to_string(answer.status) : answer.error));
  return body;
}

jobs::InputFile store_input(const Context& context, const std::string& owner_id, const std::string& name,
                            const CheckedMedia& media) {
  jobs::InputFile input;
  input.name = name;
  input.storage_name = "inputs/" + owner_id + "/" + name + "." + media.ending;
  input.media_type = media.media_type;
  input.bytes = media.bytes;
  input.sha256 = hex(sha256_of_file(media.file->path()));
  context.storage.put(input.storage_name, media.file->path(), input.media_type);
  return input;
}

CheckedMedia first_picture(const Context& context, const jobs::InputFile& clip, const std::string& param) {
  constexpr uint64_t bytes_of_pixel = 4, other_bytes = 1u << 20;  // a PNG of noise is hardly larger than its pixels
  const http::TemporaryFile copy(context.temporary);
  if (!context.storage.fetch(clip.storage_name, copy.path()))
    throw http::HttpError(404, "not_found", "The file of '" + clip.name + "' is gone");
  const auto unreadable = [&param] {
    return bad_field(param, "The first picture of a character's clip cannot be read, or takes very much memory or time",
                     "invalid_video");
  };
  http::Spool png(context.temporary, in_memory);
  const auto take = [&](std::string_view bytes) {
    if (png.size() + bytes.size() > other_bytes + context.settings.max_picture_pixels * bytes_of_pixel)
      throw unreadable();
    png.append(bytes);
  };
  if (!look_elsewhere(context, "first-picture", copy.path(), take)) throw unreadable();
  const auto size = media::stated_picture_size(png.head(enough_head));
  if (!size) throw unreadable();
  require_pixels(context, size->width, size->height, param);
  CheckedMedia media;
  media.file = png.file();
  media.media_type = "image/png";
  media.ending = "png";
  media.bytes = png.size();
  media.width = size->width;
  media.height = size->height;
  return media;
}

}  // namespace prax::server
