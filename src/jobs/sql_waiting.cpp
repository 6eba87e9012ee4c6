#include <algorithm>

#include "jobs/sql_store.h"

// Jobs that are made from others, and that wait for them.
namespace prax::jobs {

using nlohmann::json;

const std::string waits_for_nothing = " AND NOT EXISTS (SELECT 1 FROM waiting WHERE waiting.job_id = jobs.id)";

namespace {

//! The sources' video in place of what stands for it.
void give_input(Connection& c, const std::string& job_id, const std::string& source_id,
                const std::vector<ResultFile>& results) {
  const ResultFile* video = find_result(results, "video");
  auto rows = c.run("SELECT inputs FROM jobs WHERE id = $1", {job_id});
  if (!video || rows.empty()) return;
  std::vector<InputFile> inputs = inputs_of(rows.front().text());
  for (InputFile& input : inputs)
    if (input.storage_name == result_of(source_id))
      input = {input.name, video->storage_name, video->media_type, video->bytes, video->sha256};
  c.run("UPDATE jobs SET inputs = $2 WHERE id = $1", {job_id, json_of(inputs)});
}

void fail_for_source(Connection& c, const std::string& job_id, Time at) {
  const auto job = find_job(c, job_id);
  if (!job || is_final(job->status)) return;
  end_job(c, *job, JobStatus::failed,
          {"source_failed", "a video that this one is made from was not made; see its error, then ask for both again"},
          "system", at);
  announce(c, *job, "video.failed", at);
}

}  // namespace

void link_sources(Connection& c, const NewJob& job, Time at) {
  const auto link = [&](const std::string& source, const std::string& kind) {
    c.run("INSERT INTO sources (job_id, source_id, kind) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
          {job.id, source, kind});
  };
  if (job.source_id) link(*job.source_id, std::string(name_of(job.kind)));
  for (const SourceOf& source : job.more_sources) link(source.id, source.kind);
  for (const std::string& id : job.waits_for) {
    const auto source = find_job(c, id);
    if (!source || source->status == JobStatus::failed || source->status == JobStatus::cancelled)
      return fail_for_source(c, job.id, at);
    if (source->status == JobStatus::completed)
      give_input(c, job.id, id, source->results);
    else
      c.run("INSERT INTO waiting (job_id, source_id) VALUES ($1, $2) ON CONFLICT DO NOTHING", {job.id, id});
  }
}

void hand_on(Connection& c, const std::string& id, const std::vector<ResultFile>& results) {
  for (Row& row : c.run("DELETE FROM waiting WHERE source_id = $1 RETURNING job_id", {id}))
    give_input(c, row.text(), id, results);
}

void fail_waiting(Connection& c, const std::string& id, Time at) {
  c.run("DELETE FROM waiting WHERE job_id = $1", {id});
  for (Row& row : c.run("DELETE FROM waiting WHERE source_id = $1 RETURNING job_id", {id}))
    fail_for_source(c, row.text(), at);
}

}  // namespace prax::jobs
