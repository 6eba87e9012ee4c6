#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jobs/audit.h"
#include "jobs/job.h"
#include "jobs/key.h"
#include "jobs/library.h"
#include "jobs/webhook.h"

namespace prax::jobs {

struct StoreOptions {
  Milliseconds busy_timeout{5000};  //!< for a lock that another process holds
  Milliseconds patience{15000};     //!< how long a call tries again while the database restarts, before Error(io)
  int connections = 4;              //!< PostgreSQL: at most so many at once
};

//! Why a job was not accepted; see Accepted::reason for the sentence.
enum class Refusal {
  none,
  queue_full,      //!< Admission::max_queued: 503, try again
  key_queue_full,  //!< KeyLimits::max_queued: 429, try again
  daily_budget,    //!< KeyLimits::daily_seconds: 429 insufficient_quota, no use in trying before Accepted::retry_at
  storage_full,    //!< Admission::max_stored_bytes: 507 or 503
  idempotency_mismatch,  //!< the Idempotency-Key was used for another request: 409 (do not retry)
  priority               //!< above the key's max_priority: 403
};

struct Admission {
  int64_t max_queued = 10000;                //!< jobs waiting, of all keys
  std::optional<uint64_t> max_stored_bytes;  //!< results and inputs together
};

struct Accepted {
  Refusal refusal = Refusal::none;
  std::string reason;      //!< one sentence; "" when accepted
  std::optional<Job> job;  //!< when accepted
  bool replayed = false;  //!< the Idempotency-Key was seen before with the same request: `job` is that job as it is now
  std::optional<Time> retry_at;
};

//! A job that is gone.
struct Deletion {
  std::string job_id, key_id;
  int64_t version = 0;  //!< of the change, as Job::version
};

struct QueueStats {
  int64_t queued = 0, in_progress = 0, completed = 0, failed = 0, cancelled = 0;
  std::optional<Time> oldest_queued_at;
  std::map<std::string, int64_t> queued_by_model, in_progress_by_worker;
};

//! The right to work on a job: who lost it (lease over, job given to another) can change nothing of it any more.
struct Lease {
  std::string job_id;
  int64_t fence = 0;  //!< grows with every claim of the job
};

struct ClaimOptions {
  std::string worker;               //!< name, "host-1234"; for people
  std::vector<std::string> models;  //!< that this worker can run; empty for all
  Milliseconds lease{30000};
  //! A job that was begun so often without getting further fails ("worker_crashed") instead of being claimed.
  int max_attempts = 5;
};

struct Claim {
  Lease lease;
  Job job;
  bool resumes = false;  //!< another attempt was begun before: look for its saved run
  int fruitless = 1;     //!< attempts since the job was further than ever, this one included
};

//! What the owner of a lease hears when it reports.
enum class Standing {
  ours,       //!< the lease is extended
  cancelled,  //!< cancelled or deleted: stop, drop everything
  lost        //!< the lease is another worker's: stop, touch nothing
};

//! Jobs, keys and what belongs to them, durable. Every call may come from any thread; each is one transaction, blocks
//! for the time of a disk or network access, and survives restarts of the database (it tries again for
//! StoreOptions::patience and does nothing twice). Error(io) when the database cannot be reached, Error(disk_full) when
//! it cannot be written, Error(input) when it is no database of ours or of a newer version.
class Store {
public:
  virtual ~Store() = default;

