#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace prax::server {

//! Everything that an operator can set. settings_table() says the names, help texts and defaults.
struct Settings {
  std::string host = "127.0.0.1";
  uint16_t port = 8000;
  std::filesystem::path data;
  std::string database, storage;
  std::map<std::string, std::string> models, aliases, loras;
  std::filesystem::path upscaler;  //!< a latent upsampler's folder; "" for none
  std::string dtype;               //!< "": what each model is stored for
  int workers = 1;
  int worker_threads = 0;
  int quality = 16;  //!< rate factor of videos
  std::chrono::milliseconds lease{30'000};
  std::chrono::milliseconds retry_after{60'000};
  int http_threads = 4;

  bool studio = true;
  std::filesystem::path studio_folder;  //!< "": where it was installed or built

  bool no_keys = false;
  std::filesystem::path tls_certificate, tls_key;
  std::vector<std::string> cors_origins, allowed_hosts;

  uint64_t max_body = 512u << 20;
  uint64_t max_json = 24u << 20;
  uint64_t max_picture_pixels = 16'000'000;
  double max_seconds = 120;
  int max_connections = 4096;
  int max_streams_per_key = 1200;
  std::chrono::milliseconds header_timeout{10'000}, body_timeout{30'000}, idle_timeout{75'000};
  std::chrono::milliseconds heartbeat{15'000}, drain_time{20'000};

  int64_t max_queued = 10'000;
  std::optional<uint64_t> quota;
  std::optional<std::chrono::milliseconds> retention;
  int max_attempts = 5;

  std::filesystem::path review_program;

  bool fetch_urls = true;
  bool private_addresses = false;
  std::chrono::milliseconds fetch_timeout{10'000};
  std::chrono::milliseconds webhook_timeout{10'000};
  int webhook_attempts = 12;
  std::string webhook_secret;

  std::string log_format = "text", log_level = "info";

  //! Whether only programs of this machine can reach the address.
  bool loopback_only() const;
  bool operator==(const Settings&) const = default;
};

//! How a setting is written: one word, several words, a switch, or NAME=VALUE pairs.
enum class SettingShape { word, list, flag, pairs };

//! Who takes a setting: the server, its workers too, or even the commands that only look into its data. All of them
//! read the same file and variables, and leave alone what is not for them.
enum class SettingUser { server, worker, tool };

//! A setting is the flag --max-body, the variable PRAX_MAX_BODY and the key max_body of the file.
struct Setting {
  std::string name;  //!< "max-body"
  SettingShape shape = SettingShape::word;
  std::string value_name;  //!< "BYTES", for help texts
  std::string group;
  std::string help;
  //! Throws Error(usage) that says what the value may be.
  std::function<void(Settings&, const std::vector<std::string>&)> apply;
  SettingUser user = SettingUser::server;

  std::string variable() const;  //!< "PRAX_MAX_BODY"
  std::string key() const;       //!< "max_body"
};

const std::vector<Setting>& settings_table();

//! Words by setting name.
using SettingWords = std::map<std::string, std::vector<std::string>>;

//! The settings of a TOML file. Relative paths in it are taken from its folder. Throws Error(io) when it cannot be
//! read, Error(usage) for broken TOML, unknown keys (with the nearest known one) and values of another type.
SettingWords read_settings_file(const std::filesystem::path& file);

//! Flags go before environment variables, these before the file, the file before the defaults. The file is `config`
//! (the flag --config), else PRAX_CONFIG, else config.toml in the data folder if there is one. `variable` reads the
//! environment. Error(usage) names where a bad value came from.
Settings load_settings(const SettingWords& flags, const std::filesystem::path& config,
                       const std::function<const char*(const char*)>& variable);

//! "30d", "12h", "90s", "250ms"; Error(usage).
std::chrono::milliseconds parse_duration(const std::string& text);
//! "512M", "2G", "1000"; decimal units, KiB/MiB/GiB as written; Error(usage).
uint64_t parse_bytes(const std::string& text);

}  // namespace prax::server
