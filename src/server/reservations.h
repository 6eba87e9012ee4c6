#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "http/message.h"
#include "jobs/store.h"

namespace prax::server {

//! Room below the quota that requests under way were promised: together they cannot overrun what each of them would
//! find free. Thread-safe; outlives the requests.
class Reservations {
public:
  Reservations(jobs::Store& store, std::optional<uint64_t> quota) : store_(store), quota_(quota) {}

  //! At least so many bytes, all in all, for what the request brings or stores, until it is answered. HttpError(507)
  //! where there are not as many.
  void reserve(http::Request& request, uint64_t bytes);

private:
  class Share;

  jobs::Store& store_;
  const std::optional<uint64_t> quota_;
  std::mutex one_at_a_time_;
  std::atomic<uint64_t> promised_{0};
};

}  // namespace prax::server