  // Jobs
  virtual Accepted create_job(const NewJob& job, const Admission& admission) = 0;
  //! One or more: all of them or, when one is refused, none; a later one may wait for an earlier one. The answer is
  //! that of the last, whose Idempotency-Key stands for all: when it was seen before, nothing is made.
  virtual Accepted create_jobs(const std::vector<NewJob>& jobs, const Admission& admission) = 0;
  //! Deleted jobs are not found.
  virtual std::optional<Job> job(const std::string& id) = 0;
  virtual JobPage jobs(const JobQuery& query) = 0;
  //! Jobs that changed after `version`, oldest change first, deleted ones (in `deleted`) too. Complete: no change with
  //! a smaller version appears later.
  struct Changes {
    std::vector<Job> jobs;
    std::vector<Deletion> deleted;  //!< of the last hour
    int64_t version = 0;            //!< to ask with next time
  };
  //! Of a key's jobs alone where one is named. At most `limit` jobs: there are more where they are as many.
  virtual Changes changed_jobs(int64_t version, const std::string& key_id = "", int limit = 1000) = 0;
  virtual int64_t latest_version() = 0;
  //! Cancels a queued or running job; a worker stops within a second. Another status is left as it is. The job after
  //! that; nullopt when there is none. `actor` as AuditEvent::actor.
  virtual std::optional<Job> cancel_job(const std::string& id, const std::string& actor) = 0;
  //! Cancels it if need be and makes it invisible at once; its files go with the next Housekeeping round. False when
  //! there is none.
  virtual bool delete_job(const std::string& id, const std::string& actor) = 0;
  //! The job after that; nullopt when there is none.
  virtual std::optional<Job> note_job(const std::string& id, const JobNote& note) = 0;
  virtual LibraryPage library(const LibraryQuery& query) = 0;
  //! At most so many members, the nearest ones; jobs of other keys than `key_id` ("" for none) are left out.
  virtual Family family(const std::string& id, const std::string& key_id, int most = 200) = 0;
  //! The newest completed jobs of a model, for estimates.
  virtual std::vector<Job> completed_of(const std::string& model, int limit) = 0;
  //! Another file of a completed job, which takes the place of the one of the same variant. False when the job is gone
  //! or has no results any more: then the file is to be removed.
  virtual bool add_result(const std::string& id, const ResultFile& result) = 0;
  virtual QueueStats queue_stats() = 0;
  //! How many jobs will probably be served before this one; 0 when it is not queued.
  virtual int64_t jobs_ahead(const std::string& id) = 0;
  //! The newest preview picture of a running job (a JPEG file's bytes), or "".
  virtual std::string preview(const std::string& id) = 0;

  // For workers
  //! The next job, or nullopt. Jobs whose worker died come first, then by priority; keys of equal priority take turns
  //! (the one that was served longest ago is next), each in its own order. Keys at their max_running wait.
  virtual std::optional<Claim> claim(const ClaimOptions& options) = 0;
  //! Extends the lease and publishes where the job stands, with a new preview picture when there is one (JPEG).
  virtual Standing report(const Lease& lease, Milliseconds extension, const JobProgress& progress,
                          const std::string& preview_jpeg = {}) = 0;
  //! The job is `completed` with these files. They are stored already. Anything but `ours`: remove them again.
  virtual Standing complete(const Lease& lease, const JobOutcome& outcome) = 0;
  virtual Standing fail(const Lease& lease, const JobError& error, const JobCost& cost) = 0;
  //! Gives the job back to the queue's front: to go on at once (drain), or not before `not_before` (a full disk). With
  //! `counts` the attempt counts toward max_attempts.
  virtual Standing release(const Lease& lease, std::optional<Time> not_before = {}, bool counts = false) = 0;
  //! The worker of this name is dead: others need not wait until its leases run out.
  virtual void end_leases_of(const std::string& worker) = 0;

  // Retention
  struct Disposal {
    std::string job_id;
    bool deleted = false;  //!< the job is gone: its inputs and saved run go too; else only the results expired
  };
  //! Jobs whose files are to be removed: deleted ones that no worker holds, and those over their expires_at.
  virtual std::vector<Disposal> disposals(int limit = 100) = 0;
  //! Their files are gone.
  virtual void disposed(const Disposal& disposal) = 0;
  //! Bytes of all results and inputs.
  virtual uint64_t stored_bytes() = 0;

  // Characters
  virtual void create_character(const Character& character) = 0;
  //! The key's newest job that has a file of this hash among its results: where a clip that is handed in comes from.
  virtual std::optional<std::string> job_with_result(const std::string& key_id, const std::string& sha256) = 0;
  virtual std::optional<Character> character(const std::string& id) = 0;
  virtual std::vector<Character> characters(const std::string& key_id) = 0;  //!< newest first
  //! Those of the key whose name or id is somewhere in the text, newest first.
  virtual std::vector<Character> characters_within(const std::string& key_id, const std::string& text) = 0;
  //! False when there is none. Its clip is the caller's to remove.
  virtual bool delete_character(const std::string& id, const std::string& actor) = 0;

  // Presets
  virtual void put_preset(const Preset& preset) = 0;  //!< creates or replaces
  virtual std::optional<Preset> preset(const std::string& id) = 0;
  virtual std::vector<Preset> presets(const std::string& key_id) = 0;
  virtual bool delete_preset(const std::string& id) = 0;

