#include <algorithm>

#include "base/error.h"
#include "base/human.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

constexpr Milliseconds day(24 * 3600 * 1000);

int64_t day_of(Time time) { return time.time_since_epoch() / day; }
Time next_day(Time time) { return Time(day * (day_of(time) + 1)); }

void require_texts(const NewJob& job) {
  require_text(job.prompt, "the prompt");
  require_text(job.requested_model, "the model's name");
  require_text(job.title, "the title");
  require_text(job.webhook_url, "the webhook's URL");
  require_text(job.idempotency_key, "the idempotency key");
}

int64_t count(Connection& c, const std::string& sql, const Values& values = {}) {
  auto rows = c.run(sql, values);
  return rows.empty() ? 0 : rows.front().integer();
}

//! Of jobs' inputs and results, and of characters' clips.
uint64_t stored_bytes_in(Connection& c) {
  return static_cast<uint64_t>(count(c, "SELECT COALESCE(SUM(stored_bytes), 0) FROM jobs WHERE stored_bytes > 0") +
                               count(c, "SELECT COALESCE(SUM(stored_bytes), 0) FROM characters"));
}

Accepted refused(Refusal refusal, std::string reason, std::optional<Time> retry_at = {}) {
  Accepted answer;
  answer.refusal = refusal;
  answer.reason = std::move(reason);
  answer.retry_at = retry_at;
  return answer;
}

//! What the key was given before for the same Idempotency-Key; nullopt when it is new.
std::optional<Accepted> remembered(Connection& c, const NewJob& job, Time at) {
  if (job.idempotency_key.empty()) return std::nullopt;
  c.run("DELETE FROM idempotency WHERE created_at < $1", {value_of(at - day)});
  auto rows = c.run("SELECT request_hash, job_id FROM idempotency WHERE key_id = $1 AND name = $2",
                    {job.key_id, job.idempotency_key});
  if (rows.empty()) return std::nullopt;
  const std::string hash = rows.front().text(), id = rows.front().text();
  if (hash != job.request_hash)
    return refused(Refusal::idempotency_mismatch,
                   "this Idempotency-Key was used for another request; use a new one for a new request");
  auto earlier = find_job(c, id);
  if (!earlier) return std::nullopt;  // deleted since: made anew
  Accepted answer;
  answer.job = std::move(earlier);
  answer.replayed = true;
  return answer;
}

std::optional<Accepted> over_a_limit(Connection& c, const NewJob& job, const Admission& admission, Time at) {
  auto rows = c.run("SELECT max_queued, daily_seconds, max_priority FROM keys WHERE id = $1", {job.key_id});
  if (rows.empty()) throw Error(ErrorKind::usage, "there is no key " + job.key_id);
  const auto max_queued = rows.front().maybe_integer();
  const auto daily_seconds = rows.front().maybe_real();
  const int64_t max_priority = rows.front().integer();
  if (job.priority > max_priority)
    return refused(Refusal::priority, "this key may ask for a priority of at most " + std::to_string(max_priority));
  if (count(c, "SELECT COUNT(*) FROM jobs WHERE status = 'queued'") >= admission.max_queued)
    return refused(Refusal::queue_full,
                   "the queue is full (" + std::to_string(admission.max_queued) + " jobs wait); try again later");
  if (max_queued &&
      count(c, "SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND key_id = $1", {job.key_id}) >= *max_queued)
    return refused(Refusal::key_queue_full, "this key has " + std::to_string(*max_queued) +
                                                " jobs waiting, which is its limit; wait until one is begun");
  if (daily_seconds) {
    auto used = c.run("SELECT seconds FROM usage WHERE key_id = $1 AND day = $2", {job.key_id, day_of(at)});
    const double already = used.empty() ? 0 : used.front().real();
    if (already + job.charged_seconds > *daily_seconds)
      return refused(Refusal::daily_budget,
                     "this key makes at most " + human_number(*daily_seconds) + " seconds of video a day, and " +
                         human_number(already) + " are used; ask for a shorter video, or wait for the next day (UTC)",
                     next_day(at));
  }
  if (admission.max_stored_bytes) {
    const uint64_t stored = stored_bytes_in(c);
    if (stored >= *admission.max_stored_bytes)
      return refused(Refusal::storage_full, "the storage for videos is full (" + human_bytes(stored) +
                                                "); delete videos that are not needed any more");
  }
  return std::nullopt;
}

