#pragma once

#include <any>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "http/event_stream.h"
#include "http/spool.h"

namespace prax::http {

//! Header fields in their order. Names compare without regard to case (RFC 9110, 5.1).
class Headers {
public:
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  //! Replaces all of that name.
  void set(std::string_view name, std::string value);
  void remove(std::string_view name);
  //! The first of that name; nullopt when there is none.
  std::optional<std::string_view> find(std::string_view name) const;
  //! The first of that name, or "".
  std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view{}); }
  //! All of that name as one list, joined by ", ".
  std::string joined(std::string_view name) const;
  bool contains(std::string_view name) const { return find(name).has_value(); }
  size_t size() const { return fields_.size(); }
  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

//! Names and values of a query or a form, in their order, decoded.
using Fields = std::vector<std::pair<std::string, std::string>>;

//! One part of a multipart/form-data body (RFC 7578). The file's name is what the client says and never a path here.
struct Part {
  std::string name;
  std::optional<std::string> filename;
  std::string content_type;
  Spool content;
};

struct Body {
  std::string content_type;  //!< without parameters, lower case
  Spool content;             //!< unless the body is multipart
  std::vector<Part> parts;
  bool multipart = false;
};

//! What the connection knows of who speaks.
struct Peer {
  std::string address;
  bool loopback = false;
  bool secure = false;  //!< over TLS
};

struct Request {
  std::string id;  //!< "req_..." of this request alone; in the answer's x-request-id and the logs
  std::string method;
  std::string target;  //!< as it came
  std::string path;    //!< the target's path, still percent-encoded
  Fields query;
  Headers headers;
  Body body;
  Peer peer;
  std::map<std::string, std::string, std::less<>> captures;  //!< {name} of the route's pattern, decoded
  std::any caller;                                           //!< what the gate found out about the client
  std::shared_ptr<void> room;                                //!< for its files; given back before it is answered

  //! The capture of that name; the route has it.
  const std::string& capture(std::string_view name) const { return captures.find(name)->second; }
  //! The first value of that name in the query.
  std::optional<std::string_view> query_value(std::string_view name) const;
};

//! Bytes that are read piece by piece while they are sent. One thread at a time.
class ByteSource {
public:
  virtual ~ByteSource() = default;
  //! The next bytes; 0 at the end. Throws Error(io).
  virtual size_t read(std::span<char> bytes) = 0;
};

//! A body of known length that is not in memory.
struct Download {
  std::shared_ptr<ByteSource> source;  //!< null when only the length is wanted (HEAD)
  uint64_t length = 0;
};

struct Response {
  int status = 200;
  Headers headers;
  std::variant<std::string, Download, std::shared_ptr<EventStream>> body;

  static Response text(int status, std::string body, std::string content_type = "text/plain; charset=utf-8");
  static Response json(int status, std::string body) {
    return text(status, std::move(body), "application/json; charset=utf-8");
  }
  //! Server-sent events, until the stream is closed.
  static Response events(std::shared_ptr<EventStream> stream);
};

//! A request that is answered with an error.
class HttpError : public std::runtime_error {
public:
  HttpError(int status, const std::string& message) : std::runtime_error(message), status_(status) {}
  HttpError(int status, std::string code, const std::string& message, std::string param = {})
      : std::runtime_error(message), status_(status), code_(std::move(code)), param_(std::move(param)) {}

  int status() const { return status_; }
  const std::string& code() const { return code_; }
  const std::string& param() const { return param_; }
  const Headers& headers() const { return headers_; }
  //! Goes with the answer.
  HttpError& with(std::string name, std::string value) {
    headers_.set(name, std::move(value));
    return *this;
  }

private:
  int status_;
  std::string code_, param_;
  Headers headers_;
};

//! Whether a status goes without a body and without its length (RFC 9110, 6.4.1).
bool is_bodyless(int status);
//! "Not Found".
std::string_view reason_phrase(int status);

bool equal_ignoring_case(std::string_view a, std::string_view b);
std::string lower_case(std::string_view text);
//! Without spaces and tabs around it.
std::string_view trimmed(std::string_view text);
//! Whether a header that is a list of tokens has one, with regard to neither case nor parameters.
bool has_token(std::string_view list, std::string_view token);

}  // namespace prax::http
