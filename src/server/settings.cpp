#include "server/settings.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "base/error.h"
#include "base/paths.h"
#include "http/target.h"

namespace prax::server {
namespace {

using Words = std::vector<std::string>;

[[noreturn]] void refuse(const std::string& text, const std::string& wanted) {
  throw Error(ErrorKind::usage, "'" + text + "' is not " + wanted);
}

template <typename Number>
Number parse_number(const std::string& text, Number least, Number most) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !(number >= least && number <= most))
    refuse(text, "a number from " + std::to_string(least) + " to " + std::to_string(most));
  return number;
}

//! A number with one of the units behind it.
double with_unit(const std::string& text, const std::vector<std::pair<std::string, double>>& units,
                 const std::string& wanted) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  for (const auto& [name, factor] : units)
    if (error == std::errc() && number >= 0 && unit == name) return number * factor;
  refuse(text, wanted);
}

bool parse_switch(const Words& words) {
  if (words.empty()) return true;
  const std::string& text = words.back();
  if (text.empty() || text == "true" || text == "1" || text == "yes" || text == "on") return true;
  if (text == "false" || text == "0" || text == "no" || text == "off") return false;
  refuse(text, "true or false");
}

std::map<std::string, std::string> parse_pairs(const Words& words) {
  std::map<std::string, std::string> pairs;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    if (equals == 0 || equals == std::string::npos || equals + 1 == word.size()) refuse(word, "of the form NAME=VALUE");
    pairs[word.substr(0, equals)] = word.substr(equals + 1);
  }
  return pairs;
}

std::string one_of(const std::string& text, const std::vector<std::string>& choices) {
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return text;
  std::string list;
  for (const std::string& choice : choices) list += (list.empty() ? "" : " or ") + choice;
  refuse(text, list);
}

//! "~/x" as people mean it.
std::filesystem::path parse_path(const std::string& text) {
  if (text.starts_with("~/") && !home_path().empty()) return home_path() / text.substr(2);
  return text;
}

template <typename Value, typename Parse>
auto word(Value Settings::*member, Parse parse) {
  return [member, parse](Settings& settings, const Words& words) { settings.*member = parse(words.back()); };
}

template <typename Number>
auto number(Number Settings::*member, Number least, Number most) {
  return word(member, [least, most](const std::string& text) { return parse_number<Number>(text, least, most); });
}

auto text(std::string Settings::*member) {
  return word(member, [](const std::string& value) { return value; });
}

auto flag(bool Settings::*member) {
  return [member](Settings& settings, const Words& words) { settings.*member = parse_switch(words); };
}

auto pairs(std::map<std::string, std::string> Settings::*member) {
  return [member](Settings& settings, const Words& words) { settings.*member = parse_pairs(words); };
}

auto list(Words Settings::*member) {
  return [member](Settings& settings, const Words& words) { settings.*member = words; };
}

