#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "jobs/key.h"
#include "jobs/store.h"

namespace prax::jobs {

//! Says whose a secret is, from memory as long as no key changed anywhere. A revoked key is refused by every process
//! within `recheck`. Thread-safe.
class KeyRing {
public:
  enum class Verdict {
    accepted,
    malformed,  //!< no secret of ours
    unknown,
    revoked,
    expired
  };
  struct Answer {
    Verdict verdict = Verdict::unknown;
    std::optional<Key> key;  //!< for all but malformed and unknown
  };

  explicit KeyRing(Store& store, Milliseconds recheck = Milliseconds(250)) : store_(store), recheck_(recheck) {}
  //! Writes the last uses that are not written yet.
  ~KeyRing();
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;

  //! Notes the use. Error(io) when the store cannot be asked.
  Answer check(std::string_view secret);
  //! The key of that id when it may be used (by a browser's session). Notes the use.
  std::optional<Key> use(const std::string& key_id);
  //! Whether a key (of an open event stream) may still be used.
  bool still_valid(const std::string& key_id);

private:
  void refresh(Time at);
  std::optional<Key> active_key(const std::string& key_id, Time at);
  void note_use(const std::string& key_id, Time at);
  void write_uses();

  Store& store_;
  const Milliseconds recheck_;
  std::mutex mutex_;
  int64_t version_ = -1;
  Time checked_{}, noted_{};
  std::unordered_map<std::string, Key> by_hash_, by_id_;
  std::unordered_map<std::string, Time> uses_;
};

}  // namespace prax::jobs
