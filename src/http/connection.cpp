#include <algorithm>
#include <array>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

#include "base/error.h"
#include "http/core.h"
#include "http/deadline.h"
#include "http/multipart.h"
#include "http/reply.h"
#include "http/target.h"

namespace prax::http {
namespace {

namespace beast = boost::beast;
using Clock = std::chrono::steady_clock;
using boost::system::error_code;
using Parser = beast::http::request_parser<beast::http::buffer_body>;

constexpr size_t body_piece = 64 * 1024;
constexpr size_t file_piece = 256 * 1024;
constexpr size_t body_memory = 256 * 1024;  // a longer body waits in a file for its end
constexpr uint64_t room_step = 4 << 20;     // for a body whose length is not announced
constexpr auto linger_time = std::chrono::seconds(10);
// For a TLS client's own word at the end, which it need not say (RFC 8446, 6.1).
constexpr auto farewell_time = std::chrono::seconds(1);

constexpr auto as_tuple = asio::as_tuple(asio::use_awaitable);

//! The client is gone or broke the protocol: nothing can be said to him any more.
struct Gone {};

template <typename Stream>
class Connection {
public:
  Connection(Core& core, Stream& stream, Peer peer)
      : core_(core),
        stream_(stream),
        peer_(std::move(peer)),
        deadline_(socket()),
        buffer_(core.settings.limits.header_bytes + body_piece) {}

  asio::awaitable<void> run() {
    handle_ = core_.enter([this] {
      error_code ignored;
      socket().cancel(ignored);
    });
    try {
      if (co_await handshake())
        while (co_await one_request()) {
        }
    } catch (const Gone&) {
    } catch (const std::exception&) {  // memory, or a bug: this client alone pays for it
    }
    co_await say_goodbye();
    core_.leave(handle_);
  }

private:
  static constexpr bool is_tls = !std::is_same_v<Stream, tcp::socket>;

  tcp::socket& socket() {
    if constexpr (is_tls)
      return stream_.next_layer();
    else
      return stream_;
  }
  const Limits& limits() const { return core_.settings.limits; }

  asio::awaitable<bool> handshake() {
    if constexpr (is_tls) {
      deadline_.after(limits().header_time);
      auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, as_tuple);
      co_return !error;
    }
    co_return true;
  }

  //! A client that still sends must be heard out for a while, or the answer is lost with the connection's reset.
  asio::awaitable<void> say_goodbye() {
    error_code ignored;
    if constexpr (is_tls) {
      if (orderly_) {
        deadline_.after(farewell_time);
        co_await stream_.async_shutdown(as_tuple);
      }
    }
    if (unread_) {
      socket().shutdown(tcp::socket::shutdown_send, ignored);
      deadline_.after(linger_time);
      std::vector<char> waste(body_piece);
      for (;;) {
        auto [error, count] = co_await socket().async_read_some(asio::buffer(waste), as_tuple);
        if (error) break;
      }
    }
    socket().shutdown(tcp::socket::shutdown_both, ignored);
    socket().close(ignored);
  }

  //! Waits for a request and answers it; false when the connection is to end.
  asio::awaitable<bool> one_request() {
    handle_->idle = true;
    handle_->idle_since = Clock::now();
    if (core_.draining()) co_return false;
    if (buffer_.size() == 0) {
      deadline_.after(limits().idle_time);
      auto [error, count] = co_await stream_.async_read_some(buffer_.prepare(first_read), as_tuple);
      if (error) co_return false;
      buffer_.commit(count);
    }
    handle_->idle = false;
    Parser parser;
    parser.header_limit(static_cast<uint32_t>(limits().header_bytes));
    parser.body_limit(boost::none);
    deadline_.after(limits().header_time);
    auto [error, count] = co_await beast::http::async_read_header(stream_, buffer_, parser, as_tuple);
    Request request;
    request.id = new_request_id();
    request.peer = peer_;
    started_ = Clock::now();
    if (error) co_return co_await refuse_header(request, error);
    fill(request, parser.get());
    co_return co_await answer(request, parser);
  }

  //! Whether Beast says of bytes that they are no HTTP; a connection that ended is another matter.
  static bool is_malformed(error_code error) {
    using http = beast::http::error;
    return error.category() == beast::http::make_error_code(http::bad_method).category() &&
           error != http::end_of_stream && error != http::partial_message;
  }

