#pragma once

#include <algorithm>

#include "jobs/database.h"
#include "jobs/store.h"

namespace prax::jobs {

//! The store over SQL. Each call is one transaction of Database; what it does is written so that running it again after
//! a commit of unknown outcome changes nothing.
class SqlStore : public Store {
public:
  //! Brings the tables up to date.
  explicit SqlStore(std::unique_ptr<Database> database);

  Accepted create_job(const NewJob& job, const Admission& admission) override;
  Accepted create_jobs(const std::vector<NewJob>& jobs, const Admission& admission) override;
  std::optional<Job> job(const std::string& id) override;
  JobPage jobs(const JobQuery& query) override;
  Changes changed_jobs(int64_t version, const std::string& key_id, int limit) override;
  int64_t latest_version() override;
  std::optional<Job> cancel_job(const std::string& id, const std::string& actor) override;
  bool delete_job(const std::string& id, const std::string& actor) override;
  std::optional<Job> note_job(const std::string& id, const JobNote& note) override;
  LibraryPage library(const LibraryQuery& query) override;
  Family family(const std::string& id, const std::string& key_id, int most) override;
  std::vector<Job> completed_of(const std::string& model, int limit) override;
  bool add_result(const std::string& id, const ResultFile& result) override;
  QueueStats queue_stats() override;
  int64_t jobs_ahead(const std::string& id) override;
  std::string preview(const std::string& id) override;

  std::optional<Claim> claim(const ClaimOptions& options) override;
  Standing report(const Lease& lease, Milliseconds extension, const JobProgress& progress,
                  const std::string& preview_jpeg) override;
  Standing complete(const Lease& lease, const JobOutcome& outcome) override;
  Standing fail(const Lease& lease, const JobError& error, const JobCost& cost) override;
  Standing release(const Lease& lease, std::optional<Time> not_before, bool counts) override;
  void end_leases_of(const std::string& worker) override;

  std::vector<Disposal> disposals(int limit) override;
  void disposed(const Disposal& disposal) override;
  uint64_t stored_bytes() override;

  void create_character(const Character& character) override;
  std::optional<std::string> job_with_result(const std::string& key_id, const std::string& sha256) override;
  std::optional<Character> character(const std::string& id) override;
  std::vector<Character> characters(const std::string& key_id) override;
  std::vector<Character> characters_within(const std::string& key_id, const std::string& text) override;
  bool delete_character(const std::string& id, const std::string& actor) override;

  void put_preset(const Preset& preset) override;
  std::optional<Preset> preset(const std::string& id) override;
  std::vector<Preset> presets(const std::string& key_id) override;
  bool delete_preset(const std::string& id) override;

  CreatedKey create_key(const NewKey& key, const std::string& actor) override;
  std::vector<Key> keys() override;
  std::optional<Key> key(const std::string& id) override;
  std::optional<Key> key_of_hash(const std::string& hash_of_secret) override;
  int64_t keys_version() override;
  bool revoke_key(const std::string& id, const std::string& actor) override;
  int revoke_all_keys(const std::string& actor, const std::string& except_id) override;
  int cancel_jobs_of(const std::string& key_id, const std::string& actor) override;
  std::optional<CreatedKey> rotate_key(const std::string& id, const std::string& actor) override;
  Key studio_key(const std::string& actor) override;
  void note_key_uses(const std::map<std::string, Time>& last_uses) override;
  double seconds_used_today(const std::string& key_id) override;
  KeyUsage usage_of(const std::string& key_id) override;

  void open_session(const std::string& hash, const Session& session) override;
  std::optional<Session> session(const std::string& hash) override;
  void close_session(const std::string& hash) override;

  void put_webhook(const WebhookEndpoint& endpoint) override;
  std::optional<WebhookEndpoint> webhook(const std::string& id) override;
  std::vector<WebhookEndpoint> webhooks(const std::string& key_id) override;
  bool delete_webhook(const std::string& id) override;
  void add_delivery(const Delivery& delivery) override;
  std::vector<Delivery> claim_deliveries(int limit, Milliseconds lease) override;
  void finish_delivery(const std::string& id, bool delivered, std::optional<Time> next_attempt_at,
                       const std::string& error) override;

