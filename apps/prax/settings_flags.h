#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <string>

#include "server/settings.h"

namespace prax::app {

//! The settings that are for the command's kind, as flags of it, and --config. The others come from the same file and
//! variables all the same.
class SettingsFlags {
public:
  SettingsFlags(CLI::App& command, server::SettingUser user);

  //! What flags, environment and file come to; see server::load_settings().
  server::Settings load() const;

private:
  server::SettingWords given() const;

  CLI::App& command_;
  const server::SettingUser user_;
  server::SettingWords words_;
  std::map<std::string, bool> switches_;
  std::string config_;
};

}  // namespace prax::app
