#pragma once

#include <filesystem>
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
  void run(const CancelToken& stop);

private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace prax::server
