#include <algorithm>

#include "http/range.h"
#include "server/errors.h"
#include "server/routes.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;

//! A stored file while it is sent.
class StoredSource : public http::ByteSource {
public:
  explicit StoredSource(std::unique_ptr<jobs::StoredReader> reader) : reader_(std::move(reader)) {}
  size_t read(std::span<char> bytes) override {
    return reader_->read({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  }

private:
  std::unique_ptr<jobs::StoredReader> reader_;
};

const char* ending_of(const std::string& media_type) {
  if (media_type == "video/mp4") return ".mp4";
  if (media_type == "image/webp") return ".webp";
  if (media_type == "image/jpeg") return ".jpg";
  return "";
}

//! A job whose files can be downloaded.
void require_files(const jobs::Job& job) {
  if (!is_final(job.status))
    throw http::HttpError(404, "video_not_ready",
                          "The video is not finished yet; its status is " + std::string(name_of(job.status)));
  if (job.status != jobs::JobStatus::completed)
    throw http::HttpError(404, "video_failed", "The video was not made, so that there is nothing to download");
  if (job.expired) throw http::HttpError(410, "video_expired", "The video has expired and was deleted");
}

const jobs::ResultFile& result_of(const jobs::Job& job, const std::string& variant) {
  const auto result = std::find_if(job.results.begin(), job.results.end(),
                                   [&](const jobs::ResultFile& file) { return file.variant == variant; });
  if (result == job.results.end()) throw not_found("variant of this video called", variant);
  return *result;
}

Response send(const Context& context, const Request& request, const jobs::Job& job, const jobs::ResultFile& result,
              const std::string& filename, bool attachment) {
  http::Downloadable thing;
  thing.size = result.bytes;
  thing.modified = jobs::unix_seconds(job.completed_at.value_or(job.created_at));
  thing.content_type = result.media_type;
  thing.etag = "\"" + result.sha256 + "\"";
  thing.filename = filename;
  thing.attachment = attachment;
  thing.open = [&](uint64_t offset, uint64_t length) -> std::shared_ptr<http::ByteSource> {
    auto reader = context.storage.open(result.storage_name, offset, length);
    if (!reader) throw http::HttpError(404, "not_found", "The video's file is gone");
    return std::make_shared<StoredSource>(std::move(reader));
  };
  return http::answer_download(request, thing);
}

Response content(const Context& context, const Request& request) {
  check_query(request, {"variant"});
  const std::string variant(request.query_value("variant").value_or("video"));
  if (variant != "video" && variant != "thumbnail" && variant != "spritesheet")
    throw bad_field("variant", "'variant' must be video, thumbnail or spritesheet");
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  require_files(job);
  const auto& result = result_of(job, variant);
  return send(context, request, job, result,
              job.id + (variant == "video" ? "" : "-" + variant) + ending_of(result.media_type), false);
}

//! A file to keep, called by the video's title; other formats than MP4 are made when they are asked for first.
Response download(const Context& context, const Request& request) {
  check_query(request, {"format"});
  const std::string format(request.query_value("format").value_or("mp4"));
  if (format != "mp4" && !Conversions::knows(format))
    throw bad_field("format", "'format' must be mp4, webm, gif or png");
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  require_files(job);
  const std::string name = job.title.empty() ? job.id : job.title;
  if (format == "mp4") return send(context, request, job, result_of(job, "video"), name + ".mp4", true);
  const auto made = context.conversions.get(job, format, context.settings.quota);
  return send(context, request, job, made, name + Conversions::ending_of(format), true);
}

}  // namespace

void add_content_routes(http::Router& router, const Context& c) {
  router.add({"GET", "/v1/videos/{video_id}/content", [&c](Request& r) { return content(c, r); }, {}, scope::read});
  router.add({"GET",
              "/prax/v1/videos/{video_id}/download",
              [&c](Request& r) { return download(c, r); },
              {},
              scope::read,
              true});
}

}  // namespace prax::server
