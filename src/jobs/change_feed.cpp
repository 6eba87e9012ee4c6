#include "jobs/change_feed.h"

#include "base/error.h"
#include "base/log.h"

namespace prax::jobs {

ChangeFeed::Subscription::Subscription(Subscription&& other) noexcept : feed_(other.feed_), id_(other.id_) {
  other.feed_ = nullptr;
}

ChangeFeed::Subscription& ChangeFeed::Subscription::operator=(Subscription&& other) noexcept {
  std::swap(feed_, other.feed_);
  std::swap(id_, other.id_);
  return *this;
}

ChangeFeed::Subscription::~Subscription() {
  if (feed_) feed_->remove(id_);
}

ChangeFeed::ChangeFeed(Store& store, Milliseconds every)
    : store_(store), every_(every), version_(store.latest_version()), keys_version_(store.keys_version()) {
  thread_ = std::thread([this] { run(); });
}

ChangeFeed::~ChangeFeed() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

ChangeFeed::Subscription ChangeFeed::add(Listeners listeners) {
  const std::lock_guard lock(mutex_);
  const int64_t id = next_id_++;
  listeners_.emplace(id, std::make_shared<const Listeners>(std::move(listeners)));
  return {this, id};
}

void ChangeFeed::remove(int64_t id) {
  {
    const std::lock_guard lock(mutex_);
    listeners_.erase(id);
  }
  // One that is being called comes to its end first (at once on the feed's own thread).
  const std::lock_guard wait(calling_);
}

ChangeFeed::Subscription ChangeFeed::on_job(JobListener listener) { return add({std::move(listener), {}, {}}); }
ChangeFeed::Subscription ChangeFeed::on_deleted(DeletionListener listener) {
  return add({{}, std::move(listener), {}});
}
ChangeFeed::Subscription ChangeFeed::on_keys_changed(Listener listener) { return add({{}, {}, std::move(listener)}); }

template <typename Call>
void ChangeFeed::tell(const Call& call) {
  std::vector<int64_t> ids;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& entry : listeners_) ids.push_back(entry.first);
  }
  for (const int64_t id : ids) {
    const std::lock_guard calling(calling_);
    std::shared_ptr<const Listeners> listeners;
    {
      const std::lock_guard lock(mutex_);
      const auto it = listeners_.find(id);
      if (it == listeners_.end()) continue;
      listeners = it->second;
    }
    call(*listeners);
  }
}

void ChangeFeed::look() {
  if (const int64_t keys = store_.keys_version(); keys != keys_version_) {
    keys_version_ = keys;
    tell([](const Listeners& l) {
      if (l.keys) l.keys();
    });
  }
  if (store_.latest_version() == version_) return;
  const Store::Changes changes = store_.changed_jobs(version_);
  version_ = changes.version;
  // In their order: who hears of one has heard of all before it.
  auto deletion = changes.deleted.begin();
  const auto tell_deletions = [&](int64_t before) {
    for (; deletion != changes.deleted.end() && deletion->version < before; ++deletion)
      tell([&](const Listeners& l) {
        if (l.deleted) l.deleted(*deletion);
      });
  };
  for (const Job& job : changes.jobs) {
    tell_deletions(job.version);
    tell([&](const Listeners& l) {
      if (l.job) l.job(job);
    });
  }
  tell_deletions(INT64_MAX);
}

void ChangeFeed::run() {
  bool warned = false;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    try {
      look();
      warned = false;
    } catch (const Error& error) {
      if (!warned) log_warning("changes cannot be read for now: " + std::string(error.what()));
      warned = true;
    }
    lock.lock();
    wake_.wait_for(lock, every_, [&] { return stopping_; });
  }
}

}  // namespace prax::jobs
