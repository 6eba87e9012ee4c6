#pragma once

#include <atomic>
#include <boost/asio.hpp>
#include <boost/asio/ssl.hpp>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>

#include "http/server.h"

namespace prax::http {

namespace asio = boost::asio;
using asio::ip::tcp;

using Work = std::function<void()>;

//! What a connection shows the server while it lives. Used on the connections' thread alone.
struct Handle {
  std::function<void()> close_idle;        //!< between two requests: ends the connection
  std::weak_ptr<EventStream> stream = {};  //!< that it serves
  bool idle = true;
  std::chrono::steady_clock::time_point idle_since = std::chrono::steady_clock::now();
};

//! What all connections of a server share.
class Core {
public:
  Core(ServerSettings settings_given, Router router_given, Hooks hooks_given);

  void run();
  void renew_certificate(const std::filesystem::path& certificate, const std::filesystem::path& private_key);
  void stop(std::chrono::milliseconds grace);
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  size_t connections() const { return connections_; }
  bool draining() const { return draining_; }

  //! Runs `work`, which lives in the awaiting coroutine, on a worker thread; what it throws is thrown here. It is a
  //! reference to something with a name because GCC 12 destroys some temporaries of an awaiting expression twice.
  asio::awaitable<void> blocking(const Work& work, bool slow = false);

  std::list<Handle>::iterator enter(std::function<void()> close_idle);
  void leave(std::list<Handle>::iterator handle);

  const ServerSettings settings;
  const Router router;
  const Hooks hooks;

private:
  asio::awaitable<void> accept();
  void serve(tcp::socket socket);
  void finish_if_quiet();
  bool close_idlest();

  asio::io_context io_{1};
  std::shared_ptr<asio::ssl::context> tls_;  //!< none for plain HTTP; another one when the certificate is renewed
  tcp::acceptor acceptor_{io_};
  asio::steady_timer deadline_{io_};
  asio::thread_pool pool_, slow_pool_;
  std::list<Handle> handles_;
  std::atomic<size_t> connections_{0};
  std::atomic<bool> draining_{false};
};

//! Serves one client until he goes. Instantiated in connection.cpp for plain and TLS sockets.
asio::awaitable<void> serve_plain(Core& core, tcp::socket socket, Peer peer);
asio::awaitable<void> serve_tls(Core& core, tcp::socket socket, std::shared_ptr<asio::ssl::context> context, Peer peer);

}  // namespace prax::http