  // Keys
  virtual CreatedKey create_key(const NewKey& key, const std::string& actor) = 0;
  virtual std::vector<Key> keys() = 0;
  //! By id.
  virtual std::optional<Key> key(const std::string& id) = 0;
  virtual std::optional<Key> key_of_hash(const std::string& hash_of_secret) = 0;
  //! Changes with every change of any key; cheap.
  virtual int64_t keys_version() = 0;
  //! False when there is none; true also for one that was revoked before.
  virtual bool revoke_key(const std::string& id, const std::string& actor) = 0;
  //! All, or all but one; how many were active.
  virtual int revoke_all_keys(const std::string& actor, const std::string& except_id = "") = 0;
  //! Cancels a key's queued and running jobs; how many.
  virtual int cancel_jobs_of(const std::string& key_id, const std::string& actor) = 0;
  //! A new secret for the same key; the old one is refused from now on. nullopt when there is no such active key.
  virtual std::optional<CreatedKey> rotate_key(const std::string& id, const std::string& actor) = 0;
  //! The key of the operator's browser (studio_key_id), active: made when there is none, and made anew when it was
  //! revoked.
  virtual Key studio_key(const std::string& actor) = 0;
  virtual void note_key_uses(const std::map<std::string, Time>& last_uses) = 0;
  //! Seconds of video that the key was charged with today (UTC).
  virtual double seconds_used_today(const std::string& key_id) = 0;
  //! What the key has finished and not deleted.
  struct KeyUsage {
    int64_t videos = 0, stored_bytes = 0;
    double seconds = 0;
  };
  virtual KeyUsage usage_of(const std::string& key_id) = 0;

  // Sessions
  //! By the hash of what the browser keeps. Sessions end with their key and at their time, and a key's oldest when
  //! there would be more than most_sessions_of_key.
  virtual void open_session(const std::string& hash, const Session& session) = 0;
  virtual std::optional<Session> session(const std::string& hash) = 0;
  virtual void close_session(const std::string& hash) = 0;

  // Webhooks
  virtual void put_webhook(const WebhookEndpoint& endpoint) = 0;  //!< creates or replaces
  virtual std::optional<WebhookEndpoint> webhook(const std::string& id) = 0;
  virtual std::vector<WebhookEndpoint> webhooks(const std::string& key_id) = 0;
  virtual bool delete_webhook(const std::string& id) = 0;
  //! For events of the server's own (tests of an endpoint).
  virtual void add_delivery(const Delivery& delivery) = 0;
  //! Deliveries that are due; they are not handed out again for `lease`.
  virtual std::vector<Delivery> claim_deliveries(int limit, Milliseconds lease) = 0;
  //! One attempt is over: delivered, to be tried again at `next_attempt_at`, or given up (neither).
  virtual void finish_delivery(const std::string& id, bool delivered, std::optional<Time> next_attempt_at,
                               const std::string& error) = 0;

  // Audit log
  virtual void audit(const AuditEvent& event) = 0;
  virtual std::vector<AuditEntry> audit_entries(int64_t after_sequence, int limit) = 0;
  virtual AuditHead audit_head() = 0;

  //! Throws Error(io) unless the database answers now: for readiness probes.
  virtual void ping() = 0;
  //! "sqlite" or "postgresql".
  virtual std::string kind() const = 0;
};

//! `where` is "postgresql://..." or "postgres://..." or the path of an SQLite file, which is made when absent (readable
//! by its owner only). Brings older schemas up to date.
std::unique_ptr<Store> open_store(const std::string& where, const StoreOptions& options = {});

//! Cancels the queued and running jobs of every key that was revoked now or earlier; how many.
int cancel_jobs_of_revoked_keys(Store& store, const std::string& actor);

//! Walks the whole chain. What it finds: entries changed, removed from the middle or the end, put in between, put in
//! another order. `anchors` are heads that were seen earlier (of DataFolder::audit_anchor or written down by people):
//! the chain must still contain them. What it cannot find without an anchor from elsewhere: a chain that someone who
//! can write the whole database computed anew from some entry on, with the head that is kept beside it.
AuditVerdict verify_audit(Store& store, const std::vector<AuditHead>& anchors = {});

}  // namespace prax::jobs