void insert(Connection& c, const NewJob& job, Time at) {
  uint64_t bytes = 0;
  for (const InputFile& input : job.inputs)
    if (input.storage_name.starts_with("inputs/" + job.id + "/")) bytes += input.bytes;
  const int64_t version = next_version(c, "jobs");
  c.run(
      "INSERT INTO jobs (id, key_id, kind, status, model, requested_model, prompt, settings, seconds, inputs, metadata,"
      " webhook_url, source_id, priority, created_at, version, charged_seconds, charged_day, stored_bytes, waits_for,"
      " title) VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,"
      " $20)",
      {job.id,
       job.key_id,
       std::string(name_of(job.kind)),
       job.model,
       job.requested_model,
       job.prompt,
       to_json(job.settings).dump(),
       job.seconds,
       json_of(job.inputs),
       job.metadata.dump(),
       job.webhook_url,
       value_or_null(job.source_id),
       int64_t{job.priority},
       value_of(at),
       version,
       job.charged_seconds,
       day_of(at),
       static_cast<int64_t>(bytes),
       json(job.waits_for).dump(),
       job.title});
  index_job(c, find_job(c, job.id).value());
  c.run(
      "INSERT INTO usage (key_id, day, seconds) VALUES ($1, $2, $3)"
      " ON CONFLICT (key_id, day) DO UPDATE SET seconds = usage.seconds + excluded.seconds",
      {job.key_id, day_of(at), job.charged_seconds});
  if (!job.idempotency_key.empty())
    c.run(
        "INSERT INTO idempotency (key_id, name, request_hash, job_id, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (key_id, name) DO UPDATE SET job_id = excluded.job_id, created_at = excluded.created_at",
        {job.key_id, job.idempotency_key, job.request_hash, job.id, value_of(at)});
  json details = {{"kind", name_of(job.kind)}, {"model", job.model}, {"seconds", job.seconds}};
  if (!job.request_id.empty()) details["request_id"] = job.request_id;
  if (job.source_id) details["source"] = *job.source_id;
  append_audit(c, {"job.created", job.key_id, job.id, std::move(details)}, at);
  link_sources(c, job, at);
}

}  // namespace

int64_t next_version(Connection& c, const char* counter) {
  return count(c, "UPDATE counters SET value = value + 1 WHERE name = $1 RETURNING value", {std::string(counter)});
}

int64_t counter_value(Connection& c, const char* counter) {
  return count(c, "SELECT value FROM counters WHERE name = $1", {std::string(counter)});
}

void end_job(Connection& c, const Job& job, JobStatus status, const JobError& error, const std::string& actor,
             Time at) {
  const int64_t version = next_version(c, "jobs");
  auto rows = c.run(
      "UPDATE jobs SET status = $2, error_code = $3, error_message = $4, completed_at = $5, stage = '',"
      " seconds_left = NULL, version = $6 WHERE id = $1 RETURNING charged_seconds, charged_day",
      {job.id, std::string(name_of(status)), error.code, error.message, value_of(at), version});
  if (rows.empty()) return;
  const double charged = rows.front().real();
  const int64_t charged_day = rows.front().integer();
  c.run("UPDATE usage SET seconds = CASE WHEN seconds > $3 THEN seconds - $3 ELSE 0 END WHERE key_id = $1 AND day = $2",
        {job.key_id, charged_day, charged});
  c.run("DELETE FROM previews WHERE job_id = $1", {job.id});
  append_audit(
      c, {status == JobStatus::cancelled ? "job.cancelled" : "job.failed", actor, job.id, {{"code", error.code}}}, at);
  fail_waiting(c, job.id, at);
}

Accepted SqlStore::create_job(const NewJob& job, const Admission& admission) { return create_jobs({job}, admission); }

Accepted SqlStore::create_jobs(const std::vector<NewJob>& jobs, const Admission& admission) {
  struct Refused {  // thrown: takes back what was inserted before
    Accepted answer;
  };
  for (const NewJob& job : jobs) require_texts(job);
  const NewJob& last = jobs.back();
  try {
    return database_->write([&](Connection& c) {
      Accepted answer;
      if (auto there = find_job(c, last.id)) {  // the commit of an earlier try had gone through
        answer.job = std::move(there);
        return answer;
      }
      const Time at = now();
      if (auto earlier = remembered(c, last, at)) return std::move(*earlier);
      for (const NewJob& job : jobs) {
        if (auto refusal = over_a_limit(c, job, admission, at)) throw Refused{std::move(*refusal)};
        insert(c, job, at);
      }
      answer.job = find_job(c, last.id);
      return answer;
    });
  } catch (Refused& refused) {
    return std::move(refused.answer);
  }
}

