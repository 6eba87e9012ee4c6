#include <fmt/format.h>

#include <ctime>
#include <memory>
#include <optional>

#include "base/error.h"
#include "commands.h"
#include "data_options.h"
#include "output.h"
#include "settings_flags.h"

namespace prax::app {

using nlohmann::json;

namespace {

constexpr const char* actor = "operator";

struct KeysOptions {
  DataOptions place;
  jobs::NewKey key;
  std::string scopes = "create,read,delete", id;
  std::optional<double> expires_days;
  bool json = false, all = false, cancel = false;
};

json time_or_null(const std::optional<jobs::Time>& time) {
  return time ? json(jobs::unix_seconds(*time)) : json(nullptr);
}

template <typename T>
json value_or_null(const std::optional<T>& value) {
  return value ? json(*value) : json(nullptr);
}

json key_json(const jobs::Key& k) {
  return {{"id", k.id},
          {"name", k.name},
          {"note", k.note},
          {"hint", k.hint},
          {"scopes", jobs::names_of(k.scopes)},
          {"models", k.models},
          {"requests_per_minute", value_or_null(k.limits.requests_per_minute)},
          {"max_running", value_or_null(k.limits.max_running)},
          {"max_queued", value_or_null(k.limits.max_queued)},
          {"daily_seconds", value_or_null(k.limits.daily_seconds)},
          {"max_priority", k.limits.max_priority},
          {"created_at", jobs::unix_seconds(k.created_at)},
          {"expires_at", time_or_null(k.expires_at)},
          {"revoked_at", time_or_null(k.revoked_at)},
          {"last_used_at", time_or_null(k.last_used_at)}};
}

std::string day(const std::optional<jobs::Time>& time) {
  if (!time) return "never";
  const std::time_t seconds = jobs::unix_seconds(*time);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &utc)};
}

void show_secret(const jobs::CreatedKey& created, bool as_json) {
  if (as_json) {
    json object = key_json(created.key);
    object["key"] = created.secret;
    print_json(object);
    return;
  }
  fmt::print("{}\n", created.secret);
  std::fflush(stdout);
  fmt::print(stderr, "key {} of {}: keep the line above, it is shown only now\n", created.key.id, created.key.name);
}

void create(KeysOptions& o) {
  constexpr double milliseconds_of_a_day = 24 * 3600 * 1000.0, most_days = 36500;
  o.key.scopes = jobs::scopes_named(o.scopes);
  if (o.expires_days) {
    if (!(*o.expires_days > 0 && *o.expires_days <= most_days))
      throw Error(ErrorKind::usage, "--expires-days must be above 0 and at most 36500", "leave it out for no end");
    o.key.expires_at = jobs::now() + jobs::Milliseconds(static_cast<int64_t>(*o.expires_days * milliseconds_of_a_day));
  }
  const auto folder = o.place.folder(false);
  const auto store = folder.open_store(o.place.database);
  const auto created = store->create_key(o.key, actor);
  anchor_audit(*store, folder);
  show_secret(created, o.json);
}

void list(const KeysOptions& o) {
  const auto store = o.place.folder(true).open_store(o.place.database);
  const auto keys = store->keys();
  if (o.json) {
    json all = json::array();
    for (const jobs::Key& key : keys) {
      json object = key_json(key);
      object["seconds_used_today"] = store->seconds_used_today(key.id);
      all.push_back(std::move(object));
    }
    print_json({{"keys", all}});
    return;
  }
  for (const jobs::Key& key : keys) {
    const char* state = key.revoked_at ? "revoked" : key.active(jobs::now()) ? "active" : "expired";
    fmt::print("{}  {:<8} {:<20} {:<24} used {}\n", key.id, state, key.name, jobs::names_of(key.scopes),
               day(key.last_used_at));
  }
  if (keys.empty())
    fmt::print("no keys; make one with: prax keys create NAME --data {}\n", shell_word(o.place.data.string()));
}

