#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "jobs/store.h"

namespace prax::jobs {

//! Tells of changes that any process made: one thread asks the store a few times a second. Listeners are called on that
//! thread, one after another, and must be quick (post to an executor); they may subscribe and unsubscribe.
class ChangeFeed {
public:
  explicit ChangeFeed(Store& store, Milliseconds every = Milliseconds(200));
  ~ChangeFeed();
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  //! A job as it is now; several changes between two looks come as one.
  using JobListener = std::function<void(const Job&)>;
  using DeletionListener = std::function<void(const Deletion&)>;
  using Listener = std::function<void()>;

  //! Ends when it is dropped; the listener does not run any more after that: so drop it without holding a lock that the
  //! listener takes. Must not outlive the feed.
  class Subscription {
  public:
    Subscription() = default;
    Subscription(Subscription&&) noexcept;
    Subscription& operator=(Subscription&&) noexcept;
    ~Subscription();

  private:
    friend class ChangeFeed;
    Subscription(ChangeFeed* feed, int64_t id) : feed_(feed), id_(id) {}
    ChangeFeed* feed_ = nullptr;
    int64_t id_ = 0;
  };

  [[nodiscard]] Subscription on_job(JobListener listener);           //!< created, progressed, ended
  [[nodiscard]] Subscription on_deleted(DeletionListener listener);  //!< a job is gone
  [[nodiscard]] Subscription on_keys_changed(Listener listener);

private:
  struct Listeners {
    JobListener job;
    DeletionListener deleted;
    Listener keys;
  };

  void run();
  void look();
  template <typename Call>
  void tell(const Call& call);
  Subscription add(Listeners listeners);
  void remove(int64_t id);

  Store& store_;
  const Milliseconds every_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  int64_t next_id_ = 1;
  std::map<int64_t, std::shared_ptr<const Listeners>> listeners_;
  std::recursive_mutex calling_;  // held while a listener runs, so that unsubscribing waits for it
  int64_t version_ = 0, keys_version_ = 0;
  std::thread thread_;
};

}  // namespace prax::jobs
