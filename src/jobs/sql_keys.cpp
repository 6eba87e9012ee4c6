#include "base/error.h"
#include "base/hash.h"
#include "base/human.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

const std::string key_columns =
    "id, name, note, hint, scopes, models, requests_per_minute, max_running, max_queued, daily_seconds, max_priority,"
    " created_at, expires_at, revoked_at, last_used_at";

std::optional<int> small(const std::optional<int64_t>& value) {
  if (!value) return std::nullopt;
  return static_cast<int>(*value);
}

Key key_of(Row row) {
  Key k;
  k.id = row.text();
  k.name = row.text();
  k.note = row.text();
  k.hint = row.text();
  k.scopes = static_cast<Scope>(row.integer());
  const json models = json::parse(row.text(), nullptr, false);
  if (!models.is_array()) throw DatabaseProblem(DatabaseProblem::Kind::foreign, "a key's list of models is broken");
  for (const json& model : models) k.models.push_back(model.get<std::string>());
  k.limits.requests_per_minute = small(row.maybe_integer());
  k.limits.max_running = small(row.maybe_integer());
  k.limits.max_queued = small(row.maybe_integer());
  k.limits.daily_seconds = row.maybe_real();
  k.limits.max_priority = static_cast<int>(row.integer());
  k.created_at = row.time();
  k.expires_at = row.maybe_time();
  k.revoked_at = row.maybe_time();
  k.last_used_at = row.maybe_time();
  return k;
}

std::optional<Key> find_key(Connection& c, const std::string& column, const std::string& value) {
  auto rows = c.run("SELECT " + key_columns + " FROM keys WHERE " + column + " = $1", {value});
  if (rows.empty()) return std::nullopt;
  return key_of(std::move(rows.front()));
}

Value value_or_null(const std::optional<int>& value) { return value ? Value(int64_t{*value}) : Value(); }

//! Enough to tell keys apart, too little to guess one: "prax-3fK...9aQz".
std::string hint_of(const std::string& secret) {
  constexpr size_t shown_first = 8, shown_last = 4;
  return secret.substr(0, shown_first) + "..." + secret.substr(secret.size() - shown_last);
}

void require_key(const NewKey& key) {
  constexpr size_t longest_name = 100, longest_note = 1000;
  const auto is_text = [](const std::string& text) {
    return invalid_utf8_offset(text) == std::string::npos && text.find('\0') == std::string::npos;
  };
  if (key.name.empty() || key.name.size() > longest_name || !is_text(key.name))
    throw Error(ErrorKind::usage, "a key's name must be text of 1 to 100 bytes",
                "name the person or program that uses it");
  if (key.note.size() > longest_note || !is_text(key.note))
    throw Error(ErrorKind::usage, "a key's note must be text of at most 1000 bytes");
  if (key.scopes == Scope::none)
    throw Error(ErrorKind::usage, "a key without scopes can do nothing", "give create, read, delete or admin");
  const auto negative = [](const auto& limit) { return limit && *limit < 0; };
  if (negative(key.limits.requests_per_minute) || negative(key.limits.max_running) || negative(key.limits.max_queued) ||
      (key.limits.daily_seconds && !(*key.limits.daily_seconds >= 0)))
    throw Error(ErrorKind::usage, "a key's limit cannot be negative", "leave it out for no limit");
}

}  // namespace

CreatedKey SqlStore::create_key(const NewKey& key, const std::string& actor) {
  require_key(key);
  constexpr size_t id_bytes = 8;
  const std::string id = "key_" + random_hex(id_bytes), secret = new_secret();
  return database_->write([&](Connection& c) {
    if (!find_key(c, "id", id)) {
      const Time at = now();
      c.run(
          "INSERT INTO keys (id, hash, name, note, hint, scopes, models, requests_per_minute, max_running, max_queued,"
          " daily_seconds, max_priority, created_at, expires_at)"
          " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
          {id, hash_of_secret(secret), key.name, key.note, hint_of(secret), static_cast<int64_t>(key.scopes),
           json(key.models).dump(), value_or_null(key.limits.requests_per_minute),
           value_or_null(key.limits.max_running), value_or_null(key.limits.max_queued),
           jobs::value_or_null(key.limits.daily_seconds), int64_t{key.limits.max_priority}, value_of(at),
           value_of(key.expires_at)});
      next_version(c, "keys");
      append_audit(c, {"key.created", actor, id, {{"name", key.name}, {"scopes", names_of(key.scopes)}}}, at);
    }
    return CreatedKey{find_key(c, "id", id).value(), secret};
  });
}

std::vector<Key> SqlStore::keys() {
  return database_->read([](Connection& c) {
    std::vector<Key> list;
    for (Row& row : c.run("SELECT " + key_columns + " FROM keys WHERE hash IS NOT NULL ORDER BY created_at, id"))
      list.push_back(key_of(std::move(row)));
    return list;
  });
}

std::optional<Key> SqlStore::key(const std::string& id) {
  return database_->read([&](Connection& c) { return find_key(c, "id", id); });
}

std::optional<Key> SqlStore::key_of_hash(const std::string& hash_of_secret) {
  return database_->read([&](Connection& c) { return find_key(c, "hash", hash_of_secret); });
}

int64_t SqlStore::keys_version() {
  return database_->read([](Connection& c) { return counter_value(c, "keys"); });
}