[[noreturn]] void no_such_key(const KeysOptions& o) {
  throw Error(ErrorKind::usage, "there is no key " + o.id + " to do that with", "see `prax keys list`");
}

void revoke(const KeysOptions& o) {
  if (o.all != o.id.empty())
    throw Error(ErrorKind::usage, o.all ? "a key and --all were given" : "no key was named",
                "name a key's id, or give --all");
  const auto folder = o.place.folder(true);
  const auto store = folder.open_store(o.place.database);
  int revoked = 1, cancelled = 0;
  if (o.all)
    revoked = store->revoke_all_keys(actor);
  else if (!store->revoke_key(o.id, actor))
    no_such_key(o);
  if (o.cancel)
    cancelled = o.all ? jobs::cancel_jobs_of_revoked_keys(*store, actor) : store->cancel_jobs_of(o.id, actor);
  anchor_audit(*store, folder);
  if (o.json)
    print_json({{"revoked", revoked}, {"cancelled_jobs", cancelled}});
  else
    fmt::print("{} key{} revoked, {} job{} cancelled\n", revoked, revoked == 1 ? "" : "s", cancelled,
               cancelled == 1 ? "" : "s");
}

void rotate(const KeysOptions& o) {
  const auto folder = o.place.folder(true);
  const auto store = folder.open_store(o.place.database);
  const auto rotated = store->rotate_key(o.id, actor);
  if (!rotated) no_such_key(o);
  anchor_audit(*store, folder);
  show_secret(*rotated, o.json);
}

}  // namespace

void add_keys(CLI::App& app, int&) {
  auto o = std::make_shared<KeysOptions>();
  auto* keys = app.add_subcommand("keys", "Who may use the server");
  keys->require_subcommand(1);
  const auto command = [&](const char* name, const char* help, void (*run)(KeysOptions&)) {
    auto* c = keys->add_subcommand(name, help);
    auto flags = std::make_shared<SettingsFlags>(*c, server::SettingUser::tool);
    c->add_flag("--json", o->json, "One JSON object on stdout");
    c->callback([o, run, flags] {
      o->place = DataOptions(flags->load());
      run(*o);
    });
    return c;
  };

  auto* c = command("create", "Make a key; its secret is shown once", create);
  c->add_option("NAME", o->key.name, "Who it is for")->required()->type_name("");
  c->add_option("--note", o->key.note, "Anything to remember")->type_name("TEXT");
  c->add_option("--scopes", o->scopes, "create,read,delete (default) and admin")->type_name("LIST");
  c->add_option("--models", o->key.models, "Models that it may use (all)")->type_name("LIST")->delimiter(',');
  c->add_option("--expires-days", o->expires_days, "Ends after so many days")->type_name("DAYS");
  c->add_option("--rate", o->key.limits.requests_per_minute, "Requests a minute")->type_name("N");
  c->add_option("--max-running", o->key.limits.max_running, "Jobs in progress at once")->type_name("N");
  c->add_option("--max-queued", o->key.limits.max_queued, "Jobs waiting at once")->type_name("N");
  c->add_option("--daily-seconds", o->key.limits.daily_seconds, "Seconds of video a day")->type_name("S");
  c->add_option("--max-priority", o->key.limits.max_priority, "Highest priority that it may ask for (0)")
      ->type_name("N");
  command("list", "All keys, without their secrets", [](KeysOptions& options) { list(options); });
  c = command("revoke", "Refuse a key from now on, everywhere", [](KeysOptions& options) { revoke(options); });
  c->add_option("ID", o->id, "Which key")->type_name("");
  c->add_flag("--all", o->all, "All keys");
  c->add_flag("--cancel", o->cancel, "Cancel its waiting and running jobs too");
  c = command("rotate", "A new secret for a key; the old one is refused",
              [](KeysOptions& options) { rotate(options); });
  c->add_option("ID", o->id, "Which key")->required()->type_name("");
}

}  // namespace prax::app
