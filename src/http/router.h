#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace prax::http {

//! What bodies a route takes.
struct BodyPolicy {
  bool json = false;
  bool multipart = false;
  bool optional = false;  //!< goes without, too
  uint64_t limit = 0;     //!< bytes; 0: the server's for its kind
};

//! Answers a request. Runs on a worker thread and may wait for a disk or a database, but not for long. Throws
//! HttpError, or Error, which the server's settings turn into an answer.
using Handler = std::function<Response(Request&)>;

struct Route {
  std::string method;
  std::string pattern;  //!< "/v1/videos/{id}/content"; a last segment "{rest...}" takes all that follows
  Handler handler;
  BodyPolicy body = {};
  //! For whoever wrote the routes: the gate reads it.
  std::string scope = {};
  //! Its handler takes long (it converts, or calls others): it waits for others of its kind alone, and they for it.
  bool slow = false;
};

//! Routes by method and path. A fixed segment goes before a capture, whatever the order.
class Router {
public:
  void add(Route route);
  const std::vector<std::shared_ptr<const Route>>& routes() const { return routes_; }

  struct Match {
    std::shared_ptr<const Route> route;  //!< null: no such path, or not with this method
    std::vector<std::string> allowed;    //!< methods of the path, when only the method is wrong
  };
  //! Fills the request's captures. HEAD finds GET's route.
  Match match(Request& request) const;

private:
  std::vector<std::shared_ptr<const Route>> routes_;
};

}  // namespace prax::http