std::vector<Setting> make_table() {
  using enum SettingShape;
  constexpr const char *where = "Where", *models = "Models", *access = "Access", *limits = "Limits", *queue = "Queue",
                       *calls = "Calls to others", *logs = "Logs";
  constexpr int many = 1'000'000;
  return {
      {"host", word, "ADDRESS", where, "The address to listen on; 0.0.0.0 is every network (127.0.0.1)",
       text(&Settings::host)},
      {"port", word, "N", where, "The port; 0 takes any that is free (8000)",
       number<uint16_t>(&Settings::port, 0, 65535)},
      {"data", word, "DIR", where, "The folder that keeps everything (~/.local/share/praxinoscope)",
       server::word(&Settings::data, parse_path), SettingUser::tool},
      {"database", word, "URL", where, "postgresql://... instead of the folder's SQLite file",
       text(&Settings::database), SettingUser::tool},
      {"storage", word, "PLACE", where, "Another folder for results, or s3://bucket/prefix?endpoint=...",
       text(&Settings::storage), SettingUser::worker},
      {"model", pairs, "NAME=FOLDER", models, "A model to offer, beside the embedded one; may be repeated",
       server::pairs(&Settings::models), SettingUser::worker},
      {"alias", pairs, "NAME=MODEL", models, "Another name of a model: sora-2=ltx-video; may be repeated",
       server::pairs(&Settings::aliases), SettingUser::worker},
      {"lora", pairs, "NAME=FILE", models, "A LoRA that requests may name; may be repeated",
       server::pairs(&Settings::loras), SettingUser::worker},
      {"upscaler", word, "FOLDER", models, "A latent upsampler, which enlarges videos (they are resized)",
       server::word(&Settings::upscaler, parse_path), SettingUser::worker},
      {"dtype", word, "TYPE", models,
       "Arithmetic of the products: bf16, int8 or f32 (int8 for a quantized folder, else bf16)",
       server::word(&Settings::dtype,
                    [](const std::string& t) {
                      return one_of(t, {"bf16", "int8", "f32"});
                    }),
       SettingUser::worker},
      {"workers", word, "N", models, "Worker processes that this server starts; 0: others do the work (1)",
       number<int>(&Settings::workers, 0, 64)},
      {"worker-threads", word, "N", models, "Processors that each worker uses; 0 for all (0)",
       number<int>(&Settings::worker_threads, 0, 1024), SettingUser::worker},
      {"quality", word, "CRF", models, "Rate factor of videos: lower is better and larger (16)",
       number<int>(&Settings::quality, 0, 51), SettingUser::worker},
      {"lease", word, "TIME", models, "When a worker is silent so long, others take its job over (30s)",
       [](Settings& s, const Words& w) {
         // It must outlive a few reports.
         constexpr std::chrono::milliseconds least{1000};
         s.lease = parse_duration(w.back());
         if (s.lease < least) refuse(w.back(), "at least 1s");
       },
       SettingUser::worker},
      {"no-studio", flag, "", where, "Serve no pages, the API alone",
       [](Settings& settings, const Words& words) { settings.studio = !parse_switch(words); }},
      {"studio", word, "DIR", where, "The folder of the built studio (where it was installed or built)",
       server::word(&Settings::studio_folder, parse_path)},
      {"no-keys", flag, "", access, "Let programs of this machine in without a key (loopback only)",
       server::flag(&Settings::no_keys)},
      {"tls-certificate", word, "FILE", access, "PEM certificate chain: serve HTTPS",
       server::word(&Settings::tls_certificate, parse_path)},
      {"tls-key", word, "FILE", access, "PEM private key of the certificate",
       server::word(&Settings::tls_key, parse_path)},
      {"cors-origins", SettingShape::list, "ORIGIN", access, "Web pages' origins that may call the API, or * (none)",
       server::list(&Settings::cors_origins)},
      {"allowed-hosts", SettingShape::list, "NAME", access,
       "Host names that requests without a key may use, beside localhost", server::list(&Settings::allowed_hosts)},
      {"http-threads", word, "N", limits, "Threads that answer requests (4)",
       number<int>(&Settings::http_threads, 1, 256)},
      {"max-body", word, "BYTES", limits, "Largest upload (512M)", server::word(&Settings::max_body, parse_bytes)},
      {"max-json", word, "BYTES", limits, "Largest JSON body (24M)", server::word(&Settings::max_json, parse_bytes)},
      {"max-picture-pixels", word, "N", limits, "Largest picture taken, width times height (16000000)",
       number<uint64_t>(&Settings::max_picture_pixels, 1, 268'435'456)},
      {"max-seconds", word, "S", limits, "Longest video, stitched ones included (120)",
       number<double>(&Settings::max_seconds, 0.01, 86'400)},
      {"max-connections", word, "N", limits, "Clients at once (4096)",
       number<int>(&Settings::max_connections, 1, many)},
      {"max-streams-per-key", word, "N", limits, "Event streams of one key at once (1200)",
       number<int>(&Settings::max_streams_per_key, 1, many)},
      {"header-timeout", word, "TIME", limits, "A request's header must be there in this time (10s)",
       server::word(&Settings::header_timeout, parse_duration)},
      {"body-timeout", word, "TIME", limits, "Its body too, with more time the more came (30s)",
       server::word(&Settings::body_timeout, parse_duration)},
      {"idle-timeout", word, "TIME", limits, "A connection may be silent so long between requests (75s)",
       server::word(&Settings::idle_timeout, parse_duration)},
      {"heartbeat", word, "TIME", limits, "Silence of an event stream before a comment is sent (15s)",
       server::word(&Settings::heartbeat, parse_duration)},
      {"drain-time", word, "TIME", limits, "SIGTERM lets running requests end in this time (20s)",
       server::word(&Settings::drain_time, parse_duration)},
      {"max-queued", word, "N", queue, "Jobs waiting, of all keys (10000)",
       number<int64_t>(&Settings::max_queued, 1, many)},
      {"quota", word, "BYTES", queue, "Results and inputs together may take so much; none for no limit",
       [](Settings& s, const Words& w) {
         s.quota = w.back() == "none" ? std::nullopt : std::optional(parse_bytes(w.back()));
       }},
      {"retention", word, "TIME", queue, "Results are deleted so long after completion; forever to keep them",
       [](Settings& s, const Words& w) {
         s.retention = w.back() == "forever" ? std::nullopt : std::optional(parse_duration(w.back()));
       },
       SettingUser::worker},
      {"max-attempts", word, "N", queue, "A job that ended its worker so often without getting further fails (5)",
       number<int>(&Settings::max_attempts, 1, 1000), SettingUser::worker},
      {"retry-after", word, "TIME", queue, "A job that found the disk full is tried again so much later (60s)",
       server::word(&Settings::retry_after, parse_duration), SettingUser::worker},
      {"review-program", word, "PROGRAM", queue, "Asked before a result is published: see docs/operations.md (none)",
       server::word(&Settings::review_program, parse_path), SettingUser::worker},
      {"fetch-urls", flag, "", calls,
       "Fetch pictures that requests name by URL (true); --fetch-urls=false to forbid it",
       server::flag(&Settings::fetch_urls)},
      {"private-addresses", flag, "", calls, "Webhooks and picture URLs may reach private networks, and use plain HTTP",
       server::flag(&Settings::private_addresses)},
      {"fetch-timeout", word, "TIME", calls, "A picture's URL must answer in this time (10s)",
       server::word(&Settings::fetch_timeout, parse_duration)},
      {"webhook-timeout", word, "TIME", calls, "A webhook's receiver too (10s)",
       server::word(&Settings::webhook_timeout, parse_duration)},
      {"webhook-attempts", word, "N", calls, "Tries before an event is given up (12)",
       number<int>(&Settings::webhook_attempts, 1, 100)},
      {"webhook-secret", word, "SECRET", calls,
       "Signs events to the webhook_url of single requests: whsec_... (unsigned)", text(&Settings::webhook_secret)},
      {"log-format", word, "FORMAT", logs, "text or json (text)",
       server::word(&Settings::log_format,
                    [](const std::string& t) {
                      return one_of(t, {"text", "json"});
                    })},
      {"log-level", word, "LEVEL", logs, "debug, info, warning or error (info)",
       server::word(&Settings::log_level,
                    [](const std::string& t) {
                      return one_of(t, {"debug", "info", "warning", "error"});
                    })},
  };
}

}  // namespace

bool Settings::loopback_only() const { return http::is_loopback_host(host); }

std::string Setting::variable() const {
  std::string variable = "PRAX_" + name;
  std::transform(variable.begin(), variable.end(), variable.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::toupper(c)); });
  return variable;
}

