#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

//! " AND model IN ($5, $6)" for the models that a worker can run, their names appended to the values.
std::string only_models(const ClaimOptions& options, Values& values) {
  if (options.models.empty()) return {};
  std::string sql;
  for (const std::string& model : options.models) {
    values.emplace_back(model);
    sql += (sql.empty() ? " AND model IN ($" : ", $") + std::to_string(values.size());
  }
  return sql + ")";
}

struct Candidate {
  std::string id;
  int64_t fruitless = 0;
};

std::optional<Candidate> first_of(std::vector<Row> rows) {
  if (rows.empty()) return std::nullopt;
  Candidate found;
  found.id = rows.front().text();
  found.fruitless = rows.front().integer();
  return found;
}

//! A job that was begun and that no worker holds now.
std::optional<Candidate> abandoned(Connection& c, const ClaimOptions& options, Time at) {
  Values values = {value_of(at)};
  const std::string models = only_models(options, values);
  return first_of(
      c.run("SELECT id, fruitless FROM jobs WHERE status = 'in_progress' AND lease_until < $1"
            " AND not_before <= $1" +
                models + " ORDER BY priority DESC, created_at, id LIMIT 1",
            values));
}

//! The first job of the key whose turn it is.
std::optional<Candidate> waiting(Connection& c, const ClaimOptions& options) {
  Values values;
  const std::string models = only_models(options, values);
  auto turn = c.run(
      "SELECT w.key_id, w.priority FROM (SELECT key_id, MAX(priority) AS priority, MIN(created_at) AS since FROM jobs "
      "WHERE status = 'queued'" +
          waits_for_nothing + models +
          " GROUP BY key_id) AS w JOIN keys ON keys.id = w.key_id WHERE keys.max_running IS NULL OR keys.max_running >"
          " (SELECT COUNT(*) FROM jobs AS r WHERE r.status = 'in_progress' AND r.key_id = w.key_id)"
          " ORDER BY w.priority DESC, keys.served, w.since, w.key_id LIMIT 1",
      values);
  if (turn.empty()) return std::nullopt;
  const std::string key_id = turn.front().text();
  values = {key_id, turn.front().integer()};
  const std::string same_models = only_models(options, values);
  return first_of(c.run("SELECT id, fruitless FROM jobs WHERE status = 'queued' AND key_id = $1 AND priority = $2" +
                            waits_for_nothing + same_models + " ORDER BY created_at, id LIMIT 1",
                        values));
}

Claim claimed(Connection& c, const std::string& id) {
  Claim claim;
  claim.lease.job_id = id;
  Row row = c.run("SELECT fence, fruitless FROM jobs WHERE id = $1", {id}).at(0);
  claim.lease.fence = row.integer();
  claim.fruitless = static_cast<int>(row.integer());
  claim.job = find_job(c, id).value();
  claim.resumes = claim.lease.fence > 1;
  return claim;
}

Claim take(Connection& c, const std::string& id, const ClaimOptions& options, const std::string& claim_id, Time at) {
  const int64_t version = next_version(c, "jobs");
  auto rows = c.run(
      "UPDATE jobs SET status = 'in_progress', fence = fence + 1, lease_until = $2, claim = $3, worker = $4,"
      " attempts = attempts + 1, fruitless = fruitless + 1, not_before = 0, started_at = COALESCE(started_at, $5),"
      " version = $6 WHERE id = $1 RETURNING key_id",
      {id, value_of(at + options.lease), claim_id, options.worker, value_of(at), version});
  c.run("UPDATE keys SET served = $2 WHERE id = $1", {rows.at(0).text(), version});
  return claimed(c, id);
}

//! Where a lease stands that an update did not find.
Standing standing(Connection& c, const Lease& lease) {
  auto rows = c.run("SELECT fence FROM jobs WHERE id = $1", {lease.job_id});
  // A row that is gone was deleted. With our fence it was ended by someone else: cancelled.
  return rows.empty() || rows.front().integer() == lease.fence ? Standing::cancelled : Standing::lost;
}

const std::string held = " WHERE id = $1 AND fence = $2 AND status = 'in_progress' AND deleted_at IS NULL RETURNING id";

}  // namespace

std::optional<Claim> SqlStore::claim(const ClaimOptions& options) {
  const std::string claim_id = random_hex(16);
  return database_->write([&](Connection& c) -> std::optional<Claim> {
    auto ours = c.run("SELECT id FROM jobs WHERE status = 'in_progress' AND claim = $1", {claim_id});
    if (!ours.empty()) return claimed(c, ours.front().text());  // the commit of an earlier try had gone through
    for (;;) {
      const Time at = now();
      auto candidate = abandoned(c, options, at);
      if (!candidate) candidate = waiting(c, options);
      if (!candidate) return std::nullopt;
      if (candidate->fruitless < options.max_attempts) return take(c, candidate->id, options, claim_id, at);
      const Job job = find_job(c, candidate->id).value();
      end_job(c, job, JobStatus::failed,
              {"worker_crashed", "the worker ended unexpectedly " + std::to_string(candidate->fruitless) +
                                     " times on this job without getting further; ask for a smaller size or fewer"
                                     " frames, or report it to the operator"},
              "system", at);
      announce(c, job, "video.failed", at);
    }
  });
}

