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
  //! A stream that hears of changes from now on and ends after its job's end, or when its key is revoked or its session
  //! over. nullptr when the key has `most` streams already.
  std::shared_ptr<http::EventStream> open(const Listener& listener, size_t most);
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
  };
  void job_changed(const jobs::Job& job);
  void job_deleted(const jobs::Deletion& deletion);
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