std::optional<Job> SqlStore::job(const std::string& id) {
  return database_->read([&](Connection& c) { return find_job(c, id); });
}

JobPage SqlStore::jobs(const JobQuery& query) {
  return database_->read([&](Connection& c) {
    JobPage page;
    Query q{"SELECT " + job_columns + " FROM jobs WHERE deleted_at IS NULL", {}};
    if (!query.key_id.empty()) q.add(" AND key_id = ?", query.key_id);
    q.add_statuses(query.statuses);
    read_page(c, std::move(q), query, page);
    return page;
  });
}

Store::Changes SqlStore::changed_jobs(int64_t version, const std::string& key_id, int limit) {
  return database_->read([&](Connection& c) {
    Changes changes;
    changes.version = counter_value(c, "jobs");
    for (Row& row :
         c.run("SELECT " + job_columns +
                   " FROM jobs WHERE version > $1 AND version <= $2 AND deleted_at IS NULL AND ($3 = '' OR key_id = $3)"
                   " ORDER BY version LIMIT $4",
               {version, changes.version, key_id, int64_t{limit}}))
      changes.jobs.push_back(job_of(std::move(row)));
    if (static_cast<int>(changes.jobs.size()) >= limit && limit > 0) changes.version = changes.jobs.back().version;
    for (Row& row : c.run("SELECT job_id, key_id, version FROM deletions WHERE version > $1 AND version <= $2"
                          " AND ($3 = '' OR key_id = $3) ORDER BY version",
                          {version, changes.version, key_id})) {
      Deletion deletion;
      deletion.job_id = row.text();
      deletion.key_id = row.text();
      deletion.version = row.integer();
      changes.deleted.push_back(std::move(deletion));
    }
    return changes;
  });
}

int64_t SqlStore::latest_version() {
  return database_->read([](Connection& c) { return counter_value(c, "jobs"); });
}

std::optional<Job> SqlStore::cancel_job(const std::string& id, const std::string& actor) {
  return database_->write([&](Connection& c) {
    auto job = find_job(c, id);
    if (!job || is_final(job->status)) return job;
    const Time at = now();
    end_job(c, *job, JobStatus::cancelled, {"cancelled", "the job was cancelled"}, actor, at);
    announce(c, *job, "video.failed", at);
    return find_job(c, id);
  });
}

bool SqlStore::delete_job(const std::string& id, const std::string& actor) {
  return database_->write([&](Connection& c) {
    constexpr Milliseconds remembered_for(3600 * 1000);
    const auto job = find_job(c, id);
    if (!job) return false;
    const Time at = now();
    if (!is_final(job->status)) end_job(c, *job, JobStatus::cancelled, {"cancelled", "the job was deleted"}, actor, at);
    c.run("UPDATE jobs SET deleted_at = $2 WHERE id = $1", {id, value_of(at)});
    c.run("DELETE FROM deletions WHERE at < $1", {value_of(at - remembered_for)});
    c.run("INSERT INTO deletions (version, job_id, key_id, at) VALUES ($1, $2, $3, $4)",
          {next_version(c, "jobs"), id, job->key_id, value_of(at)});
    append_audit(c, {"job.deleted", actor, id, json::object()}, at);
    return true;
  });
}

QueueStats SqlStore::queue_stats() {
  return database_->read([](Connection& c) {
    QueueStats stats;
    for (Row& row : c.run("SELECT status, COUNT(*) FROM jobs WHERE deleted_at IS NULL GROUP BY status")) {
      const JobStatus status = job_status_named(row.text());
      const int64_t jobs = row.integer();
      switch (status) {
        case JobStatus::queued:
          stats.queued = jobs;
          break;
        case JobStatus::in_progress:
          stats.in_progress = jobs;
          break;
        case JobStatus::completed:
          stats.completed = jobs;
          break;
        case JobStatus::failed:
          stats.failed = jobs;
          break;
        case JobStatus::cancelled:
          stats.cancelled = jobs;
      }
    }
    auto oldest = c.run("SELECT MIN(created_at) FROM jobs WHERE status = 'queued'");
    if (!oldest.empty()) stats.oldest_queued_at = oldest.front().maybe_time();
    for (Row& row : c.run("SELECT model, COUNT(*) FROM jobs WHERE status = 'queued' GROUP BY model")) {
      const std::string model = row.text();
      stats.queued_by_model[model] = row.integer();
    }
    for (Row& row :
         c.run("SELECT worker, COUNT(*) FROM jobs WHERE status = 'in_progress' AND worker <> '' GROUP BY worker")) {
      const std::string worker = row.text();
      stats.in_progress_by_worker[worker] = row.integer();
    }
    return stats;
  });
}

