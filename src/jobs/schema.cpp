#include "jobs/schema.h"

#include "base/error.h"

namespace prax::jobs {

namespace {

// Times are milliseconds since 1970, flags 0 or 1, lists and objects JSON.
const std::vector<std::string> version_1 = {
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO counters (name, value) VALUES ('jobs', 0), ('keys', 0)",

    "CREATE TABLE keys ("
    " id TEXT PRIMARY KEY, hash TEXT UNIQUE, name TEXT NOT NULL, note TEXT NOT NULL, hint TEXT NOT NULL,"
    " scopes BIGINT NOT NULL, models TEXT NOT NULL,"
    " requests_per_minute BIGINT, max_running BIGINT, max_queued BIGINT, daily_seconds DOUBLE PRECISION,"
    " max_priority BIGINT NOT NULL,"
    " created_at BIGINT NOT NULL, expires_at BIGINT, revoked_at BIGINT, last_used_at BIGINT,"
    " served BIGINT NOT NULL DEFAULT 0)",  // the version at which a job of it was begun last

    "CREATE TABLE jobs ("
    " id TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id), kind TEXT NOT NULL, status TEXT NOT NULL,"
    " percent BIGINT NOT NULL DEFAULT 0, stage TEXT NOT NULL DEFAULT '', step BIGINT NOT NULL DEFAULT 0,"
    " steps BIGINT NOT NULL DEFAULT 0, seconds_left DOUBLE PRECISION, preview BIGINT NOT NULL DEFAULT 0,"
    " model TEXT NOT NULL, requested_model TEXT NOT NULL, prompt TEXT NOT NULL, settings TEXT NOT NULL,"
    " seconds DOUBLE PRECISION NOT NULL, inputs TEXT NOT NULL, results TEXT NOT NULL DEFAULT '[]',"
    " metadata TEXT NOT NULL, webhook_url TEXT NOT NULL, source_id TEXT, priority BIGINT NOT NULL,"
    " attempts BIGINT NOT NULL DEFAULT 0, error_code TEXT, error_message TEXT NOT NULL DEFAULT '',"
    " inference_seconds DOUBLE PRECISION NOT NULL DEFAULT 0, peak_memory_mb DOUBLE PRECISION NOT NULL DEFAULT 0,"
    " created_at BIGINT NOT NULL, started_at BIGINT, completed_at BIGINT, expires_at BIGINT,"
    " disposed BIGINT NOT NULL DEFAULT 0, worker TEXT NOT NULL DEFAULT '', version BIGINT NOT NULL,"
    // Not seen from outside:
    " charged_seconds DOUBLE PRECISION NOT NULL, charged_day BIGINT NOT NULL,"
    " stored_bytes BIGINT NOT NULL,"
    " fruitless BIGINT NOT NULL DEFAULT 0,"  // attempts since it was further than ever
    " fence BIGINT NOT NULL DEFAULT 0, lease_until BIGINT NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '',"
    " not_before BIGINT NOT NULL DEFAULT 0, deleted_at BIGINT)",
    "CREATE INDEX jobs_queue ON jobs (status, key_id, priority, created_at, id)",
    "CREATE INDEX jobs_of_key ON jobs (key_id, created_at, id)", "CREATE INDEX jobs_by_time ON jobs (created_at, id)",
    "CREATE UNIQUE INDEX jobs_by_version ON jobs (version)",
    "CREATE INDEX jobs_deleted ON jobs (deleted_at) WHERE deleted_at IS NOT NULL",
    "CREATE INDEX jobs_undisposed ON jobs (status, expires_at) WHERE disposed = 0",
    "CREATE INDEX jobs_stored ON jobs (stored_bytes) WHERE stored_bytes > 0",

    "CREATE TABLE deletions (version BIGINT PRIMARY KEY, job_id TEXT NOT NULL, at BIGINT NOT NULL)",
    "CREATE TABLE previews (job_id TEXT PRIMARY KEY, picture TEXT NOT NULL)",
    "CREATE TABLE idempotency (key_id TEXT NOT NULL, name TEXT NOT NULL, request_hash TEXT NOT NULL,"
    " job_id TEXT NOT NULL, created_at BIGINT NOT NULL, PRIMARY KEY (key_id, name))",
    "CREATE INDEX idempotency_by_time ON idempotency (created_at)",
    "CREATE TABLE usage (key_id TEXT NOT NULL, day BIGINT NOT NULL, seconds DOUBLE PRECISION NOT NULL,"
    " PRIMARY KEY (key_id, day))",

    "CREATE TABLE characters (id TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id), name TEXT NOT NULL,"
    " clip TEXT NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE INDEX characters_of_key ON characters (key_id, created_at)",

    "CREATE TABLE webhooks (id TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id), name TEXT NOT NULL,"
    " url TEXT NOT NULL, event_types TEXT NOT NULL, secret TEXT NOT NULL, old_secret TEXT NOT NULL,"
    " old_secret_until BIGINT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL)",
    "CREATE INDEX webhooks_of_key ON webhooks (key_id, created_at)",
    "CREATE TABLE deliveries (id TEXT PRIMARY KEY, event_id TEXT NOT NULL, endpoint_id TEXT NOT NULL,"
    " key_id TEXT NOT NULL, job_id TEXT NOT NULL, url TEXT NOT NULL, event_type TEXT NOT NULL, body TEXT NOT NULL,"
    " attempts BIGINT NOT NULL DEFAULT 0, created_at BIGINT NOT NULL, next_attempt_at BIGINT NOT NULL,"
    " delivered_at BIGINT, given_up_at BIGINT, last_error TEXT NOT NULL DEFAULT '')",
    "CREATE INDEX deliveries_due ON deliveries (next_attempt_at) WHERE delivered_at IS NULL AND given_up_at IS NULL",

    "CREATE TABLE audit (sequence BIGINT PRIMARY KEY, at BIGINT NOT NULL, action TEXT NOT NULL, actor TEXT NOT NULL,"
    " subject TEXT NOT NULL, details TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)",
    // The end of the chain in a place of its own: entries that are cut off the end are missed.
    "CREATE TABLE audit_head (one BIGINT PRIMARY KEY, sequence BIGINT NOT NULL, hash TEXT NOT NULL)",
    "INSERT INTO audit_head (one, sequence, hash) VALUES"
    " (1, 0, '0000000000000000000000000000000000000000000000000000000000000000')",

    // Owner of what is made without keys. It has no hash, so that no secret ever fits.
    "INSERT INTO keys (id, hash, name, note, hint, scopes, models, max_priority, created_at) VALUES"
    " ('key_local', NULL, 'local', 'what is made without a key on this machine', '', 15, '[]', 1000, 0)"};

// The studio: sessions of browsers, what people say of their videos, where videos came from, jobs that wait for others.
const std::vector<std::string> version_2 = {
    "CREATE TABLE sessions (hash TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id),"
    " created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL)",
    "CREATE INDEX sessions_of_key ON sessions (key_id)", "CREATE INDEX sessions_by_end ON sessions (expires_at)",

    "ALTER TABLE jobs ADD COLUMN title TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN favourite BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN folder TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE jobs ADD COLUMN waits_for TEXT NOT NULL DEFAULT '[]'",
    // What a search looks through, in lower case.
    "ALTER TABLE jobs ADD COLUMN search TEXT NOT NULL DEFAULT ''",
    "UPDATE jobs SET search = LOWER(prompt || ' ' || id || ' ' || model)",
    "CREATE INDEX jobs_in_folder ON jobs (key_id, folder) WHERE folder <> ''",

    // Which video came from which, kept while one of the two is there.
    "CREATE TABLE sources (job_id TEXT NOT NULL, source_id TEXT NOT NULL, kind TEXT NOT NULL,"
    " PRIMARY KEY (job_id, source_id))",
    "CREATE INDEX sources_by_source ON sources (source_id)",
    "INSERT INTO sources (job_id, source_id, kind) SELECT id, source_id, kind FROM jobs WHERE source_id IS NOT NULL",

    // Jobs that are not finished, and those that wait for them.
    "CREATE TABLE waiting (job_id TEXT NOT NULL, source_id TEXT NOT NULL, PRIMARY KEY (job_id, source_id))",
    "CREATE INDEX waiting_by_source ON waiting (source_id)",

    "CREATE TABLE presets (id TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys (id), name TEXT NOT NULL,"
    " settings TEXT NOT NULL, created_at BIGINT NOT NULL)",
    "CREATE INDEX presets_of_key ON presets (key_id, created_at)"};

// Whose the deleted jobs were.
const std::vector<std::string> version_3 = {"ALTER TABLE deletions ADD COLUMN key_id TEXT NOT NULL DEFAULT ''"};

// The video of ours that a character's clip is.
const std::vector<std::string> version_4 = {"ALTER TABLE characters ADD COLUMN source_id TEXT"};

// What the clips of characters take.
const std::vector<std::string> version_5 = {"ALTER TABLE characters ADD COLUMN stored_bytes BIGINT NOT NULL DEFAULT 0"};

const std::vector<const std::vector<std::string>*> versions = {&version_1, &version_2, &version_3, &version_4,
                                                               &version_5};

}  // namespace

void migrate(Database& database) {
  database.write([](Connection& c) {
    c.run("CREATE TABLE IF NOT EXISTS prax_schema (version BIGINT NOT NULL)");
    auto rows = c.run("SELECT version FROM prax_schema");
    const int64_t there = rows.empty() ? 0 : rows.front().integer();
    const auto known = static_cast<int64_t>(versions.size());
    if (there > known)
      throw Error(ErrorKind::input,
                  "the database has version " + std::to_string(there) + " of the tables, and this prax knows " +
                      std::to_string(known),
                  "use the newer version of prax that wrote it");
    for (int64_t version = there; version < known; ++version)
      for (const std::string& statement : *versions[static_cast<size_t>(version)]) c.run(statement);
    if (there == known) return;
    c.run("DELETE FROM prax_schema");
    c.run("INSERT INTO prax_schema (version) VALUES ($1)", {known});
  });
}

}  // namespace prax::jobs
