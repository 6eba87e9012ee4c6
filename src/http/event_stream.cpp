#include "http/event_stream.h"

#include <utility>

namespace prax::http {

std::string to_text(const Event& event) {
  std::string text;
  if (!event.id.empty()) text += "id: " + event.id + "\n";
  if (!event.name.empty()) text += "event: " + event.name + "\n";
  std::string_view rest = event.data;
  for (;;) {
    const size_t end = rest.find('\n');
    text += "data: ";
    text += rest.substr(0, end);
    text += '\n';
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return text + "\n";
}

bool EventStream::send(const Event& event) {
  std::function<void()> wake;
  bool too_slow = false;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    std::string text = to_text(event);
    // A single event of any size is no sign of a slow client.
    too_slow = !waiting_.empty() && waiting_.size() + text.size() > backlog_;
    if (!too_slow) waiting_ += text;
    wake = wake_;
  }
  if (too_slow) {
    close();
    return false;
  }
  if (wake) wake();
  return true;
}

void EventStream::close() {
  std::function<void()> wake, end;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    closed_ = true;
    wake = wake_;
    end = std::exchange(end_, nullptr);
  }
  if (end) end();
  if (wake) wake();
}

bool EventStream::closed() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

void EventStream::on_close(std::function<void()> callback) {
  {
    std::lock_guard lock(mutex_);
    if (!closed_) {
      end_ = std::move(callback);
      return;
    }
  }
  callback();
}

std::string EventStream::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(waiting_, {});
}

void EventStream::on_wake(std::function<void()> callback) {
  std::lock_guard lock(mutex_);
  wake_ = std::move(callback);
}

}  // namespace prax::http
