#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/cancellation.h"
#include "server/settings.h"

namespace prax::server {

//! The whole server: opens the data folder, listens, starts its workers, and serves until it is told to stop.
class Application {
public:
  //! Throws Error(usage) when it must not start: beyond loopback without any key, or with no key and no permission to
  //! go without. Error(io) when port, data or database cannot be used.
  //! `program worker` is what does the jobs; without a program no workers are started, whatever the settings say.
  Application(Settings settings, const std::filesystem::path& program);
  ~Application();

  uint16_t port() const;
  std::string url() const;
  //! The studio's address, with the token that signs its browser in; "" without studio.
  std::string studio_url() const;
  //! Returns when `stop` was raised and everything has ended: no new jobs, requests in flight answered, event streams
  //! closed, the workers' runs saved and given back.
  //! Whenever `reload_asked` says so (once for each wish), the settings are read again with `read_settings`: the TLS
  //! certificate and its key and the log's level are taken from them without a connection noticing; all else is for the
  //! next start. What cannot be used is refused with a line in the log, and everything stays as it was.
  struct Reload {
    std::function<bool()> reload_asked;
    std::function<Settings()> read_settings;
  };
  void run(const CancelToken& stop, const Reload& reload = {});

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prax::server
