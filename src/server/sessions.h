#pragma once

#include <optional>
#include <string>
#include <utility>

#include "http/message.h"
#include "jobs/key_ring.h"
#include "jobs/store.h"

namespace prax::server {

//! Browsers that are signed in: a cookie instead of a key in each request, so that no script of a page ever holds a
//! key. Sessions are rows of the store and survive a restart. Thread-safe once serving has begun.
class Sessions {
public:
  Sessions(jobs::Store& store, jobs::KeyRing& keys) : store_(store), keys_(keys) {}

  //! Cookies know hosts and not ports: two servers of one machine must not sign each other's users out.
  void set_port(uint16_t port) { cookie_ = "prax_session_" + std::to_string(port); }
  //! From now on start_token() signs in as the operator.
  void allow_start_token();
  //! Drawn at the start of this process, never written anywhere but on the operator's terminal; "" for none.
  const std::string& start_token() const { return start_token_; }
  //! Compares in constant time.
  bool is_start_token(std::string_view token) const;

  struct Opened {
    jobs::Session session;
    std::string set_cookie;  //!< the header's value
  };
  Opened open(const std::string& key_id, bool secure);
  //! Whoever the request's cookie belongs to; nullopt without a cookie or when its session or key is over.
  std::optional<std::pair<jobs::Session, jobs::Key>> find(const http::Request& request);
  //! What tells the request's session from others, and no secret; "" without a cookie.
  std::string id_of(const http::Request& request) const;
  //! Whether nobody has signed out of it, and it has not expired.
  bool is_open(const std::string& id) { return store_.session(id).has_value(); }
  bool has_cookie(const http::Request& request) const { return !cookie_of(request).empty(); }
  //! Ends the request's session. The Set-Cookie header's value that makes the browser forget it.
  std::string close(const http::Request& request);

private:
  std::string cookie_of(const http::Request& request) const;

  jobs::Store& store_;
  jobs::KeyRing& keys_;
  std::string cookie_ = "prax_session";
  std::string start_token_;
};

//! Whether a request that changes something comes from one of this server's own pages (Fetch Metadata, else the
//! origin). `unsaid` is the answer for a client that says neither, which no browser of today is.
bool from_own_page(const http::Request& request, bool unsaid);

}  // namespace prax::server
