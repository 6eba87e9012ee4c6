#include "server/conversions.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "http/message.h"
#include "media/clip.h"
#include "media/frame_archive.h"
#include "media/pixels.h"
#include "media/reader.h"
#include "media/writer.h"

namespace prax::server {

namespace fs = std::filesystem;

namespace {

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

}  // namespace

Conversions::Conversions(jobs::Store& store, jobs::ResultStorage& storage, fs::path work, int at_once)
    : store_(store), storage_(storage), work_(std::move(work)) {
  for (int i = 0; i < at_once; ++i) threads_.emplace_back([this] { this->work(); });
}

Conversions::~Conversions() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wished_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Conversions::knows(const std::string& format) { return format == "webm" || format == "gif" || format == "png"; }
std::string Conversions::ending_of(const std::string& format) { return format == "png" ? ".zip" : "." + format; }

Conversions::Standing Conversions::ask(const jobs::Job& job, const std::string& format,
                                       const std::optional<uint64_t>& quota) {
  if (const auto* there = jobs::find_result(job.results, format)) return {*there, 100, {}};
  const Wish wish{job.id, format};
  const std::lock_guard lock(mutex_);
  if (const auto known = standings_.find(wish); known != standings_.end()) {
    const Standing standing = known->second;
    if (!standing.problem.empty()) standings_.erase(known);
    return standing;
  }
  // It may have become ready since the job was read.
  if (const auto now = store_.job(job.id))
    if (const auto* there = jobs::find_result(now->results, format)) return {*there, 100, {}};
  constexpr size_t most_waiting = 100;
  if (waiting_.size() >= most_waiting)
    throw http::HttpError(503, "busy", "Other videos are being converted; try again in a moment")
        .with("retry-after", "10");
  if (quota && store_.stored_bytes() >= *quota)
    throw http::HttpError(507, "storage_full", "There is no room for another format; delete videos that are not needed")
        .with("x-should-retry", "false");
  // Problems that nobody came back for.
  constexpr size_t most_kept = 1000;
  if (standings_.size() >= most_kept)
    std::erase_if(standings_, [](const auto& entry) { return !entry.second.problem.empty(); });
  waiting_.push_back(wish);
  wished_.notify_one();
  return standings_[wish];
}

void Conversions::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    wished_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const Wish wish = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    const std::string problem = make(wish);
    lock.lock();
    if (problem.empty())
      standings_.erase(wish);
    else
      standings_[wish].problem = problem;
  }
}

void Conversions::note(const Wish& wish, int percent) {
  const std::lock_guard lock(mutex_);
  if (stopping_) throw Error(ErrorKind::interrupted, "the server stops");
  standings_[wish].percent = percent;
}

//! One frame after another, with the settings that are in the video.
void Conversions::convert(const fs::path& video, const fs::path& target, const Wish& wish) {
  const media::VideoInfo info = media::probe(video);
  constexpr int quality = 24;  // of VP9: small, and no difference to be seen
  media::WriterOptions options{.metadata = media::read_settings(video), .quality = quality, .poster = false};
  const auto sink =
      wish.format == "png" ? media::open_frame_archive(target, options) : media::open_writer(target, options);
  sink->begin({info.width, info.height, info.frames, info.fps});
  media::ClipReader reader(video);
  std::vector<float> rgb;
  constexpr int64_t all = 100;
  for (int64_t done = 0; const auto picture = reader.next(); ++done) {
    note(wish, static_cast<int>(std::min(all - 1, done * all / std::max<int64_t>(1, info.frames))));
    media::to_floats(picture->rgb, rgb);
    sink->frame(rgb);
  }
  sink->finish();
}

std::string Conversions::make(const Wish& wish) {
  try {
    const auto job = store_.job(wish.job_id);
    const auto* source = job ? jobs::find_result(job->results, "video") : nullptr;
    const WorkFolder folder(work_);
    const fs::path video = folder.path() / "video.mp4", target = folder.path() / ("video" + ending_of(wish.format));
    if (!source || !storage_.fetch(source->storage_name, video)) return "The video was deleted";
    convert(video, target, wish);
    jobs::ResultFile result;
    result.variant = wish.format;
    result.media_type = media_type_of(wish.format);
    result.storage_name = "results/" + wish.job_id + "/formats/video" + ending_of(wish.format);
    result.bytes = fs::file_size(target);
    result.sha256 = hex(sha256_of_file(target));
    storage_.put(result.storage_name, target, result.media_type);
    if (store_.add_result(wish.job_id, result)) return {};
    storage_.remove_folder("results/" + wish.job_id + "/formats");
    return "The video was deleted";
  } catch (const std::exception& problem) {
    const Error error = to_error(problem);
    log_warning(wish.job_id + " as " + wish.format + ": " + error.what());
    return std::string("The ") + wish.format + " could not be made: " + error.what();
  }
}

}  // namespace prax::server
