#pragma once

#include <map>
#include <string>
#include <string_view>

#include "jobs/result_storage.h"
#include "jobs/time.h"

namespace prax::jobs {

//! Percent-encoding as Signature Version 4 wants it: all but letters, digits, '-', '.', '_' and '~'; '/' too unless
//! `keep_slashes`.
std::string uri_encoded(std::string_view text, bool keep_slashes = false);

struct S3Request {
  std::string method;                               //!< "GET"
  std::string host;                                 //!< with the port unless it is the scheme's own
  std::string path;                                 //!< encoded, beginning with '/'
  std::map<std::string, std::string> query = {};    //!< not encoded
  std::map<std::string, std::string> headers = {};  //!< lower-case names; signed along, "host" is added
  std::string payload_sha256;                       //!< hex
};

//! "a=1&b=2", encoded and sorted.
std::string query_text(const std::map<std::string, std::string>& query);

//! All headers to send: those of the request, x-amz-date, x-amz-content-sha256 and Authorization.
//! AWS General Reference, "Authenticating Requests (AWS Signature Version 4)", with the key in a header.
std::map<std::string, std::string> signed_headers(const S3Request& request, const S3Options& options, Time at);

}  // namespace prax::jobs
