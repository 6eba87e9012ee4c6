#include "http/range.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "http/target.h"

namespace prax::http {
namespace {

bool parse_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

RangeResult parse_range(std::string_view header, uint64_t size, ByteRange& range) {
  constexpr std::string_view unit = "bytes=";
  header = trimmed(header);
  if (!equal_ignoring_case(header.substr(0, unit.size()), unit)) return RangeResult::whole;
  header = trimmed(header.substr(unit.size()));
  const size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return RangeResult::whole;
  const std::string_view from = header.substr(0, dash), to = header.substr(dash + 1);
  uint64_t first = 0, last = 0;
  if (from.empty()) {  // the last so many
    if (!parse_number(to, last)) return RangeResult::whole;
    if (last == 0 || size == 0) return RangeResult::unsatisfiable;
    range = {size - std::min(last, size), size - 1};
    return RangeResult::part;
  }
  if (!parse_number(from, first)) return RangeResult::whole;
  if (to.empty())
    last = UINT64_MAX;
  else if (!parse_number(to, last) || last < first)
    return RangeResult::whole;
  if (first >= size) return RangeResult::unsatisfiable;
  range = {first, std::min(last, size - 1)};
  return RangeResult::part;
}

std::string http_date(int64_t unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm parts = {};
  gmtime_r(&time, &parts);
  char text[64];
  const size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text, length};
}

std::optional<int64_t> parse_http_date(std::string_view text) {
  std::tm parts = {};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (!end || *end != '\0') return std::nullopt;
  return timegm(&parts);
}

bool matches_etag(std::string_view list, std::string_view etag) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view item = trimmed(list.substr(0, comma));
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item == etag) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

std::string content_disposition(bool attachment, std::string_view filename) {
  std::string value = attachment ? "attachment" : "inline";
  std::string plain;
  bool exact = true;
  for (const char c : filename) {
    const bool keep = c >= ' ' && c < 127 && c != '"' && c != '\\' && c != '/' && c != '%';
    plain += keep ? c : '_';
    exact = exact && keep;
  }
  value += "; filename=\"" + plain + "\"";
  if (!exact) value += "; filename*=UTF-8''" + percent_encode(filename);
  return value;
}

Response answer_download(const Request& request, const Downloadable& thing) {
  Response response;
  const std::string modified = http_date(thing.modified);
  response.headers.set("etag", thing.etag);
  response.headers.set("last-modified", modified);
  response.headers.set("accept-ranges", "bytes");
  response.headers.set("cache-control", "private, no-cache");
  if (const auto wanted = request.headers.find("if-match"); wanted && !matches_etag(*wanted, thing.etag)) {
    response.status = 412;
    return response;
  }
  bool fresh = false;
  if (request.headers.contains("if-none-match")) {
    fresh = matches_etag(request.headers.joined("if-none-match"), thing.etag);
  } else if (const auto since = request.headers.find("if-modified-since")) {
    const auto time = parse_http_date(*since);
    fresh = time && thing.modified <= *time;
  }
  if (fresh) {
    response.status = 304;
    return response;
  }
  response.headers.set("content-type", thing.content_type);
  if (!thing.filename.empty())
    response.headers.set("content-disposition", content_disposition(thing.attachment, thing.filename));
  uint64_t offset = 0, length = thing.size;
  const auto condition = request.headers.find("if-range");
  const bool current = !condition || trimmed(*condition) == thing.etag || trimmed(*condition) == modified;
  ByteRange range;
  if (const auto header = request.headers.find("range"); header && current && request.method == "GET") {
    const RangeResult result = parse_range(*header, thing.size, range);
    if (result == RangeResult::unsatisfiable) {
      throw HttpError(416, "range_not_satisfiable",
                      "The range asked for lies outside of the " + std::to_string(thing.size) + " bytes that there are")
          .with("content-range", "bytes */" + std::to_string(thing.size));
    }
    if (result == RangeResult::part) {
      response.status = 206;
      offset = range.first;
      length = range.last - range.first + 1;
      response.headers.set("content-range", "bytes " + std::to_string(range.first) + "-" + std::to_string(range.last) +
                                                "/" + std::to_string(thing.size));
    }
  }
  response.body = Download{request.method == "HEAD" ? nullptr : thing.open(offset, length), length};
  return response;
}

}  // namespace prax::http