Standing SqlStore::report(const Lease& lease, Milliseconds extension, const JobProgress& progress,
                          const std::string& preview_jpeg) {
  return database_->write([&](Connection& c) {
    const int64_t percent = std::clamp(progress.percent, 0, 99);
    auto rows = c.run(
        "UPDATE jobs SET lease_until = $3, percent = CASE WHEN $4 > percent THEN $4 ELSE percent END,"
        " fruitless = CASE WHEN $4 > percent THEN 0 ELSE fruitless END, stage = $5, step = $6, steps = $7,"
        " seconds_left = $8, preview = $9, version = $10" +
            held,
        {lease.job_id, lease.fence, value_of(now() + extension), percent, progress.stage, progress.step, progress.steps,
         value_or_null(progress.seconds_left), progress.preview, next_version(c, "jobs")});
    if (rows.empty()) return standing(c, lease);
    if (!preview_jpeg.empty())
      c.run(
          "INSERT INTO previews (job_id, picture) VALUES ($1, $2) ON CONFLICT (job_id) DO UPDATE SET picture ="
          " excluded.picture",
          {lease.job_id, base64(preview_jpeg)});
    return Standing::ours;
  });
}

Standing SqlStore::complete(const Lease& lease, const JobOutcome& outcome) {
  return database_->write([&](Connection& c) {
    uint64_t bytes = 0;
    json hashes = json::object();
    for (const ResultFile& file : outcome.results) {
      bytes += file.bytes;
      hashes[file.variant] = file.sha256;
    }
    const Time at = now();
    auto rows = c.run(
        "UPDATE jobs SET status = 'completed', percent = 100, stage = '', seconds_left = NULL, lease_until = 0,"
        " preview = 0, results = $3, stored_bytes = stored_bytes + $4, inference_seconds = $5, peak_memory_mb = $6,"
        " completed_at = $7, expires_at = $8, version = $9, seconds ="
        " CASE WHEN CAST($10 AS DOUBLE PRECISION) > 0 THEN CAST($10 AS DOUBLE PRECISION) ELSE seconds END" +
            held,
        {lease.job_id, lease.fence, json_of(outcome.results), static_cast<int64_t>(bytes),
         outcome.cost.inference_seconds, outcome.cost.peak_memory_mb, value_of(at), value_of(outcome.expires_at),
         next_version(c, "jobs"), outcome.seconds});
    if (rows.empty()) {
      auto before =
          c.run("SELECT id FROM jobs WHERE id = $1 AND fence = $2 AND status = 'completed' AND deleted_at IS NULL",
                {lease.job_id, lease.fence});
      return before.empty() ? standing(c, lease) : Standing::ours;  // an earlier try had gone through
    }
    c.run("DELETE FROM previews WHERE job_id = $1", {lease.job_id});
    hand_on(c, lease.job_id, outcome.results);
    const Job job = find_job(c, lease.job_id).value();
    append_audit(c,
                 {"job.completed",
                  "worker:" + job.worker,
                  job.id,
                  {{"key", job.key_id}, {"model", job.model}, {"seconds", job.seconds}, {"sha256", hashes}}},
                 at);
    announce(c, job, "video.completed", at);
    return Standing::ours;
  });
}

Standing SqlStore::fail(const Lease& lease, const JobError& error, const JobCost& cost) {
  return database_->write([&](Connection& c) {
    auto rows = c.run("UPDATE jobs SET lease_until = 0, inference_seconds = $3, peak_memory_mb = $4" + held,
                      {lease.job_id, lease.fence, cost.inference_seconds, cost.peak_memory_mb});
    if (rows.empty()) {
      auto before =
          c.run("SELECT id FROM jobs WHERE id = $1 AND fence = $2 AND status = 'failed'", {lease.job_id, lease.fence});
      return before.empty() ? standing(c, lease) : Standing::ours;
    }
    const Job job = find_job(c, lease.job_id).value();
    const Time at = now();
    end_job(c, job, JobStatus::failed, error, "worker:" + job.worker, at);
    announce(c, job, "video.failed", at);
    return Standing::ours;
  });
}

Standing SqlStore::release(const Lease& lease, std::optional<Time> not_before, bool counts) {
  return database_->write([&](Connection& c) {
    // It stays in progress, with a lease that is over: the next claim goes on with it before all that wait. Whether an
    // earlier try had gone through shows in the claim's mark, which is taken away.
    auto rows = c.run(
        "UPDATE jobs SET lease_until = 0, worker = '', claim = '', seconds_left = NULL, not_before = $3,"
        " attempts = attempts - $4, fruitless = CASE WHEN fruitless > 0 THEN fruitless - $4 ELSE 0 END, version = $5"
        " WHERE id = $1 AND fence = $2 AND status = 'in_progress' AND deleted_at IS NULL AND claim <> '' RETURNING id",
        {lease.job_id, lease.fence, not_before ? value_of(*not_before) : Value(int64_t{0}), int64_t{counts ? 0 : 1},
         next_version(c, "jobs")});
    if (!rows.empty()) return Standing::ours;
    auto own = c.run("UPDATE jobs SET lease_until = 0 WHERE id = $1 AND fence = $2 RETURNING status",
                     {lease.job_id, lease.fence});
    if (own.empty()) return standing(c, lease);
    return own.front().text() == "in_progress" ? Standing::ours : Standing::cancelled;
  });
}

void SqlStore::end_leases_of(const std::string& worker) {
  database_->write([&](Connection& c) {
    c.run("UPDATE jobs SET lease_until = 0 WHERE status = 'in_progress' AND worker = $1", {worker});
  });
}

std::string SqlStore::preview(const std::string& id) {
  return database_->read([&](Connection& c) {
    auto rows = c.run("SELECT picture FROM previews WHERE job_id = $1", {id});
    return rows.empty() ? std::string() : from_base64(rows.front().text());
  });
}

}  // namespace prax::jobs
