#pragma once

#include <chrono>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "http/message.h"
#include "http/router.h"

namespace prax::http {

struct Limits {
  size_t connections = 4096;
  size_t header_bytes = 32 * 1024;  //!< request line and fields together; more is 431
  size_t header_fields = 100;
  size_t target_bytes = 8 * 1024;                 //!< longer is 414
  uint64_t json_bytes = 24u << 20;                //!< of a JSON body; more is 413
  uint64_t multipart_bytes = 512u << 20;          //!< of a multipart body
  std::chrono::milliseconds header_time{10'000};  //!< from a request's first byte to the end of its header
  std::chrono::milliseconds idle_time{75'000};    //!< between two requests of a connection
  std::chrono::milliseconds body_time{30'000};    //!< a body may take this long, and longer by what came at ...
  uint64_t slowest_bytes_per_second = 8 * 1024;   //!< ... this rate
  std::chrono::milliseconds write_time{60'000};   //!< for each piece of 256 KiB that a client takes
  std::chrono::milliseconds heartbeat{15'000};    //!< silence of an event stream before a comment is sent
};

struct ServerSettings {
  std::string host = "127.0.0.1";                  //!< an address or a name
  uint16_t port = 8000;                            //!< 0: any that is free
  std::filesystem::path certificate, private_key;  //!< PEM; both or none
  std::filesystem::path temporary;                 //!< folder for bodies
  int threads = 4;                                 //!< that run handlers
  Limits limits = {};
};

//! A request that was answered, for logs and counters.
struct Exchange {
  const Request& request;
  std::string_view route;  //!< pattern, or "" when none matched
  int status = 0;
  uint64_t bytes = 0;    //!< of the answer's body that went out
  double seconds = 0;    //!< from the end of the header to the end of the answer
  bool complete = true;  //!< the client took all of it
};

//! What the program above adds. Called from worker threads unless said otherwise.
struct Hooks {
  //! Before a body is read: who is it, may he? Throws HttpError to refuse. Fills Request::caller.
  std::function<void(Request&, const Route&)> gate;
  //! Before so many bytes of a body are kept in files, and again with more where the client announces no length: is
  //! there room? Throws HttpError to refuse. Fills Request::room. Optional.
  std::function<void(Request&, uint64_t bytes)> room;
  //! The answer for whatever went wrong, HttpError among it. May be called from the connections' thread.
  std::function<Response(const std::exception_ptr&, const Request&)> failure;
  //! The last word on an answer's headers. From the connections' thread.
  std::function<void(const Request&, Response&, double seconds)> finish;
  //! From the connections' thread.
  std::function<void(const Exchange&)> log;
};

class Core;

//! Serves until it is told to stop. The connections live on the thread that calls run(), handlers on others.
class Server {
public:
  //! Opens the port. Throws Error(io) when that cannot be, Error(usage) for a certificate that cannot be used.
  Server(ServerSettings settings, Router router, Hooks hooks);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  uint16_t port() const;
  //! Returns after stop(), when all is quiet.
  void run();
  //! New connections are served with these PEM files from now on; those that there are go on with what they have.
  //! Throws Error(usage), and changes nothing, for files that cannot be used and for a server that speaks no TLS. From
  //! any thread, while run() runs or before.
  void renew_certificate(const std::filesystem::path& certificate, const std::filesystem::path& private_key);
  //! No new connections or requests; running requests may end within `grace`; event streams are closed. From any
  //! thread.
  void stop(std::chrono::milliseconds grace);
  //! From any thread.
  size_t connections() const;

private:
  std::unique_ptr<Core> core_;
};

}  // namespace prax::http
