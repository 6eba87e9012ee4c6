#pragma once

#include <optional>
#include <string>

#include "http/message.h"
#include "http/router.h"
#include "jobs/key_ring.h"
#include "server/rate_limiter.h"
#include "server/sessions.h"
#include "server/settings.h"

namespace prax::server {

//! Who makes a request, and what he may do.
struct Caller {
  std::string key_id;
  jobs::Scope scopes = jobs::Scope::none;
  std::optional<jobs::Key> key;  //!< none without keys on loopback
  std::optional<RateLimiter::Verdict> rate;
  std::optional<jobs::Session> session;  //!< of a browser that is signed in

  bool admin() const { return jobs::has(scopes, jobs::Scope::admin); }
  bool may_use(std::string_view model) const { return !key || key->may_use(model); }
  //! Whose jobs he sees: "" for everyone's.
  bool sees(const std::string& owner) const { return owner == key_id || admin(); }
};

//! What a route asks of its caller: one of these words, as http::Route::scope.
namespace scope {
inline constexpr const char* open = "open";  //!< no key at all
inline constexpr const char* any = "any";    //!< any valid key
inline constexpr const char* create = "create";
inline constexpr const char* read = "read";
inline constexpr const char* remove = "delete";
inline constexpr const char* admin = "admin";
inline constexpr const char* metrics = "metrics";  //!< programs of this machine, or an admin key
}  // namespace scope

//! The door: keys, scopes, rates, and what keeps web pages out of a server without keys.
class Gate {
public:
  Gate(const Settings& settings, jobs::KeyRing& keys, Sessions& sessions)
      : settings_(settings), keys_(keys), sessions_(sessions) {}

  //! Fills Request::caller with a Caller. Throws HttpError 401, 403, 421 or 429.
  void check(http::Request& request, const http::Route& route);
  //! CORS headers for an answer, where the page's origin is allowed.
  void add_cors(const http::Request& request, http::Response& response) const;

private:
  Caller identify(const http::Request& request);
  Caller without_key(const http::Request& request) const;
  Caller with_cookie(const http::Request& request) const;
  bool has_our_name(const http::Request& request) const;
  bool allows_origin(std::string_view origin) const;

  const Settings& settings_;
  jobs::KeyRing& keys_;
  Sessions& sessions_;
  RateLimiter rates_;
};

//! HttpError 429 that says when to come again.
http::HttpError too_many(const RateLimiter::Verdict& verdict, const std::string& message);

//! The caller of a request that has passed the gate.
const Caller& caller_of(const http::Request& request);

}  // namespace prax::server
