#include "server/event_hub.h"

#include <set>
#include <utility>
#include <vector>

#include "server/video_object.h"

namespace prax::server {

EventHub::EventHub(jobs::ChangeFeed& feed, jobs::KeyRing& keys, Sessions& sessions)
    : keys_(keys),
      sessions_(sessions),
      jobs_(feed.on_job([this](const jobs::Job& job) { job_changed(job); })),
      deletions_(feed.on_deleted([this](const jobs::Deletion& deletion) { job_deleted(deletion); })) {}

std::shared_ptr<http::EventStream> EventHub::open(const Listener& listener, size_t most) {
  auto stream = std::make_shared<http::EventStream>();
  std::unique_lock lock(streams_->mutex);
  size_t open = 0;
  for (const auto& [id, entry] : streams_->entries) open += entry.listener.key_id == listener.key_id;
  if (open >= most) return nullptr;
  const int64_t id = streams_->next++;
  streams_->entries[id] = {listener, stream, false, -1};
  lock.unlock();
  stream->on_close([streams = streams_, id] {
    std::lock_guard held(streams->mutex);
    streams->entries.erase(id);
  });
  return stream;
}

bool EventHub::let_hear(const http::EventStream& stream, int64_t seen) {
  const std::lock_guard lock(streams_->mutex);
  for (auto& [id, entry] : streams_->entries) {
    if (entry.stream.lock().get() != &stream) continue;
    if (entry.seen > seen) return false;
    entry.seen = seen;
    entry.hears = true;
  }
  return true;
}

size_t EventHub::count() const {
  std::lock_guard lock(streams_->mutex);
  return streams_->entries.size();
}

std::vector<std::shared_ptr<http::EventStream>> EventHub::select(
    const std::function<bool(const Listener&)>& wanted) const {
  std::vector<std::shared_ptr<http::EventStream>> found;
  std::lock_guard lock(streams_->mutex);
  for (const auto& [id, entry] : streams_->entries)
    if (wanted(entry.listener))
      if (auto stream = entry.stream.lock()) found.push_back(std::move(stream));
  return found;
}

http::Event EventHub::event_of(const jobs::Job& job) {
  return {std::to_string(job.version), "video." + std::string(name_of(job.status)),
          live_object(job).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)};
}

http::Event EventHub::event_of(const jobs::Deletion& deletion) {
  return {std::to_string(deletion.version), "video.deleted", deleted_object(deletion.job_id).dump()};
}

//! On the feed's thread alone, and so in the order of versions. `ends` the streams of that one job.
void EventHub::tell(int64_t version, const http::Event& event, bool ends,
                    const std::function<bool(const Listener&)>& wanted) {
  std::vector<std::pair<std::shared_ptr<http::EventStream>, bool>> found;
  {
    const std::lock_guard lock(streams_->mutex);
    for (auto& [id, entry] : streams_->entries) {
      if (!wanted(entry.listener) || version <= entry.seen) continue;
      entry.seen = version;
      if (!entry.hears) continue;
      if (auto stream = entry.stream.lock()) found.emplace_back(std::move(stream), !entry.listener.job_id.empty());
    }
  }
  for (const auto& [stream, of_one_job] : found) {
    stream->send(event);
    if (ends && of_one_job) stream->close();
  }
}

void EventHub::job_changed(const jobs::Job& job) {
  tell(job.version, event_of(job), is_final(job.status), [&](const Listener& l) {
    return (l.job_id.empty() || l.job_id == job.id) && (l.all_keys || l.key_id == job.key_id);
  });
}

void EventHub::job_deleted(const jobs::Deletion& deletion) {
  tell(deletion.version, event_of(deletion), true, [&](const Listener& l) {
    return l.job_id.empty() ? l.all_keys || l.key_id == deletion.key_id : l.job_id == deletion.job_id;
  });
}

void EventHub::check_listeners() {
  std::set<std::string> owners, browsers;
  {
    std::lock_guard lock(streams_->mutex);
    for (const auto& [id, entry] : streams_->entries) {
      owners.insert(entry.listener.key_id);
      if (!entry.listener.session_id.empty()) browsers.insert(entry.listener.session_id);
    }
  }
  for (const std::string& owner : owners) {
    if (owner == jobs::local_key_id || keys_.still_valid(owner)) continue;
    for (const auto& stream : select([&](const Listener& l) { return l.key_id == owner; })) stream->close();
  }
  for (const std::string& browser : browsers) {
    if (sessions_.is_open(browser)) continue;
    for (const auto& stream : select([&](const Listener& l) { return l.session_id == browser; })) stream->close();
  }
}

}  // namespace prax::server
