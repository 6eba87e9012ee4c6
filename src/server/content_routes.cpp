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

Response content(const Context& context, const Request& request) {
  check_query(request, {"variant"});
  const std::string variant(request.query_value("variant").value_or("video"));
  if (variant != "video" && variant != "thumbnail" && variant != "spritesheet")
    throw bad_field("variant", "'variant' must be video, thumbnail or spritesheet");
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  if (!is_final(job.status))
    throw http::HttpError(404, "video_not_ready",
                          "The video is not finished yet; its status is " + std::string(name_of(job.status)));
  if (job.status != jobs::JobStatus::completed)
    throw http::HttpError(404, "video_failed", "The video was not made, so that there is nothing to download");
  if (job.expired) throw http::HttpError(410, "video_expired", "The video has expired and was deleted");
  const auto result = std::find_if(job.results.begin(), job.results.end(),
                                   [&](const jobs::ResultFile& file) { return file.variant == variant; });
  if (result == job.results.end()) throw not_found("variant of this video called", variant);
  http::Downloadable thing;
  thing.size = result->bytes;
  thing.modified = jobs::unix_seconds(job.completed_at.value_or(job.created_at));
  thing.content_type = result->media_type;
  thing.etag = "\"" + result->sha256 + "\"";
  thing.filename = job.id + (variant == "video" ? "" : "-" + variant) + ending_of(result->media_type);
  thing.open = [&](uint64_t offset, uint64_t length) -> std::shared_ptr<http::ByteSource> {
    auto reader = context.storage.open(result->storage_name, offset, length);
    if (!reader) throw http::HttpError(404, "not_found", "The video's file is gone");
    return std::make_shared<StoredSource>(std::move(reader));
  };
  return http::answer_download(request, thing);
}

}  // namespace

void add_content_routes(http::Router& router, const Context& c) {
  router.add({"GET", "/v1/videos/{video_id}/content", [&c](Request& r) { return content(c, r); }, {}, scope::read});
}

}  // namespace prax::server
