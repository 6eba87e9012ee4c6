#include "jobs/s3_signature.h"

#include <ctime>

#include "base/hash.h"

namespace prax::jobs {

namespace {

std::string text_of(const Digest& digest) { return {digest.begin(), digest.end()}; }

std::string formatted(Time at, const char* format) {
  const std::time_t seconds = unix_seconds(at);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, format, &utc)};
}

}  // namespace

std::string uri_encoded(std::string_view text, bool keep_slashes) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
  constexpr char digits[] = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos || (keep_slashes && c == '/')) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    encoded += '%';
    encoded += digits[byte >> 4];
    encoded += digits[byte & 15];
  }
  return encoded;
}

std::string query_text(const std::map<std::string, std::string>& query) {
  std::string text;
  for (const auto& [name, value] : query)
    text += (text.empty() ? "" : "&") + uri_encoded(name) + "=" + uri_encoded(value);
  return text;
}

std::map<std::string, std::string> signed_headers(const S3Request& request, const S3Options& options, Time at) {
  const std::string day = formatted(at, "%Y%m%d"), moment = formatted(at, "%Y%m%dT%H%M%SZ");
  auto headers = request.headers;
  headers["host"] = request.host;
  headers["x-amz-date"] = moment;
  headers["x-amz-content-sha256"] = request.payload_sha256;
  if (!options.session_token.empty()) headers["x-amz-security-token"] = options.session_token;

  std::string lines, names;
  for (const auto& [name, value] : headers) {
    lines += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string canonical = request.method + "\n" + request.path + "\n" + query_text(request.query) + "\n" + lines +
                                "\n" + names + "\n" + request.payload_sha256;
  const std::string scope = day + "/" + options.region + "/s3/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + moment + "\n" + scope + "\n" + hex(sha256(canonical));

  std::string key = "AWS4" + options.secret_key;
  for (const std::string& part : {day, options.region, std::string("s3"), std::string("aws4_request")})
    key = text_of(hmac_sha256(key, part));
  headers["authorization"] = "AWS4-HMAC-SHA256 Credential=" + options.access_key + "/" + scope +
                             ", SignedHeaders=" + names + ", Signature=" + hex(hmac_sha256(key, to_sign));
  return headers;
}

}  // namespace prax::jobs
