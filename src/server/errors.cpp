#include "server/errors.h"

#include <new>

#include "base/error.h"

namespace prax::server {
namespace {

const char* type_of(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 409:
      return "conflict_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

http::Response envelope(const http::HttpError& error) {
  using nlohmann::json;
  if (http::is_bodyless(error.status())) {
    http::Response response;
    response.status = error.status();
    response.headers = error.headers();
    return response;
  }
  const json body{{"error",
                   {{"message", error.what()},
                    {"type", error.code() == "insufficient_quota" ? "insufficient_quota" : type_of(error.status())},
                    {"param", error.param().empty() ? json() : json(error.param())},
                    {"code", error.code().empty() ? json() : json(error.code())}}}};
  auto response = http::Response::json(error.status(), body.dump(-1, ' ', false, json::error_handler_t::replace));
  for (const auto& [name, value] : error.headers()) response.headers.set(name, value);
  return response;
}

}  // namespace

std::string sentence(const Error& error) {
  return error.hint().empty() ? error.what() : std::string(error.what()) + "; " + error.hint();
}

http::HttpError bad_field(const std::string& param, const std::string& message, const std::string& code) {
  return {400, code, message, param};
}

http::HttpError not_found(const std::string& what, const std::string& id) {
  return {404, "not_found", "There is no " + what + " '" + id.substr(0, 100) + "'"};
}

http::HttpError conflict(const std::string& code, const std::string& message) {
  return http::HttpError(409, code, message).with("x-should-retry", "false");
}

http::Response error_response(const std::exception_ptr& problem, std::string* detail) {
  const auto note = [detail](const std::string& text) {
    if (detail) *detail = text;
  };
  try {
    std::rethrow_exception(problem);
  } catch (const http::HttpError& error) {
    return envelope(error);
  } catch (const Error& error) {
    switch (error.kind()) {
      case ErrorKind::usage:
      case ErrorKind::input:
        return envelope({400, "invalid_value", sentence(error)});
      case ErrorKind::disk_full:
        note(sentence(error));
        return envelope(http::HttpError(507, "storage_full", "The server's disk is full; its operator must make room")
                            .with("x-should-retry", "false"));
      case ErrorKind::io:
      case ErrorKind::resource:
        note(sentence(error));
        return envelope(http::HttpError(503, "unavailable", "The server cannot do this just now; try again in a moment")
                            .with("retry-after", "5"));
      default:
        note(sentence(error));
        return envelope({500, "internal_error", "Something went wrong in the server; its log says more"});
    }
  } catch (const std::bad_alloc&) {
    note("out of memory");
    return envelope(http::HttpError(503, "unavailable", "The server has no memory left; try again in a moment")
                        .with("retry-after", "5"));
  } catch (const std::exception& error) {
    note(error.what());
    return envelope({500, "internal_error", "Something went wrong in the server; its log says more"});
  }
}

}  // namespace prax::server
