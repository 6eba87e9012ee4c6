#include "server/reservations.h"

#include <memory>

#include "base/human.h"

namespace prax::server {

class Reservations::Share {
public:
  explicit Share(std::atomic<uint64_t>& promised) : promised_(promised) {}
  ~Share() { promised_ -= bytes_; }
  Share(const Share&) = delete;
  Share& operator=(const Share&) = delete;

  uint64_t bytes() const { return bytes_; }
  void grow_to(uint64_t bytes) {
    promised_ += bytes - bytes_;
    bytes_ = bytes;
  }

private:
  std::atomic<uint64_t>& promised_;
  uint64_t bytes_ = 0;
};

void Reservations::reserve(http::Request& request, uint64_t bytes) {
  if (!quota_) return;
  if (!request.room) request.room = std::make_shared<Share>(promised_);
  Share& share = *static_cast<Share*>(request.room.get());
  if (bytes <= share.bytes()) return;
  const std::lock_guard lock(one_at_a_time_);
  // In this order: what another request gives back meanwhile has become part of what is stored.
  const uint64_t others = promised_ - share.bytes();
  const uint64_t taken = others + store_.stored_bytes();
  if (taken > *quota_ || bytes > *quota_ - taken)
    throw http::HttpError(
        507, "storage_full",
        "The storage has no room for " + human_bytes(bytes) + " more; delete videos that are not needed any more")
        .with("x-should-retry", "false");
  share.grow_to(bytes);
}

}  // namespace prax::server