bool SqlStore::revoke_key(const std::string& id, const std::string& actor) {
  return database_->write([&](Connection& c) {
    const auto key = find_key(c, "id", id);
    if (!key || id == local_key_id) return false;
    if (key->revoked_at) return true;
    const Time at = now();
    c.run("UPDATE keys SET revoked_at = $2 WHERE id = $1", {id, value_of(at)});
    c.run("DELETE FROM sessions WHERE key_id = $1", {id});
    next_version(c, "keys");
    append_audit(c, {"key.revoked", actor, id, json::object()}, at);
    return true;
  });
}

int SqlStore::revoke_all_keys(const std::string& actor, const std::string& except_id) {
  return database_->write([&](Connection& c) {
    const Time at = now();
    const auto revoked =
        c.run("UPDATE keys SET revoked_at = $1 WHERE revoked_at IS NULL AND hash IS NOT NULL AND id <> $2 RETURNING id",
              {value_of(at), except_id});
    if (revoked.empty()) return 0;
    c.run("DELETE FROM sessions WHERE key_id NOT IN ($1, $2)", {std::string(local_key_id), except_id});
    next_version(c, "keys");
    for (Row row : revoked) append_audit(c, {"key.revoked", actor, row.text(), {{"all", true}}}, at);
    return static_cast<int>(revoked.size());
  });
}

int SqlStore::cancel_jobs_of(const std::string& key_id, const std::string& actor) {
  return database_->write([&](Connection& c) {
    const Time at = now();
    int cancelled = 0;
    for (Row& row :
         c.run("SELECT " + job_columns +
                   " FROM jobs WHERE key_id = $1 AND status IN ('queued', 'in_progress') AND deleted_at IS NULL",
               {key_id})) {
      const Job job = job_of(std::move(row));
      end_job(c, job, JobStatus::cancelled, {"cancelled", "the job's key was revoked"}, actor, at);
      announce(c, job, "video.failed", at);
      ++cancelled;
    }
    return cancelled;
  });
}

std::optional<CreatedKey> SqlStore::rotate_key(const std::string& id, const std::string& actor) {
  const std::string secret = new_secret(), hash = hash_of_secret(secret);
  return database_->write([&](Connection& c) -> std::optional<CreatedKey> {
    const auto key = find_key(c, "id", id);
    if (!key || key->revoked_at || id == local_key_id || id == studio_key_id) return std::nullopt;
    if (!find_key(c, "hash", hash)) {
      c.run("UPDATE keys SET hash = $2, hint = $3 WHERE id = $1", {id, hash, hint_of(secret)});
      c.run("DELETE FROM sessions WHERE key_id = $1", {id});  // who had the old secret may have signed in with it
      next_version(c, "keys");
      append_audit(c, {"key.rotated", actor, id, json::object()}, now());
    }
    return CreatedKey{find_key(c, "id", id).value(), secret};
  });
}

Key SqlStore::studio_key(const std::string& actor) {
  return database_->write([&](Connection& c) {
    const std::string id = studio_key_id;
    const auto there = find_key(c, "id", id);
    if (there && !there->revoked_at) return *there;
    const Time at = now();
    // "studio" is the hash of no secret.
    c.run(
        "INSERT INTO keys (id, hash, name, note, hint, scopes, models, max_priority, created_at)"
        " VALUES ($1, 'studio', 'studio', $2, '', $3, '[]', 100, $4)"
        " ON CONFLICT (id) DO UPDATE SET revoked_at = NULL",
        {id, std::string("the operator's browser: whoever opens the address that prax serve prints"),
         static_cast<int64_t>(Scope::all), value_of(at)});
    next_version(c, "keys");
    append_audit(c, {"key.created", actor, id, {{"name", "studio"}, {"scopes", names_of(Scope::all)}}}, at);
    return find_key(c, "id", id).value();
  });
}

void SqlStore::open_session(const std::string& hash, const Session& session) {
  database_->write([&](Connection& c) {
    c.run("DELETE FROM sessions WHERE expires_at < $1", {value_of(now())});
    c.run("INSERT INTO sessions (hash, key_id, created_at, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
          {hash, session.key_id, value_of(session.created_at), value_of(session.expires_at)});
    c.run(
        "DELETE FROM sessions WHERE key_id = $1 AND hash <> $2 AND hash NOT IN (SELECT hash FROM sessions"
        " WHERE key_id = $1 AND hash <> $2 ORDER BY created_at DESC, hash LIMIT $3)",
        {session.key_id, hash, int64_t{most_sessions_of_key - 1}});
    append_audit(c, {"session.opened", session.key_id, session.key_id, json::object()}, session.created_at);
  });
}

std::optional<Session> SqlStore::session(const std::string& hash) {
  return database_->read([&](Connection& c) -> std::optional<Session> {
    auto rows = c.run("SELECT key_id, created_at, expires_at FROM sessions WHERE hash = $1 AND expires_at > $2",
                      {hash, value_of(now())});
    if (rows.empty()) return std::nullopt;
    Row& row = rows.front();
    Session session;
    session.key_id = row.text();
    session.created_at = row.time();
    session.expires_at = row.time();
    return session;
  });
}

void SqlStore::close_session(const std::string& hash) {
  database_->write([&](Connection& c) { c.run("DELETE FROM sessions WHERE hash = $1", {hash}); });
}

void SqlStore::note_key_uses(const std::map<std::string, Time>& last_uses) {
  if (last_uses.empty()) return;
  database_->write([&](Connection& c) {
    for (const auto& [id, at] : last_uses)
      c.run("UPDATE keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            {id, value_of(at)});
  });
}

}  // namespace prax::jobs
