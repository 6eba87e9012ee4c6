#include "server/studio_files.h"

#include <fstream>
#include <iterator>

#include "base/error.h"
#include "base/hash.h"
#include "http/range.h"
#include "server/routes.h"

namespace prax::server {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::string, std::less<>> types = {{".html", "text/html; charset=utf-8"},
                                                               {".js", "text/javascript; charset=utf-8"},
                                                               {".css", "text/css; charset=utf-8"},
                                                               {".json", "application/json; charset=utf-8"},
                                                               {".webmanifest", "application/manifest+json"},
                                                               {".svg", "image/svg+xml"},
                                                               {".png", "image/png"},
                                                               {".webp", "image/webp"},
                                                               {".jpg", "image/jpeg"},
                                                               {".ico", "image/x-icon"},
                                                               {".woff2", "font/woff2"},
                                                               {".txt", "text/plain; charset=utf-8"}};

//! Scripts, styles and calls of this server alone, nothing inline, no frames around it.
constexpr const char* content_security_policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'";

constexpr const char* not_built =
    "<!doctype html>\n<html lang=\"en\">\n<title>Praxinoscope</title>\n<h1>Praxinoscope</h1>\n"
    "<p>The server runs, and its studio is not built yet. Build it in the source tree, then start the server "
    "anew:</p>\n"
    "<pre>cd studio\nnpm ci\nnpm run build</pre>\n"
    "<p>A studio that lies elsewhere is named with <code>--studio DIR</code>. The API is there all the same: "
    "<a href=\"/openapi.json\">/openapi.json</a>.</p>\n</html>\n";

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(in), {}};
  if (!in.good() && !in.eof()) throw Error(ErrorKind::io, "cannot read " + path.string());
  return bytes;
}

void protect(http::Response& response) {
  response.headers.set("content-security-policy", content_security_policy);
  response.headers.set("referrer-policy", "no-referrer");
  response.headers.set("cross-origin-opener-policy", "same-origin");
  response.headers.set("cross-origin-resource-policy", "same-origin");
}

//! Whether an Accept-Encoding header takes it (RFC 9110, 12.5.3), "br;q=0" being a refusal.
bool accepts(const std::string& header, const std::string& coding) {
  return http::has_token(header, coding) && header.find(coding + ";q=0") == std::string::npos;
}

}  // namespace

StudioFiles::StudioFiles(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(folder, error); !error && at != fs::recursive_directory_iterator();
       at.increment(error))
    if (at->is_regular_file()) add(at->path(), fs::relative(at->path(), folder).generic_string());
  if (error) throw Error(ErrorKind::io, "cannot read the studio's folder " + folder.string() + ": " + error.message());
}

void StudioFiles::add(const fs::path& path, const std::string& name) {
  std::string plain = name, coding;
  if (name.ends_with(".br")) coding = "br";
  if (name.ends_with(".gz")) coding = "gzip";
  if (!coding.empty()) plain = name.substr(0, name.rfind('.'));
  File& file = files_[plain];
  const auto type = types.find(fs::path(plain).extension().string());
  file.type = type == types.end() ? "application/octet-stream" : type->second;
  file.hashed = plain.starts_with("assets/");
  Encoded encoded{read_file(path), {}};
  encoded.etag = "\"" + hex(sha256(encoded.bytes)).substr(0, 32) + "\"";
  file.encodings[coding] = std::move(encoded);
}

http::Response StudioFiles::answer(const http::Request& request, const std::string& page) const {
  const bool of_the_api = page == "v1" || page.starts_with("v1/") || page == "prax" || page.starts_with("prax/");
  const auto file = files_.find(page);
  if (file != files_.end() && !of_the_api) return send(request, file->second);
  const std::string last = page.substr(page.rfind('/') + 1);
  if (of_the_api || page.starts_with("assets/") || last.find('.') != std::string::npos) throw unknown_url(request);
  if (built()) return send(request, files_.at("index.html"));
  http::Response response = http::Response::text(200, not_built, "text/html; charset=utf-8");
  response.headers.set("cache-control", "no-store");
  protect(response);
  return response;
}

http::Response StudioFiles::send(const http::Request& request, const File& file) const {
  const std::string accepted = request.headers.joined("accept-encoding");
  const auto& encodings = file.encodings;
  auto chosen = encodings.find("");
  for (const char* coding : {"br", "gzip"}) {
    const auto there = encodings.find(coding);
    if (there == encodings.end() || (chosen != encodings.end() && !accepts(accepted, coding))) continue;
    chosen = there;
    break;
  }
  const Encoded& encoded = chosen->second;
  http::Response response;
  response.headers.set("etag", encoded.etag);
  response.headers.set("cache-control", file.hashed ? "public, max-age=31536000, immutable" : "no-cache");
  response.headers.set("vary", "accept-encoding");
  protect(response);
  if (http::matches_etag(request.headers.joined("if-none-match"), encoded.etag)) {
    response.status = 304;
    return response;
  }
  response.headers.set("content-type", file.type);
  if (!chosen->first.empty()) response.headers.set("content-encoding", chosen->first);
  response.body = encoded.bytes;
  return response;
}

void add_studio_routes(http::Router& router, const StudioFiles& files) {
  router.add({"GET",
              "/{page...}",
              [&files](http::Request& r) { return files.answer(r, r.capture("page")); },
              {},
              scope::open});
}

}  // namespace prax::server
