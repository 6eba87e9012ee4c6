#include "settings_flags.h"

#include <cstdlib>

namespace prax::app {

SettingsFlags::SettingsFlags(CLI::App& command, server::SettingUser user) : command_(command), user_(user) {
  command.add_option("--config", config_, "The server's TOML file of settings (config.toml in the data folder)")
      ->type_name("FILE")
      ->group("Where");
  for (const server::Setting& setting : server::settings_table()) {
    if (setting.user < user) continue;
    const std::string flag = "--" + setting.name;
    if (setting.shape == server::SettingShape::flag) {
      command.add_flag(flag, switches_[setting.name], setting.help)->group(setting.group);
      continue;
    }
    auto* option = command.add_option(flag, words_[setting.name], setting.help)
                       ->type_name(setting.value_name)
                       ->group(setting.group)
                       ->allow_extra_args(false);
    if (setting.shape == server::SettingShape::word) option->expected(1);
  }
}

server::SettingWords SettingsFlags::given() const {
  server::SettingWords given;
  for (const server::Setting& setting : server::settings_table()) {
    if (setting.user < user_ || command_.count("--" + setting.name) == 0) continue;
    if (setting.shape == server::SettingShape::flag)
      given[setting.name] = {switches_.at(setting.name) ? "true" : "false"};
    else
      given[setting.name] = words_.at(setting.name);
  }
  return given;
}

server::Settings SettingsFlags::load() const {
  return server::load_settings(given(), config_, [](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace prax::app
