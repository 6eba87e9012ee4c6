#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace prax::http {

//! One server-sent event (WHATWG HTML, 9.2). `data` may have several lines.
struct Event {
  std::string id = {};
  std::string name = {};
  std::string data = {};
};

//! The text of an event on the wire.
std::string to_text(const Event& event);

//! A stream of events to one client. send() and close() may be called from any thread; what was sent before close()
//! still goes out.
class EventStream {
public:
  //! A client that reads so slowly that more than `backlog` bytes wait for it is let go; it comes back with its
  //! Last-Event-ID.
  explicit EventStream(size_t backlog = default_backlog) : backlog_(backlog) {}

  //! False once the stream is closed.
  bool send(const Event& event);
  void close();
  bool closed() const;
  //! Called once when the stream ends, from whichever side.
  void on_close(std::function<void()> callback);

  // For the connection.
  //! What waits to be written.
  std::string take();
  //! Called after each send() and close().
  void on_wake(std::function<void()> callback);

private:
  static constexpr size_t default_backlog = 256 * 1024;

  mutable std::mutex mutex_;
  size_t backlog_;
  std::string waiting_;
  bool closed_ = false;
  std::function<void()> wake_, end_;
};

}  // namespace prax::http
