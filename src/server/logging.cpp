#include "server/logging.h"

#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>

#include "base/log.h"

namespace prax::server {
namespace {

using nlohmann::json;

spdlog::level::level_enum level_named(const std::string& name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "warning") return spdlog::level::warn;
  return name == "error" ? spdlog::level::err : spdlog::level::info;
}

std::string as_text(const json& value) {
  const std::string text =
      value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, json::error_handler_t::replace);
  // Others choose some of the words: a terminal that shows the log must see no control characters in them.
  const auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '='; };
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), is_plain);
  if (plain) return text;
  std::string escaped;
  for (const char c : json(text).dump(-1, ' ', true, json::error_handler_t::replace))
    escaped += c == '\x7f' ? std::string("\\u007f") : std::string(1, c);
  return escaped;
}

}  // namespace

Log::Log(const std::string& format, const std::string& level) : json_(format == "json") {
  constexpr size_t waiting_lines = 8192;
  spdlog::init_thread_pool(waiting_lines, 1);
  logger_ =
      std::make_shared<spdlog::async_logger>("prax", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                             spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  logger_->set_level(level_named(level));
  logger_->flush_on(spdlog::level::info);
  logger_->set_pattern(json_ ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})" : "%Y-%m-%dT%H:%M:%S.%eZ %l %v",
                       spdlog::pattern_time_type::utc);
  set_log_sink([this](LogLevel at, std::string_view message) {
    write(at == LogLevel::warning ? "warning" : "debug", "message", {{"text", message}});
  });
}

Log::~Log() {
  set_log_sink({});
  logger_->flush();
  logger_.reset();
  spdlog::shutdown();  // writes what still waits
}

void Log::set_level(const std::string& level) { logger_->set_level(level_named(level)); }

void Log::write(const char* level, const std::string& event, const json& values) {
  const auto at = level_named(level);
  if (!logger_->should_log(at)) return;
  std::string line;
  if (json_) {
    json object = values;
    object["event"] = event;
    line = object.dump(-1, ' ', false, json::error_handler_t::replace);
    line = line.substr(1, line.size() - 2);  // the pattern has the braces
  } else {
    line = event;
    for (const auto& [name, value] : values.items()) line += " " + name + "=" + as_text(value);
  }
  logger_->log(at, line);
}

void Log::request(const http::Exchange& exchange, const std::string& key_id) {
  constexpr size_t longest_path = 200;
  constexpr double ms = 1000;
  constexpr int first_server_error = 500;
  const http::Request& request = exchange.request;
  json values{{"id", request.id},
              {"method", request.method.substr(0, 20)},
              {"path", request.path.substr(0, longest_path)},
              {"status", exchange.status},
              {"ms", std::round(exchange.seconds * ms * 10) / 10},
              {"bytes", exchange.bytes},
              {"peer", request.peer.address}};
  if (!key_id.empty()) values["key"] = key_id;
  if (!exchange.complete) values["complete"] = false;
  if (const auto retry = request.headers.find("x-stainless-retry-count"); retry && *retry != "0")
    values["retry"] = std::string(retry->substr(0, 10));
  const bool quiet = exchange.route == "/healthz" || exchange.route == "/readyz" || exchange.route == "/metrics";
  write(exchange.status >= first_server_error ? "warning" : quiet ? "debug" : "info", "request", values);
}

}  // namespace prax::server
