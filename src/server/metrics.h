#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

#include "http/server.h"

namespace prax::server {

//! Counters of requests, for Prometheus (text format 0.0.4). Thread-safe.
class Metrics {
public:
  void add(const http::Exchange& exchange);
  void count_delivery(bool delivered) { ++(delivered ? delivered_ : failed_deliveries_); }

  //! Lines of the counters kept here.
  std::string text() const;

private:
  static constexpr std::array<double, 11> bounds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5};
  struct Histogram {
    std::array<uint64_t, bounds.size() + 1> counts{};
    double sum = 0;
    uint64_t count = 0;
  };

  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, int>, uint64_t> requests_;  // method, route, status
  std::map<std::string, Histogram> durations_;                              // by route
  uint64_t bytes_ = 0;
  std::atomic<uint64_t> delivered_{0}, failed_deliveries_{0};
};

//! One metric with its help and type lines; `labels` is "" or `{a="b"}`.
std::string metric(const std::string& name, const std::string& type, const std::string& help,
                   const std::map<std::string, double>& values_by_labels);

}  // namespace prax::server
