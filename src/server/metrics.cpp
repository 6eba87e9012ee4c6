#include "server/metrics.h"

#include "base/human.h"

namespace prax::server {

void Metrics::add(const http::Exchange& exchange) {
  std::lock_guard lock(mutex_);
  const std::string route(exchange.route);
  // The method of a request that no route took can be anything.
  ++requests_[{route.empty() ? "" : exchange.request.method, route, exchange.status}];
  bytes_ += exchange.bytes;
  if (exchange.request.headers.contains("accept") && exchange.request.headers.get("accept") == "text/event-stream")
    return;  // how long someone listens is no duration of an answer
  Histogram& histogram = durations_[route];
  size_t bound = 0;
  while (bound < bounds.size() && exchange.seconds > bounds[bound]) ++bound;
  ++histogram.counts[bound];
  histogram.sum += exchange.seconds;
  ++histogram.count;
}

std::string metric(const std::string& name, const std::string& type, const std::string& help,
                   const std::map<std::string, double>& values) {
  std::string text = "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  for (const auto& [labels, value] : values) text += name + labels + " " + human_number(value) + "\n";
  return text;
}

std::string Metrics::text() const {
  std::lock_guard lock(mutex_);
  std::map<std::string, double> requests;
  for (const auto& [key, count] : requests_) {
    const auto& [method, route, status] = key;
    requests["{method=\"" + method + "\",route=\"" + route + "\",status=\"" + std::to_string(status) + "\"}"] =
        static_cast<double>(count);
  }
  std::string text = metric("prax_http_requests_total", "counter", "Requests answered.", requests);
  const std::string name = "prax_http_request_duration_seconds";
  text += "# HELP " + name + " From a request's header to the end of its answer.\n# TYPE " + name + " histogram\n";
  for (const auto& [route, histogram] : durations_) {
    const std::string label = "route=\"" + route + "\"";
    uint64_t total = 0;
    for (size_t i = 0; i <= bounds.size(); ++i) {
      total += histogram.counts[i];
      const std::string bound = i < bounds.size() ? human_number(bounds[i]) : "+Inf";
      text += name + "_bucket{" + label + ",le=\"" + bound + "\"} " + std::to_string(total) + "\n";
    }
    text += name + "_sum{" + label + "} " + human_number(histogram.sum) + "\n";
    text += name + "_count{" + label + "} " + std::to_string(histogram.count) + "\n";
  }
  text +=
      metric("prax_http_sent_bytes_total", "counter", "Bytes of answers' bodies.", {{"", static_cast<double>(bytes_)}});
  text += metric("prax_webhook_deliveries_total", "counter", "Attempts to deliver an event.",
                 {{"{result=\"delivered\"}", static_cast<double>(delivered_)},
                  {"{result=\"failed\"}", static_cast<double>(failed_deliveries_)}});
  return text;
}

}  // namespace prax::server
