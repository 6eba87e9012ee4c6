#include "server/conversions.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/hash.h"
#include "http/message.h"
#include "media/clip.h"
#include "media/frame_archive.h"
#include "media/pixels.h"
#include "media/reader.h"
#include "media/writer.h"

namespace prax::server {

namespace fs = std::filesystem;

namespace {

const jobs::ResultFile* result_of(const jobs::Job& job, const std::string& variant) {
  const auto found = std::find_if(job.results.begin(), job.results.end(),
                                  [&](const jobs::ResultFile& file) { return file.variant == variant; });
  return found == job.results.end() ? nullptr : &*found;
}

//! A folder that is gone in the end.
class WorkFolder {
public:
  explicit WorkFolder(const fs::path& parent) : path_(parent / ("conversion-" + random_hex(8))) {
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) throw Error(ErrorKind::io, "cannot make the folder " + path_.string() + ": " + error.message());
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

const char* media_type_of(const std::string& format) {
  if (format == "webm") return "video/webm";
  return format == "gif" ? "image/gif" : "application/zip";
}

//! One frame after another, with the settings that are in the video.
void convert(const fs::path& video, const fs::path& target, const std::string& format) {
  const media::VideoInfo info = media::probe(video);
  constexpr int quality = 24;  // of VP9: small, and no difference to be seen
  media::WriterOptions options{.metadata = media::read_settings(video), .quality = quality, .poster = false};
  const auto sink = format == "png" ? media::open_frame_archive(target, options) : media::open_writer(target, options);
  sink->begin({info.width, info.height, info.frames, info.fps});
  media::ClipReader reader(video);
  std::vector<float> rgb;
  while (const auto picture = reader.next()) {
    media::to_floats(picture->rgb, rgb);
    sink->frame(rgb);
  }
  sink->finish();
}

}  // namespace

//! The right to make one file.
class Conversions::Turn {
public:
  Turn(Conversions& all, std::string name) : all_(all), name_(std::move(name)) {}
  ~Turn() {
    {
      const std::lock_guard lock(all_.mutex_);
      all_.making_.erase(name_);
    }
    all_.changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

private:
  Conversions& all_;
  std::string name_;
};

bool Conversions::knows(const std::string& format) { return format == "webm" || format == "gif" || format == "png"; }
std::string Conversions::ending_of(const std::string& format) { return format == "png" ? ".zip" : "." + format; }

jobs::ResultFile Conversions::get(const jobs::Job& job, const std::string& format,
                                  const std::optional<uint64_t>& quota) {
  if (const auto* there = result_of(job, format)) return *there;
  const std::string name = job.id + "/" + format;
  {
    std::unique_lock lock(mutex_);
    constexpr std::chrono::seconds patience(20);
    // Someone else makes the same one: it will be there.
    const bool waited = making_.contains(name);
    const bool free = changed_.wait_for(lock, patience, [&] {
      return !making_.contains(name) && (static_cast<int>(making_.size()) < at_once_ || waited);
    });
    if (!free)
      throw http::HttpError(503, "busy", "Other videos are being converted; try again in a moment")
          .with("retry-after", "5");
    making_.insert(name);
  }
  const Turn turn(*this, name);
  const auto now = store_.job(job.id);
  if (!now) throw http::HttpError(404, "not_found", "The video was deleted");
  if (const auto* there = result_of(*now, format)) return *there;
  return make(*now, format, quota);
}

jobs::ResultFile Conversions::make(const jobs::Job& job, const std::string& format,
                                   const std::optional<uint64_t>& quota) {
  if (quota && store_.stored_bytes() >= *quota)
    throw http::HttpError(507, "storage_full", "There is no room for another format; delete videos that are not needed")
        .with("x-should-retry", "false");
  const WorkFolder folder(work_);
  const fs::path video = folder.path() / "video.mp4", target = folder.path() / ("video" + ending_of(format));
  const auto* source = result_of(job, "video");
  if (!source || !storage_.fetch(source->storage_name, video))
    throw http::HttpError(404, "not_found", "The video's file is gone");
  convert(video, target, format);
  jobs::ResultFile result;
  result.variant = format;
  result.media_type = media_type_of(format);
  result.storage_name = "results/" + job.id + "/formats/video" + ending_of(format);
  result.bytes = fs::file_size(target);
  result.sha256 = hex(sha256_of_file(target));
  storage_.put(result.storage_name, target, result.media_type);
  if (!store_.add_result(job.id, result)) {
    storage_.remove_folder("results/" + job.id + "/formats");
    throw http::HttpError(404, "not_found", "The video was deleted");
  }
  return result;
}

}  // namespace prax::server
