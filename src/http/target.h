#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace prax::http {

//! "%2F" and the like decoded; nullopt for a broken escape, a zero byte or bytes that are not UTF-8.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

//! Everything but letters, digits and "-._~" escaped (RFC 3986, 2.3).
std::string percent_encode(std::string_view text);

//! Path and query of an origin-form or absolute-form target (RFC 9112, 3.2); nullopt when it is neither, or its escapes
//! are broken.
struct Target {
  std::string path;
  Fields query;
};
std::optional<Target> parse_target(std::string_view target);

//! "a=1&b=2" decoded; nullopt for broken escapes.
std::optional<Fields> parse_query(std::string_view query);

//! Whether a host's name (without port and brackets) is this machine by its form: localhost and names below it, ::1,
//! and the addresses 127.x.x.x. "127.0.0.1.example.com" is someone else's.
bool is_loopback_host(std::string_view name);

}  // namespace prax::http
