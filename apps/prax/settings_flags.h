#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <string>

#include "server/settings.h"

namespace prax::app {

//! The server's settings as flags of a command, and --config.
class SettingsFlags {
public:
  explicit SettingsFlags(CLI::App& command);

  //! What flags, environment and file come to; see server::load_settings().
  server::Settings load() const;

private:
  server::SettingWords given() const;

  CLI::App& command_;
  server::SettingWords words_;
  std::map<std::string, bool> switches_;
  std::string config_;
};

}  // namespace prax::app
