#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

const std::string job_columns =
    "id, key_id, kind, status, percent, stage, step, steps, seconds_left, preview, model, requested_model, prompt,"
    " settings, seconds, inputs, results, metadata, webhook_url, source_id, priority, attempts, error_code,"
    " error_message, inference_seconds, peak_memory_mb, created_at, started_at, completed_at, expires_at, disposed, "
    "worker,"
    " version, waits_for, title, folder, favourite";

namespace {

//! JSON that this program wrote itself.
json own_json(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) throw DatabaseProblem(DatabaseProblem::Kind::foreign, "a row holds broken JSON");
  return value;
}

}  // namespace

std::string json_of(const std::vector<ResultFile>& results) {
  json list = json::array();
  for (const ResultFile& f : results)
    list.push_back({{"variant", f.variant},
                    {"storage_name", f.storage_name},
                    {"media_type", f.media_type},
                    {"bytes", f.bytes},
                    {"sha256", f.sha256}});
  return list.dump();
}

std::string json_of(const std::vector<InputFile>& inputs) {
  json list = json::array();
  for (const InputFile& f : inputs)
    list.push_back({{"name", f.name},
                    {"storage_name", f.storage_name},
                    {"media_type", f.media_type},
                    {"bytes", f.bytes},
                    {"sha256", f.sha256}});
  return list.dump();
}

std::vector<InputFile> inputs_of(const std::string& text) {
  std::vector<InputFile> inputs;
  for (const json& f : own_json(text))
    inputs.push_back({f.value("name", ""), f.value("storage_name", ""), f.value("media_type", ""),
                      f.value("bytes", uint64_t{0}), f.value("sha256", "")});
  return inputs;
}

std::vector<ResultFile> results_of(const std::string& text) {
  std::vector<ResultFile> results;
  for (const json& f : own_json(text))
    results.push_back({f.value("variant", ""), f.value("storage_name", ""), f.value("media_type", ""),
                       f.value("bytes", uint64_t{0}), f.value("sha256", "")});
  return results;
}

Job job_of(Row row) {
  Job j;
  j.id = row.text();
  j.key_id = row.text();
  j.kind = job_kind_named(row.text());
  j.status = job_status_named(row.text());
  j.progress.percent = static_cast<int>(row.integer());
  j.progress.stage = row.text();
  j.progress.step = row.integer();
  j.progress.steps = row.integer();
  j.progress.seconds_left = row.maybe_real();
  j.progress.preview = row.integer();
  j.model = row.text();
  j.requested_model = row.text();
  j.prompt = row.text();
  j.settings = settings_from_json(own_json(row.text()));
  j.seconds = row.real();
  j.inputs = inputs_of(row.text());
  j.results = results_of(row.text());
  j.metadata = own_json(row.text());
  j.webhook_url = row.text();
  j.source_id = row.maybe_text();
  j.priority = static_cast<int>(row.integer());
  j.attempts = static_cast<int>(row.integer());
  auto code = row.maybe_text();
  std::string message = row.text();
  if (code) j.error = JobError{std::move(*code), std::move(message)};
  j.cost.inference_seconds = row.real();
  j.cost.peak_memory_mb = row.real();
  j.created_at = row.time();
  j.started_at = row.maybe_time();
  j.completed_at = row.maybe_time();
  j.expires_at = row.maybe_time();
  j.expired = row.flag() && j.status == JobStatus::completed;
  j.worker = row.text();
  j.version = row.integer();
  for (const json& id : own_json(row.text())) j.waits_for.push_back(id.get<std::string>());
  j.title = row.text();
  j.folder = row.text();
  j.favourite = row.flag();
  return j;
}

std::optional<Job> find_job(Connection& c, const std::string& id) {
  auto rows = c.run("SELECT " + job_columns + " FROM jobs WHERE id = $1 AND deleted_at IS NULL", {id});
  if (rows.empty()) return std::nullopt;
  return job_of(std::move(rows.front()));
}

}  // namespace prax::jobs