  asio::awaitable<bool> refuse_header(Request& request, error_code error) {
    using http = beast::http::error;
    unread_ = true;
    std::exception_ptr problem;
    if (error == http::header_limit || error == http::buffer_overflow)
      problem = std::make_exception_ptr(
          HttpError(431, "headers_too_large",
                    "The request's header has more than " + std::to_string(limits().header_bytes) + " bytes"));
    else if (deadline_.passed())
      problem = std::make_exception_ptr(HttpError(408, "request_timeout", "The request's header came too slowly"));
    else if (error == http::bad_version)
      problem = std::make_exception_ptr(HttpError(505, "http_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here"));
    else if (is_malformed(error))
      problem = std::make_exception_ptr(HttpError(400, "bad_request", "The request is no HTTP: " + error.message()));
    else
      throw Gone{};
    Response response = core_.hooks.failure(problem, request);
    co_await send(request, response, "", false);
    co_return false;
  }

  template <typename Message>
  void fill(Request& request, const Message& message) {
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) request.headers.add(std::string(field.name_string()), std::string(field.value()));
  }

  //! Where a body ends must be beyond doubt, or a proxy in front and we take different bytes for the next request
  //! (RFC 9112, 6.3 and 11.2).
  static void check_framing(const Request& request, unsigned version) {
    const std::string length = request.headers.joined("content-length");
    if (length.find_first_not_of("0123456789") != std::string::npos)
      throw HttpError(400, "bad_content_length", "A request has one Content-Length, which is a number");
    if (!request.headers.contains("transfer-encoding")) return;
    if (version < 11 || request.headers.contains("content-length"))
      throw HttpError(400, "bad_transfer_encoding",
                      "Transfer-Encoding goes together with neither HTTP/1.0 nor Content-Length");
    if (!equal_ignoring_case(request.headers.joined("transfer-encoding"), "chunked"))
      throw HttpError(501, "unknown_transfer_encoding", "The only Transfer-Encoding that is known here is chunked");
  }

  void check(Request& request, unsigned version) const {
    if (request.headers.size() > limits().header_fields)
      throw HttpError(431, "too_many_headers",
                      "The request has more than " + std::to_string(limits().header_fields) + " header fields");
    if (request.target.size() > limits().target_bytes)
      throw HttpError(414, "target_too_long", "The request's address is too long");
    const std::string hosts = request.headers.joined("host");
    if ((version >= 11 && !request.headers.contains("host")) || hosts.find(',') != std::string::npos)
      throw HttpError(400, "bad_host", "An HTTP/1.1 request names its host once");
    auto target = parse_target(request.target);
    if (!target) throw HttpError(400, "bad_target", "The request's address cannot be read");
    request.path = std::move(target->path);
    request.query = std::move(target->query);
  }

  //! The route, or an error that says why there is none.
  std::shared_ptr<const Route> route_of(Request& request) const {
    const auto match = core_.router.match(request);
    if (match.route) return match.route;
    if (match.allowed.empty())
      throw HttpError(404, "unknown_url", "There is nothing at " + request.method + " " + request.path.substr(0, 200));
    std::string allowed;
    for (const std::string& method : match.allowed) allowed += (allowed.empty() ? "" : ", ") + method;
    if (request.method == "OPTIONS") throw HttpError(204, "").with("allow", allowed);
    throw HttpError(405, "method_not_allowed", request.path.substr(0, 200) + " takes " + allowed)
        .with("allow", allowed);
  }

  asio::awaitable<bool> answer(Request& request, Parser& parser) {
    std::shared_ptr<const Route> route;
    Response response;
    std::exception_ptr problem;
    const bool has_body = !parser.is_done();
    bool body_read = !has_body, framed = false;
    try {
      check_framing(request, parser.get().version());
      framed = true;
      check(request, parser.get().version());
      route = route_of(request);
      const Work gate = [this, has_body, &request, &route] {
        core_.hooks.gate(request, *route);
        if (!has_body) require_no_body(*route);
      };
      const Work handle = [&request, &response, &route] {
        response = route->handler(request);
        compress_if_wanted(request, response);
      };
      if (has_body || route->slow) {
        co_await core_.blocking(gate);
        if (has_body) co_await read_body(request, *route, parser);
        body_read = true;
        co_await core_.blocking(handle, route->slow);
      } else {
        const Work both = [&gate, &handle] {
          gate();
          handle();
        };
        co_await core_.blocking(both);
      }
    } catch (const Gone&) {
      throw;
    } catch (...) {
      problem = std::current_exception();
    }
    request.body = {};
    request.room.reset();
    if (problem) response = core_.hooks.failure(problem, request);
    const bool keep = parser.get().keep_alive() && framed && body_read && !core_.draining();
    unread_ = !framed || !body_read;
    const std::string_view pattern = route ? std::string_view(route->pattern) : std::string_view();
    co_return co_await send(request, response, pattern, keep);
  }

