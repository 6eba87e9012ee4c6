#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "http/event_stream.h"
#include "jobs/change_feed.h"
#include "jobs/key_ring.h"
#include "server/sessions.h"

namespace prax::server {

//! Hands changes of jobs to the event streams that listen. Thread-safe.
class EventHub {
public:
  EventHub(jobs::ChangeFeed& feed, jobs::KeyRing& keys, Sessions& sessions);

  struct Listener {
    std::string key_id;  //!< whose stream it is
    bool all_keys = false;
    std::string job_id;      //!< of one job, or "" for all
    std::string session_id;  //!< of the browser that listens (Sessions::id_of), or ""
  };
  //! A stream that hears of changes once it was let_hear() and ends after its job's end, or when its key is revoked or
  //! its session over. nullptr when the key has `most` streams already.
  std::shared_ptr<http::EventStream> open(const Listener& listener, size_t most);
  //! From now on it hears of the changes after `seen`, in their order. False where it should have heard of such a one
  //! already: the caller sends what the store knows by now, and tries again with that.
  bool let_hear(const http::EventStream& stream, int64_t seen);
  size_t count() const;
  //! Ends the streams of keys that may not be used any more, and of sessions that are over. To be called a few times a
  //! second.
  void check_listeners();
  //! The events of a job as it is, and of one that is gone.
  static http::Event event_of(const jobs::Job& job);
  static http::Event event_of(const jobs::Deletion& deletion);

private:
  struct Entry {
    Listener listener;
    std::weak_ptr<http::EventStream> stream;
    bool hears = false;
    int64_t seen = -1;  //!< the newest change that it heard of, or should have
  };
  void job_changed(const jobs::Job& job);
  void job_deleted(const jobs::Deletion& deletion);
  void tell(int64_t version, const http::Event& event, bool ends, const std::function<bool(const Listener&)>& wanted);
  std::vector<std::shared_ptr<http::EventStream>> select(const std::function<bool(const Listener&)>& wanted) const;

  jobs::KeyRing& keys_;
  Sessions& sessions_;
  // Shared with the streams, which may end after the hub.
  struct Streams {
    std::mutex mutex;
    std::map<int64_t, Entry> entries;
    int64_t next = 1;
  };
  std::shared_ptr<Streams> streams_ = std::make_shared<Streams>();
  jobs::ChangeFeed::Subscription jobs_, deletions_;
};

}  // namespace prax::server