int64_t SqlStore::jobs_ahead(const std::string& id) {
  return database_->read([&](Connection& c) -> int64_t {
    const auto job = find_job(c, id);
    if (!job || job->status != JobStatus::queued) return 0;
    const Value priority = int64_t{job->priority};
    const int64_t higher = count(c, "SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND priority > $1", {priority});
    const int64_t own = count(c,
                              "SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND key_id = $1 AND priority = $2"
                              " AND (created_at, id) < ($3, $4)",
                              {job->key_id, priority, value_of(job->created_at), job->id});
    // Keys take turns: each other one has at most so many turns before this job's.
    int64_t others = 0;
    for (Row& row :
         c.run("SELECT COUNT(*) FROM jobs WHERE status = 'queued' AND priority = $1 AND key_id <> $2 GROUP BY key_id",
               {priority, job->key_id}))
      others += std::min(row.integer(), own + 1);
    return higher + own + others;
  });
}

uint64_t SqlStore::stored_bytes() {
  return database_->read([](Connection& c) { return stored_bytes_in(c); });
}

double SqlStore::seconds_used_today(const std::string& key_id) {
  return database_->read([&](Connection& c) {
    auto rows = c.run("SELECT seconds FROM usage WHERE key_id = $1 AND day = $2", {key_id, day_of(now())});
    return rows.empty() ? 0.0 : rows.front().real();
  });
}

Store::KeyUsage SqlStore::usage_of(const std::string& key_id) {
  return database_->read([&](Connection& c) {
    auto rows = c.run(
        "SELECT COUNT(*), CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT), COALESCE(SUM(seconds), 0.0) FROM jobs"
        " WHERE key_id = $1 AND status = 'completed' AND deleted_at IS NULL",
        {key_id});
    Row& row = rows.front();
    KeyUsage usage;
    usage.videos = row.integer();
    usage.stored_bytes = row.integer();
    usage.seconds = row.real();
    return usage;
  });
}

std::vector<Store::Disposal> SqlStore::disposals(int limit) {
  return database_->read([&](Connection& c) {
    std::vector<Disposal> list;
    const Values values = {value_of(now()), int64_t{limit}};
    for (Row& row : c.run("SELECT id FROM jobs WHERE deleted_at IS NOT NULL AND lease_until < $1 LIMIT $2", values))
      list.push_back({row.text(), true});
    // What did not become a video needs its inputs and its saved run no more.
    for (const char* which : {"status = 'completed' AND expires_at < $1", "status = 'failed'", "status = 'cancelled'"})
      for (Row& row : c.run("SELECT id FROM jobs WHERE disposed = 0 AND deleted_at IS NULL AND lease_until < $1 AND " +
                                std::string(which) + " LIMIT $2",
                            values))
        list.push_back({row.text(), false});
    return list;
  });
}

void SqlStore::disposed(const Disposal& disposal) {
  database_->write([&](Connection& c) {
    if (disposal.deleted) {
      c.run("DELETE FROM jobs WHERE id = $1 AND deleted_at IS NOT NULL", {disposal.job_id});
      c.run(
          "DELETE FROM sources WHERE (job_id = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = source_id)) OR"
          " (source_id = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = job_id))",
          {disposal.job_id});
      return;
    }
    const auto job = find_job(c, disposal.job_id);
    if (!job || !is_final(job->status)) return;
    auto rows = c.run(
        "UPDATE jobs SET disposed = 1, results = '[]', stored_bytes = 0, version = $2 WHERE id = $1 AND disposed = 0"
        " RETURNING id",
        {job->id, next_version(c, "jobs")});
    if (!rows.empty() && job->status == JobStatus::completed)
      append_audit(c, {"job.expired", "system", job->id, json::object()}, now());
  });
}

}  // namespace prax::jobs
