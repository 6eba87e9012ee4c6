#pragma once

#include <exception>
#include <nlohmann/json.hpp>
#include <string>

#include "base/error.h"
#include "http/message.h"

namespace prax::server {

//! A field of a request that cannot be: 400, with the field in `param`.
http::HttpError bad_field(const std::string& param, const std::string& message,
                          const std::string& code = "invalid_value");

//! 404 for an id that is unknown, or another key's: the two look the same.
http::HttpError not_found(const std::string& what, const std::string& id);

//! A state that waiting and trying again does not change: 409 that the clients' libraries do not repeat.
http::HttpError conflict(const std::string& code, const std::string& message);

//! What is wrong and what to do.
std::string sentence(const Error& error);

//! The answer in the API's envelope {"error":{"message","type","param","code"}} for whatever was thrown. Errors of the
//! program become 400 (usage, input), 503 (io, resource) or 500; `detail` is what the log should say of the last two.
http::Response error_response(const std::exception_ptr& problem, std::string* detail = nullptr);

}  // namespace prax::server
