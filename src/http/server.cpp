#include "http/server.h"

#include "base/error.h"
#include "http/core.h"

namespace prax::http {
namespace {

constexpr std::chrono::milliseconds accept_pause{100};
constexpr size_t spare_connections = 64;  // beyond the limit, while those that make room for them end

std::shared_ptr<asio::ssl::context> make_tls(const std::filesystem::path& certificate,
                                             const std::filesystem::path& private_key) {
  auto shared = std::make_shared<asio::ssl::context>(asio::ssl::context::tls_server);
  asio::ssl::context& context = *shared;
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_sslv2 |
                      asio::ssl::context::no_sslv3 | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  boost::system::error_code error;
  context.use_certificate_chain_file(certificate.string(), error);
  if (error)
    throw Error(ErrorKind::usage, "the certificate " + certificate.string() + " cannot be used: " + error.message(),
                "it is a PEM file with the server's certificate first and those that sign it behind");
  context.use_private_key_file(private_key.string(), asio::ssl::context::pem, error);
  if (error)
    throw Error(ErrorKind::usage, "the key " + private_key.string() + " cannot be used: " + error.message(),
                "it is a PEM file with the private key of the certificate, without a password");
  // Less memory for the thousands of connections that only wait.
  SSL_CTX_set_mode(context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
  return shared;
}

}  // namespace

Core::Core(ServerSettings settings_given, Router router_given, Hooks hooks_given)
    : settings(std::move(settings_given)),
      router(std::move(router_given)),
      hooks(std::move(hooks_given)),
      pool_(static_cast<size_t>(std::max(1, settings.threads))),
      slow_pool_(static_cast<size_t>(std::max(1, settings.threads))) {
  if (!settings.certificate.empty()) tls_ = make_tls(settings.certificate, settings.private_key);
  const std::string place = settings.host + " port " + std::to_string(settings.port);
  boost::system::error_code error;
  tcp::resolver resolver(io_);
  const auto found = resolver.resolve(settings.host, std::to_string(settings.port),
                                      tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error || found.empty())
    throw Error(ErrorKind::usage, "\"" + settings.host + "\" is no address to listen on: " + error.message(),
                "use 127.0.0.1 for this machine alone, or 0.0.0.0 for every network");
  const tcp::endpoint endpoint = *found.begin();
  acceptor_.open(endpoint.protocol());
  acceptor_.set_option(tcp::acceptor::reuse_address(true));
  acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(tcp::acceptor::max_listen_connections, error);
  if (error)
    throw Error(ErrorKind::io, "cannot listen on " + place + ": " + error.message(),
                "another program may use the port; choose another with --port");
}

void Core::run() {
  asio::co_spawn(io_, accept(), asio::detached);
  io_.run();
  pool_.join();
  slow_pool_.join();
}

asio::awaitable<void> Core::accept() {
  for (;;) {
    auto [error, socket] = co_await acceptor_.async_accept(asio::as_tuple(asio::use_awaitable));
    if (draining_) co_return;
    if (error) {  // no descriptors left, or a client that went at once
      asio::steady_timer pause(io_, accept_pause);
      co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
      continue;
    }
    serve(std::move(socket));
  }
}

void Core::serve(tcp::socket socket) {
  boost::system::error_code error;
  Peer peer;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return;
  auto address = endpoint.address();
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  peer.address = address.to_string();
  peer.loopback = address.is_loopback();
  peer.secure = tls_ != nullptr;
  socket.set_option(tcp::no_delay(true), error);
  // Connections that ask for nothing keep nobody out.
  if (connections_ >= settings.limits.connections + spare_connections ||
      (connections_ >= settings.limits.connections && !close_idlest())) {
    if (!tls_) {
      socket.non_blocking(true, error);
      constexpr std::string_view full =
          "HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
      socket.write_some(asio::buffer(full), error);
    }
    return;
  }
  if (tls_)
    asio::co_spawn(io_, serve_tls(*this, std::move(socket), tls_, std::move(peer)), asio::detached);
  else
    asio::co_spawn(io_, serve_plain(*this, std::move(socket), std::move(peer)), asio::detached);
}

asio::awaitable<void> Core::blocking(const Work& work, bool slow) {
  auto initiate = [this, &work, slow](auto handler) {
    asio::post(slow ? slow_pool_ : pool_, [this, &work, handler = std::move(handler)]() mutable {
      std::exception_ptr problem;
      try {
        work();
      } catch (...) {
        problem = std::current_exception();
      }
      asio::post(io_, [handler = std::move(handler), problem]() mutable { std::move(handler)(problem); });
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(std::exception_ptr)>(initiate,
                                                                                          asio::use_awaitable);
}

//! Ends the connection that has waited longest for a request; false when none waits.
bool Core::close_idlest() {
  Handle* idlest = nullptr;
  for (Handle& handle : handles_)
    if (handle.idle && (!idlest || handle.idle_since < idlest->idle_since)) idlest = &handle;
  if (!idlest) return false;
  idlest->idle = false;  // it is on its way out
  idlest->close_idle();
  return true;
}

std::list<Handle>::iterator Core::enter(std::function<void()> close_idle) {
  ++connections_;
  handles_.push_back({std::move(close_idle)});
  return std::prev(handles_.end());
}

void Core::leave(std::list<Handle>::iterator handle) {
  handles_.erase(handle);
  --connections_;
  finish_if_quiet();
}

void Core::finish_if_quiet() {
  if (draining_ && handles_.empty()) {
    deadline_.cancel();
    io_.stop();
  }
}

void Core::renew_certificate(const std::filesystem::path& certificate, const std::filesystem::path& private_key) {
  if (settings.certificate.empty())
    throw Error(ErrorKind::usage, "the server was started without TLS", "start it again to serve HTTPS");
  auto renewed = make_tls(certificate, private_key);
  asio::post(io_, [this, renewed = std::move(renewed)]() mutable { tls_ = std::move(renewed); });
}

void Core::stop(std::chrono::milliseconds grace) {
  asio::post(io_, [this, grace] {
    if (draining_.exchange(true)) return;
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    std::vector<std::function<void()>> idle;
    for (Handle& handle : handles_) {
      if (const auto stream = handle.stream.lock()) stream->close();
      if (handle.idle) idle.push_back(handle.close_idle);
    }
    for (const auto& close : idle) close();
    deadline_.expires_after(grace);
    deadline_.async_wait([this](boost::system::error_code error) {
      if (!error) io_.stop();
    });
    finish_if_quiet();
  });
}

Server::Server(ServerSettings settings, Router router, Hooks hooks)
    : core_(std::make_unique<Core>(std::move(settings), std::move(router), std::move(hooks))) {}
Server::~Server() = default;
uint16_t Server::port() const { return core_->port(); }
void Server::run() { core_->run(); }
void Server::renew_certificate(const std::filesystem::path& certificate, const std::filesystem::path& private_key) {
  core_->renew_certificate(certificate, private_key);
}
void Server::stop(std::chrono::milliseconds grace) { core_->stop(grace); }
size_t Server::connections() const { return core_->connections(); }

}  // namespace prax::http
