#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "http/spool.h"

namespace prax::server {

//! Whether an address literal belongs to this machine, a private or a special network (IANA's special-purpose
//! registries): what a server must not be talked into visiting. False for what is no address.
bool is_private_address(const std::string& address);

//! Calls to addresses that users name. Only HTTPS to public addresses, judged after the name was resolved and for
//! every connection, unless `private_addresses`.
struct OutboundRules {
  bool private_addresses = false;
  std::chrono::milliseconds timeout{10'000};
};

struct OutboundAnswer {
  int status = 0;     //!< 0: no answer
  std::string error;  //!< one sentence; "" when there is an answer
};

//! Throws Error(usage) unless the URL may be called by these rules, as far as its text tells.
void check_url(const std::string& url, const OutboundRules& rules);

//! Follows no redirects and reads no answer's body.
OutboundAnswer post(const std::string& url, const std::vector<std::pair<std::string, std::string>>& headers,
                    const std::string& body, const OutboundRules& rules);

//! Follows a few redirects, each under the same rules. More than `limit` bytes are an error.
OutboundAnswer get(const std::string& url, uint64_t limit, http::Spool& body, const OutboundRules& rules);

}  // namespace prax::server
