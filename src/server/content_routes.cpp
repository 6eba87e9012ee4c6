#include <algorithm>

#include "http/range.h"
#include "server/errors.h"
#include "server/form.h"
#include "server/routes.h"
#include "server/video_object.h"

namespace prax::server {
namespace {

using http::Request;
using http::Response;
using nlohmann::json;

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
  const auto* result = jobs::find_result(job.results, variant);
  if (!result) throw not_found("variant of this video called", variant);
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

//! Where a video in another format stands.
json conversion_object(const jobs::Job& job, const std::string& format, const Conversions::Standing& standing) {
  const bool failed = !standing.problem.empty();
  return {{"object", "prax.conversion"},
          {"video_id", job.id},
          {"format", format},
          {"status", standing.file ? "ready"
                     : failed      ? "failed"
                                   : "making"},
          {"progress", standing.percent},
          {"bytes", standing.file ? json(standing.file->bytes) : json()},
          {"error", failed ? json{{"code", "conversion_failed"}, {"message", standing.problem}} : json()}};
}

std::string check_format(const std::string& format) {
  if (!Conversions::knows(format)) throw bad_field("format", "'format' must be mp4, webm, gif or png");
  return format;
}

//! Begins to make another format, unless it is there or on its way.
Response convert(const Context& context, Request& request) {
  constexpr size_t longest = 10;
  const Form form(request);
  FieldReader fields(form, form.tree());
  const std::string format = check_format(fields.require_text("format", 1, longest));
  fields.finish();
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  require_files(job);
  return json_response(conversion_object(job, format, context.conversions.ask(job, format, context.settings.quota)));
}

//! A file to keep, called by the video's title; other formats than MP4 are made when they are asked for first: until
//! then the answer is 202.
Response download(const Context& context, const Request& request) {
  check_query(request, {"format"});
  const std::string format(request.query_value("format").value_or("mp4"));
  if (format != "mp4") check_format(format);
  const jobs::Job job = find_job(context, caller_of(request), request.capture("video_id"));
  require_files(job);
  const std::string name = job.title.empty() ? job.id : job.title;
  if (format == "mp4") return send(context, request, job, result_of(job, "video"), name + ".mp4", true);
  const auto standing = context.conversions.ask(job, format, context.settings.quota);
  if (standing.file) return send(context, request, job, *standing.file, name + Conversions::ending_of(format), true);
  if (!standing.problem.empty()) throw http::HttpError(500, "conversion_failed", standing.problem);
  Response response = json_response(conversion_object(job, format, standing));
  response.status = 202;
  response.headers.set("retry-after", "1");
  return response;
}

}  // namespace

void add_content_routes(http::Router& router, const Context& c) {
  router.add({"GET", "/v1/videos/{video_id}/content", [&c](Request& r) { return content(c, r); }, {}, scope::read});
  router.add(
      {"GET", "/prax/v1/videos/{video_id}/download", [&c](Request& r) { return download(c, r); }, {}, scope::read});
  router.add({"POST", "/prax/v1/videos/{video_id}/conversions", [&c](Request& r) { return convert(c, r); }, json_body,
              scope::read});
}

}  // namespace prax::server
