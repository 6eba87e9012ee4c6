#include "jobs/key_ring.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace prax::jobs {

namespace {
constexpr Milliseconds note_every(30000);
}

KeyRing::~KeyRing() { write_uses(); }

//! A use that cannot be written (a full disk) is no reason to refuse who may read.
void KeyRing::write_uses() {
  try {
    store_.note_key_uses({uses_.begin(), uses_.end()});
    uses_.clear();
  } catch (const Error& error) {
    log_warning("the last uses of keys are not kept for now: " + std::string(error.what()));
  }
}

void KeyRing::refresh(Time at) {
  if (version_ >= 0 && at >= checked_ && at - checked_ < recheck_) return;
  const int64_t version = store_.keys_version();
  if (version != version_) {
    by_hash_.clear();
    by_id_.clear();
    version_ = version;
  }
  checked_ = at;
}

void KeyRing::note_use(const std::string& key_id, Time at) {
  uses_[key_id] = at;
  if (at >= noted_ && at - noted_ < note_every) return;
  noted_ = at;
  write_uses();
}

KeyRing::Answer KeyRing::check(std::string_view secret) {
  if (!is_well_formed_secret(secret)) return {Verdict::malformed, std::nullopt};
  const std::string hash = hash_of_secret(secret);
  const std::lock_guard lock(mutex_);
  const Time at = now();
  refresh(at);
  // Looking a hash up takes a time that depends on it, and tells nothing: who does not know the secret cannot choose a
  // hash's beginning. The hashes themselves are compared in constant time all the same.
  auto known = by_hash_.find(hash);
  if (known == by_hash_.end()) {
    auto key = store_.key_of_hash(hash);
    if (!key) return {Verdict::unknown, std::nullopt};
    by_id_[key->id] = *key;
    known = by_hash_.emplace(hash, std::move(*key)).first;
  }
  if (!equal_in_constant_time(known->first, hash)) return {Verdict::unknown, std::nullopt};
  const Key& key = known->second;
  if (key.revoked_at) return {Verdict::revoked, key};
  if (!key.active(at)) return {Verdict::expired, key};
  note_use(key.id, at);
  return {Verdict::accepted, key};
}

std::optional<Key> KeyRing::active_key(const std::string& key_id, Time at) {
  refresh(at);
  auto known = by_id_.find(key_id);
  if (known == by_id_.end()) {
    auto key = store_.key(key_id);
    if (!key) return std::nullopt;
    known = by_id_.emplace(key_id, std::move(*key)).first;
  }
  if (!known->second.active(at)) return std::nullopt;
  return known->second;
}

std::optional<Key> KeyRing::use(const std::string& key_id) {
  const std::lock_guard lock(mutex_);
  const Time at = now();
  auto key = active_key(key_id, at);
  if (key) note_use(key_id, at);
  return key;
}

bool KeyRing::still_valid(const std::string& key_id) {
  const std::lock_guard lock(mutex_);
  return active_key(key_id, now()).has_value();
}

}  // namespace prax::jobs