  static void require_no_body(const Route& route) {
    const BodyPolicy& policy = route.body;
    if ((policy.json || policy.multipart) && !policy.optional)
      throw HttpError(400, "missing_body",
                      policy.json ? "The request needs a JSON body" : "The request needs a multipart body");
  }

  asio::awaitable<void> read_body(Request& request, const Route& route, Parser& parser) {
    const auto type = parse_parameterized(request.headers.get("content-type"));
    const auto announced = parser.content_length();
    if (const auto coding = request.headers.find("content-encoding");
        coding && !equal_ignoring_case(*coding, "identity"))
      throw HttpError(415, "unsupported_content_encoding", "The body must come as it is, without Content-Encoding");
    const bool wants = route.body.json || route.body.multipart;
    request.body.content_type = type.value;
    request.body.multipart = route.body.multipart && type.value == "multipart/form-data";
    const bool json = route.body.json && (type.value == "application/json" || type.value.ends_with("+json"));
    if (wants && !json && !request.body.multipart)
      throw HttpError(415, "unsupported_media_type",
                      std::string("The body must be ") + (route.body.multipart ? "multipart/form-data" : "") +
                          (route.body.multipart && route.body.json ? " or " : "") +
                          (route.body.json ? "application/json" : ""));
    // A body where none is wanted is read and forgotten, if it is small: clients send "{}" with DELETE.
    const uint64_t usual = request.body.multipart ? limits().multipart_bytes : wants ? limits().json_bytes : body_piece;
    const uint64_t limit = route.body.limit ? std::min(route.body.limit, usual) : usual;
    const auto too_large = [limit] {
      return HttpError(413, "body_too_large",
                       "The body has more than the " + std::to_string(limit) + " bytes that are taken here");
    };
    if (announced && *announced > limit) throw too_large();
    MultipartLimits part_limits;
    uint64_t room = request.body.multipart ? part_limits.part_memory : body_memory;
    const Work make_room = [this, &request, &room] { core_.hooks.room(request, room); };
    if (announced && *announced > room && core_.hooks.room) {
      room = *announced;
      co_await core_.blocking(make_room);
    }
    co_await expect_continue(request);

    std::optional<MultipartReader> reader;
    if (request.body.multipart) {
      part_limits.folder = core_.settings.temporary;
      reader.emplace(type.find("boundary").value_or(""), part_limits);
    } else {
      request.body.content = Spool(core_.settings.temporary, body_memory);
    }
    std::vector<char> piece(body_piece);
    uint64_t received = 0;
    const auto begin = Clock::now();
    while (!parser.is_done()) {
      const auto allowance = std::chrono::seconds((received + body_piece) / limits().slowest_bytes_per_second);
      deadline_.at(begin + limits().body_time + allowance);
      auto& body = parser.get().body();
      body.data = piece.data();
      body.size = piece.size();
      body.more = true;
      auto [error, count] = co_await beast::http::async_read(stream_, buffer_, parser, as_tuple);
      if (deadline_.passed()) throw HttpError(408, "request_timeout", "The body came too slowly");
      if (error && error != beast::http::error::need_buffer) {
        if (is_malformed(error)) throw HttpError(400, "bad_request", "The body is no HTTP: " + error.message());
        throw Gone{};
      }
      const std::string_view bytes(piece.data(), piece.size() - body.size);
      received += bytes.size();
      if (received > limit) throw too_large();
      if (!wants || bytes.empty()) continue;
      if (received > room && core_.hooks.room) {
        room = std::min(limit, received + room_step);
        co_await core_.blocking(make_room);
      }
      const Work keep = [&] {
        if (reader)
          reader->feed(bytes);
        else
          request.body.content.append(bytes);
      };
      co_await core_.blocking(keep);
    }
    if (reader) request.body.parts = reader->finish();
    if (wants && !reader && received == 0) require_no_body(route);
  }

  asio::awaitable<void> expect_continue(const Request& request) {
    const auto expectation = request.headers.find("expect");
    if (!expectation) co_return;
    if (!equal_ignoring_case(*expectation, "100-continue"))
      throw HttpError(417, "expectation_failed", "The only expectation that is met here is 100-continue");
    co_await write("HTTP/1.1 100 Continue\r\n\r\n");
  }

  asio::awaitable<void> write(std::string_view bytes) {
    while (!bytes.empty()) {
      deadline_.after(limits().write_time);
      const auto piece = asio::buffer(bytes.data(), std::min(bytes.size(), file_piece));
      auto [error, count] = co_await asio::async_write(stream_, piece, as_tuple);
      if (error) throw Gone{};
      bytes.remove_prefix(count);
      sent_ += count;
    }
  }