  void audit(const AuditEvent& event) override;
  std::vector<AuditEntry> audit_entries(int64_t after_sequence, int limit) override;
  AuditHead audit_head() override;

  void ping() override;
  std::string kind() const override { return database_->kind(); }

private:
  std::unique_ptr<Database> database_;
};

// Parts of transactions, shared by the files that implement SqlStore.

//! Conditions of a query whose number is not fixed.
struct Query {
  std::string sql;
  Values values;

  void add(const std::string& text) { sql += text; }
  //! The text with the value's number in place of '?'.
  void add(const std::string& text, Value value) {
    values.push_back(std::move(value));
    const size_t at = text.find('?');
    sql += text.substr(0, at) + "$" + std::to_string(values.size()) + text.substr(at + 1);
  }
  //! The condition that a job has one of them; none when there are none.
  void add_statuses(const std::vector<JobStatus>& statuses) {
    for (size_t i = 0; i < statuses.size(); ++i)
      add(i == 0 ? " AND status IN (?" : ", ?", std::string(name_of(statuses[i])));
    if (!statuses.empty()) add(")");
  }
};

//! What a search looks through: lower case, whatever the script.
std::string search_text(const Job& job);
//! Writes it into the job's row.
void index_job(Connection& c, const Job& job);

//! Condition of a job in the queue that nothing else must be finished for.
extern const std::string waits_for_nothing;
//! Notes what a new job is made from and waits for. It fails at once when that is gone or has failed.
void link_sources(Connection& c, const NewJob& job, Time at);
//! A job is completed: those that wait for it get its video as their input.
void hand_on(Connection& c, const std::string& id, const std::vector<ResultFile>& results);
//! A job ended otherwise: those that wait for it fail.
void fail_waiting(Connection& c, const std::string& id, Time at);
//! Files of a job as json_of() wrote them.
std::vector<ResultFile> results_of(const std::string& json);

//! The next number of a counter ("jobs", "keys").
int64_t next_version(Connection& c, const char* counter);
int64_t counter_value(Connection& c, const char* counter);

//! The columns of a Job, in the order that job_of() reads them.
extern const std::string job_columns;
Job job_of(Row row);
std::optional<Job> find_job(Connection& c, const std::string& id);

//! Adds to a query of jobs where the page that is asked for begins, its order and its size, and reads it. Without a key
//! the page may begin behind any key's job.
template <typename Asked>  // JobQuery, LibraryQuery
void read_page(Connection& c, Query q, const Asked& asked, JobPage& page) {
  if (!asked.after.empty()) {
    auto rows = c.run("SELECT key_id, created_at FROM jobs WHERE id = $1", {asked.after});
    page.known_after = !rows.empty() && (rows.front().text() == asked.key_id || asked.key_id.empty());
    if (!page.known_after) return;
    q.add(asked.newest_first ? " AND (created_at, id) < (?" : " AND (created_at, id) > (?", rows.front().integer());
    q.add(", ?)", asked.after);
  }
  q.add(asked.newest_first ? " ORDER BY created_at DESC, id DESC" : " ORDER BY created_at, id");
  const int64_t limit = std::max(0, asked.limit);
  q.add(" LIMIT ?", limit + 1);
  for (Row& row : c.run(q.sql, q.values)) page.jobs.push_back(job_of(std::move(row)));
  page.has_more = static_cast<int64_t>(page.jobs.size()) > limit;
  if (page.has_more) page.jobs.pop_back();
}

//! What the caller knows of a job whose files are stored.
std::string json_of(const std::vector<ResultFile>& results);
std::string json_of(const std::vector<InputFile>& inputs);
std::vector<InputFile> inputs_of(const std::string& json);

//! Ends a job as failed or cancelled: gives back what the key was charged, tells its webhooks (but not of a deletion),
//! and writes the audit log. The row must be neither final nor deleted.
void end_job(Connection& c, const Job& job, JobStatus status, const JobError& error, const std::string& actor, Time at);

//! Deliveries of an event to the key's endpoints and to the job's own URL.
void announce(Connection& c, const Job& job, const std::string& event_type, Time at);

//! A new link of the chain.
void append_audit(Connection& c, const AuditEvent& event, Time at);

}  // namespace prax::jobs
