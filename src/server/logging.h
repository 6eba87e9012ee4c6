#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "http/server.h"
#include "server/settings.h"

namespace spdlog {
class logger;
}

namespace prax::server {

//! The server's log on stderr: one line an event, as text with key=value pairs or as JSON. While it exists, warnings of
//! the rooms below go there too. A reader of stderr that hangs costs lines, not requests. Thread-safe.
class Log {
public:
  Log(const std::string& format, const std::string& level);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  //! `values` is an object. Level: "debug", "info", "warning", "error".
  void write(const char* level, const std::string& event, const nlohmann::json& values = nlohmann::json::object());
  //! From now on lines of lower levels are left out.
  void set_level(const std::string& level);
  void request(const http::Exchange& exchange, const std::string& key_id);

private:
  std::shared_ptr<spdlog::logger> logger_;
  bool json_ = false;
};

}  // namespace prax::server