  //! Sends the answer; whether another request may follow.
  asio::awaitable<bool> send(const Request& request, Response& response, std::string_view route, bool keep) {
    const auto seconds = [this] { return std::chrono::duration<double>(Clock::now() - started_).count(); };
    core_.hooks.finish(request, response, seconds());
    const auto* text = std::get_if<std::string>(&response.body);
    const auto* download = std::get_if<Download>(&response.body);
    const auto* stream = std::get_if<std::shared_ptr<EventStream>>(&response.body);
    const uint64_t length = text ? text->size() : download ? download->length : 0;
    const bool bodyless = request.method == "HEAD" || is_bodyless(response.status);
    bool complete = false;
    uint64_t header_size = 0;
    sent_ = 0;
    try {
      std::string head = header_text(response, length, keep);
      header_size = head.size();
      if (text && !bodyless && text->size() < file_piece) {  // one packet for the usual answer
        head += *text;
        co_await write(head);
      } else {
        co_await write(head);
        if (text && !bodyless) co_await write(*text);
        if (download && !bodyless) co_await write_download(*download);
      }
      if (stream && !bodyless) co_await write_events(*stream);
      complete = true;
    } catch (const Gone&) {
    }
    if (stream) (*stream)->close();
    const uint64_t body_sent = sent_ > header_size ? sent_ - header_size : 0;
    core_.hooks.log({request, route, response.status, body_sent, seconds(), complete});
    orderly_ = complete;
    co_return complete&& keep && !stream;
  }

  asio::awaitable<void> write_download(const Download& download) {
    std::vector<char> piece(std::min<uint64_t>(file_piece, download.length));
    for (uint64_t done = 0; done < download.length;) {
      const size_t wanted = std::min<uint64_t>(piece.size(), download.length - done);
      size_t got = 0;
      try {
        const Work fetch = [&] { got = download.source->read({piece.data(), wanted}); };
        co_await core_.blocking(fetch);
      } catch (const Error&) {
        got = 0;
      }
      if (got == 0) throw Gone{};  // it shrank or cannot be read: only an early end says so
      const std::string_view bytes(piece.data(), got);
      co_await write(bytes);
      done += got;
    }
  }

  asio::awaitable<void> write_events(const std::shared_ptr<EventStream>& stream) {
    // The timer outlives the callbacks that reach for it: the stream may live longer than the connection.
    const auto executor = co_await asio::this_coro::executor;
    const auto timer = std::make_shared<asio::steady_timer>(executor);
    const auto woken = std::make_shared<bool>(false);
    stream->on_wake([executor, timer, woken] {
      asio::post(executor, [timer, woken] {
        *woken = true;
        timer->cancel();
      });
    });
    handle_->stream = stream;
    if (core_.draining()) stream->close();
    // A client that hangs up, or says anything at all, is done with the stream.
    socket().async_wait(tcp::socket::wait_read, [weak = std::weak_ptr(stream)](error_code) {
      if (const auto open = weak.lock()) open->close();
    });
    co_await write(": ready\n\n");
    for (;;) {
      *woken = false;
      const bool closed = stream->closed();  // before take(): what was sent before the end goes out
      const std::string text = stream->take();
      if (!text.empty()) co_await write(text);
      if (closed) break;
      if (*woken) continue;
      timer->expires_after(limits().heartbeat);
      auto [error] = co_await timer->async_wait(as_tuple);
      if (!error && !*woken) co_await write(": still here\n\n");
    }
    stream->on_wake(nullptr);
    error_code ignored;
    socket().cancel(ignored);
  }

  static constexpr size_t first_read = 4096;

  Core& core_;
  Stream& stream_;
  Peer peer_;
  Deadline deadline_;
  beast::flat_buffer buffer_;  //!< of limited size: lines of chunks and trailers are part of no body's limit
  std::list<Handle>::iterator handle_;
  Clock::time_point started_ = Clock::now();
  uint64_t sent_ = 0;
  bool unread_ = false;   //!< the client may still be sending
  bool orderly_ = false;  //!< a TLS connection ends with a word
};

}  // namespace

asio::awaitable<void> serve_plain(Core& core, tcp::socket socket, Peer peer) {
  Connection connection(core, socket, std::move(peer));
  co_await connection.run();
}

asio::awaitable<void> serve_tls(Core& core, tcp::socket socket, std::shared_ptr<asio::ssl::context> context,
                                Peer peer) {
  asio::ssl::stream<tcp::socket> stream(std::move(socket), *context);
  Connection connection(core, stream, std::move(peer));
  co_await connection.run();
}

}  // namespace prax::http
