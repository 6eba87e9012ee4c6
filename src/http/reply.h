#pragma once

#include <string>
#include <string_view>

#include "http/message.h"

namespace prax::http {

//! RFC 1952.
std::string gzip(std::string_view bytes);

//! Compresses a JSON or text body that is worth it, if the client takes gzip.
void compress_if_wanted(const Request& request, Response& response);

//! Status line, fields and the empty line. Fields that cannot stand in a header lose the bytes that forbid it.
std::string header_text(const Response& response, uint64_t length, bool keep_alive);

//! "req_" and 32 random hex digits.
std::string new_request_id();

}  // namespace prax::http
