#pragma once

#include <boost/asio.hpp>
#include <chrono>
#include <memory>

namespace prax::http {

//! Ends what a socket waits for when its time is over; the socket stays open, so that a last word can be said. Used on
//! the connections' thread alone.
class Deadline {
public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(boost::asio::ip::tcp::socket& socket)
      : state_(std::make_shared<State>(State{boost::asio::steady_timer(socket.get_executor()), &socket})) {}
  ~Deadline() {
    state_->socket = nullptr;
    state_->timer.cancel();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

  void at(Clock::time_point time) {
    state_->passed = false;
    wait(state_, time);
  }
  void after(Clock::duration time) { at(Clock::now() + time); }
  //! Whether it ended something since it was set.
  bool passed() const { return state_->passed; }

private:
  struct State {
    boost::asio::steady_timer timer;
    boost::asio::ip::tcp::socket* socket;
    bool passed = false;
  };

  static void wait(const std::shared_ptr<State>& state, Clock::time_point time) {
    // Between two reads of one operation there is nothing to cancel, hence again and again until a new time is set.
    static constexpr std::chrono::milliseconds again{200};
    state->timer.expires_at(time);
    state->timer.async_wait([state](boost::system::error_code error) {
      if (error || !state->socket || state->timer.expiry() > Clock::now()) return;
      state->passed = true;
      boost::system::error_code ignored;
      state->socket->cancel(ignored);
      wait(state, Clock::now() + again);
    });
  }

  std::shared_ptr<State> state_;
};

}  // namespace prax::http
