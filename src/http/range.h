#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace prax::http {

//! Bytes first ... last of a thing, both included.
struct ByteRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

enum class RangeResult { whole, part, unsatisfiable };

//! What a Range header (RFC 9110, 14.2) asks for of `size` bytes. Several ranges, other units and what cannot be read
//! mean the whole, as the standard allows.
RangeResult parse_range(std::string_view header, uint64_t size, ByteRange& range);

//! "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7) and back.
std::string http_date(int64_t unix_seconds);
std::optional<int64_t> parse_http_date(std::string_view text);

//! Whether a list of entity tags ("*" is all) has this one; weak comparison (RFC 9110, 8.8.3.2).
bool matches_etag(std::string_view list, std::string_view etag);

//! Something that is downloaded, and how it is answered.
struct Downloadable {
  uint64_t size = 0;
  int64_t modified = 0;  //!< unix seconds
  std::function<std::shared_ptr<ByteSource>(uint64_t offset, uint64_t length)> open;
  std::string content_type;
  std::string etag;      //!< with its quotes; strong
  std::string filename;  //!< that the client may save it as; "" for none
  bool attachment = false;
};

//! 200 with all of it, 206 with a part, 304 when the client has it, 412 or 416: by the request's If-Match,
//! If-None-Match, If-Modified-Since, Range and If-Range.
Response answer_download(const Request& request, const Downloadable& thing);

//! The value of a Content-Disposition (RFC 6266) for a name in any script.
std::string content_disposition(bool attachment, std::string_view filename);

}  // namespace prax::http
