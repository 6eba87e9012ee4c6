#include "jobs/audit.h"

#include "base/error.h"
#include "base/hash.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

AuditEntry entry_of(Row row) {
  AuditEntry e;
  e.sequence = row.integer();
  e.at = row.time();
  e.event.action = row.text();
  e.event.actor = row.text();
  e.event.subject = row.text();
  e.event.details = json::parse(row.text(), nullptr, false);  // broken after someone's edit: then the hash shows it
  e.previous = row.text();
  e.hash = row.text();
  return e;
}

AuditHead head_in(Connection& c) {
  auto rows = c.run("SELECT sequence, hash FROM audit_head WHERE one = 1");
  if (rows.empty()) return {};
  AuditHead head;
  head.sequence = rows.front().integer();
  head.hash = rows.front().text();
  return head;
}

}  // namespace

std::string hash_of(const AuditEntry& e) {
  // nlohmann's objects are sorted by key; dump() without indent writes no spaces.
  const json content = {{"action", e.event.action},   {"actor", e.event.actor}, {"at", e.at.time_since_epoch().count()},
                        {"details", e.event.details}, {"sequence", e.sequence}, {"subject", e.event.subject}};
  return hex(sha256(e.previous + content.dump(-1, ' ', false, json::error_handler_t::replace)));
}

json to_json(const AuditEntry& e) {
  return {{"sequence", e.sequence},     {"at", e.at.time_since_epoch().count()},
          {"action", e.event.action},   {"actor", e.event.actor},
          {"subject", e.event.subject}, {"details", e.event.details},
          {"previous", e.previous},     {"hash", e.hash}};
}

void append_audit(Connection& c, const AuditEvent& event, Time at) {
  const AuditHead head = head_in(c);
  AuditEntry e;
  e.sequence = head.sequence + 1;
  e.at = at;
  e.event = event;
  e.previous = head.hash;
  e.hash = hash_of(e);
  c.run(
      "INSERT INTO audit (sequence, at, action, actor, subject, details, previous, hash)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
      {e.sequence, value_of(at), event.action, event.actor, event.subject,
       event.details.dump(-1, ' ', false, json::error_handler_t::replace), e.previous, e.hash});
  c.run("UPDATE audit_head SET sequence = $1, hash = $2 WHERE one = 1", {e.sequence, e.hash});
}

void SqlStore::audit(const AuditEvent& event) {
  database_->write([&](Connection& c) { append_audit(c, event, now()); });
}

std::vector<AuditEntry> SqlStore::audit_entries(int64_t after_sequence, int limit) {
  return database_->read([&](Connection& c) {
    std::vector<AuditEntry> list;
    for (Row& row : c.run("SELECT sequence, at, action, actor, subject, details, previous, hash FROM audit"
                          " WHERE sequence > $1 ORDER BY sequence LIMIT $2",
                          {after_sequence, int64_t{limit}}))
      list.push_back(entry_of(std::move(row)));
    return list;
  });
}

AuditHead SqlStore::audit_head() {
  return database_->read([](Connection& c) { return head_in(c); });
}

AuditVerdict verify_audit(Store& store, const std::vector<AuditHead>& anchors) {
  constexpr int piece = 1000;
  AuditVerdict verdict;
  const auto broken = [&](std::string problem) {
    verdict.intact = false;
    verdict.problem = std::move(problem);
    return verdict;
  };
  // Read before the entries: they may grow while we walk, but never become fewer.
  const AuditHead kept = store.audit_head();
  std::vector<AuditHead> wanted = anchors;
  wanted.push_back(kept);
  const auto check_anchors = [&](const AuditHead& here) {
    for (const AuditHead& anchor : wanted)
      if (anchor.sequence == here.sequence && anchor.hash != here.hash) return false;
    return true;
  };
  AuditHead& head = verdict.head;
  if (!check_anchors(head)) return broken("an anchor says that the empty log had another hash");
  for (;;) {
    const auto entries = store.audit_entries(head.sequence, piece);
    for (const AuditEntry& e : entries) {
      const std::string number = std::to_string(e.sequence);
      if (e.sequence != head.sequence + 1)
        return broken("entry " + std::to_string(head.sequence + 1) + " is missing: the next is " + number);
      if (e.previous != head.hash) return broken("entry " + number + " does not follow the one before it");
      if (hash_of(e) != e.hash) return broken("entry " + number + " was changed: its content does not have its hash");
      head = {e.sequence, e.hash};
      if (!check_anchors(head))
        return broken("entry " + number +
                      " is not the one that was there when its hash was kept: the log was rewritten");
      verdict.entries = e.sequence;
    }
    if (entries.empty()) break;
  }
  for (const AuditHead& anchor : wanted)
    if (anchor.sequence > head.sequence)
      return broken("the log ends with entry " + std::to_string(head.sequence) + ", but it had " +
                    std::to_string(anchor.sequence) + ": its end was cut off");
  // An entry and the end that is kept beside the log are written together.
  if (store.audit_head().sequence < head.sequence)
    return broken("the log's end that is kept beside it was set back or removed");
  return verdict;
}

}  // namespace prax::jobs