std::string Setting::key() const {
  std::string key = name;
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

const std::vector<Setting>& settings_table() {
  static const std::vector<Setting> table = make_table();
  return table;
}

std::chrono::milliseconds parse_duration(const std::string& text) {
  constexpr double second = 1000, minute = 60 * second, hour = 60 * minute, day = 24 * hour;
  const double milliseconds =
      with_unit(text, {{"ms", 1}, {"s", second}, {"", second}, {"m", minute}, {"min", minute}, {"h", hour}, {"d", day}},
                "a time like 30s, 5m, 12h or 30d");
  constexpr double most = 36500 * day;
  if (milliseconds > most) refuse(text, "a time below a hundred years");
  return std::chrono::milliseconds(static_cast<int64_t>(milliseconds));
}

uint64_t parse_bytes(const std::string& text) {
  constexpr double k = 1e3, ki = 1024;
  const double bytes = with_unit(text,
                                 {{"", 1},
                                  {"B", 1},
                                  {"k", k},
                                  {"K", k},
                                  {"kB", k},
                                  {"KB", k},
                                  {"M", k * k},
                                  {"MB", k * k},
                                  {"G", k * k * k},
                                  {"GB", k * k * k},
                                  {"T", k * k * k * k},
                                  {"TB", k * k * k * k},
                                  {"KiB", ki},
                                  {"MiB", ki * ki},
                                  {"GiB", ki * ki * ki},
                                  {"TiB", ki * ki * ki * ki}},
                                 "a size like 512M, 20G or 1GiB");
  constexpr double most = 1e18;
  if (bytes > most) refuse(text, "a size below an exabyte");
  return static_cast<uint64_t>(bytes);
}

}  // namespace prax::server
