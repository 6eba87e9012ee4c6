#include "http/reply.h"

#include <openssl/rand.h>
#include <zlib.h>

#include <array>
#include <ctime>

#include "base/error.h"
#include "http/range.h"

namespace prax::http {

std::string gzip(std::string_view bytes) {
  z_stream stream = {};
  constexpr int window_with_gzip_header = 15 + 16, memory_level = 8, fast = 4;
  if (deflateInit2(&stream, fast, Z_DEFLATED, window_with_gzip_header, memory_level, Z_DEFAULT_STRATEGY) != Z_OK)
    throw Error(ErrorKind::resource, "there is not enough memory to compress an answer");
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

void compress_if_wanted(const Request& request, Response& response) {
  constexpr size_t worthwhile = 1024;
  auto* body = std::get_if<std::string>(&response.body);
  if (!body || body->size() < worthwhile || response.headers.contains("content-encoding")) return;
  const std::string_view type = response.headers.get("content-type");
  if (!type.starts_with("application/json") && !type.starts_with("text/")) return;
  response.headers.set("vary", response.headers.contains("vary")
                                   ? std::string(response.headers.get("vary")) + ", accept-encoding"
                                   : "accept-encoding");
  const std::string accepted = request.headers.joined("accept-encoding");
  if (!has_token(accepted, "gzip") || accepted.find("gzip;q=0") != std::string::npos) return;
  *body = gzip(*body);
  response.headers.set("content-encoding", "gzip");
}

std::string header_text(const Response& response, uint64_t length, bool keep_alive) {
  std::string text = "HTTP/1.1 " + std::to_string(response.status) + " ";
  text += reason_phrase(response.status);
  text += "\r\n";
  const auto add = [&text](std::string_view name, std::string_view value) {
    text += name;
    text += ": ";
    for (const char c : value)
      if (c != '\r' && c != '\n' && c != '\0') text += c;
    text += "\r\n";
  };
  for (const auto& [name, value] : response.headers) add(name, value);
  add("date", http_date(std::time(nullptr)));
  const bool streams = std::holds_alternative<std::shared_ptr<EventStream>>(response.body);
  if (!is_bodyless(response.status) && !streams) add("content-length", std::to_string(length));
  add("connection", keep_alive && !streams ? "keep-alive" : "close");
  return text + "\r\n";
}

std::string new_request_id() {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) throw Error(ErrorKind::internal, "there are no random numbers");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string id = "req_";
  for (const unsigned char byte : bytes) {
    id += digits[byte >> 4];
    id += digits[byte & 15];
  }
  return id;
}

}  // namespace prax::http
