#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "jobs/time.h"

namespace prax::jobs {

//! Something that happened. Actions: "job.created", "job.completed", "job.failed", "job.cancelled", "job.deleted",
//! "job.expired", "key.created", "key.revoked", "key.rotated", "review.allowed", "review.refused", and the server's
//! own.
struct AuditEvent {
  std::string action;
  std::string actor;    //!< key id, "worker:<name>", "operator" (the command line), "system"
  std::string subject;  //!< id of the job or key
  nlohmann::json details = nlohmann::json::object();  //!< model, request id ...; never a prompt and never a secret
};

//! A link of the chain. hash = SHA-256 over the hash before (64 hex digits) and the canonical JSON of
//! {"action","actor","at","details","sequence","subject"}: keys sorted, no spaces, UTF-8.
struct AuditEntry {
  int64_t sequence = 0;  //!< 1, 2, 3 ... without a gap
  Time at;
  AuditEvent event;
  std::string previous;  //!< hash of the entry before; 64 zeros for the first
  std::string hash;
};
std::string hash_of(const AuditEntry& entry);
nlohmann::json to_json(const AuditEntry& entry);

//! The end of the chain as someone saw it: written down elsewhere, it proves later that nothing up to it was changed.
struct AuditHead {
  int64_t sequence = 0;
  std::string hash = std::string(64, '0');
  bool operator==(const AuditHead&) const = default;
};

struct AuditVerdict {
  bool intact = true;
  int64_t entries = 0;  //!< that are in order
  std::string problem;  //!< one sentence; "" when intact
  AuditHead head;       //!< of what was read
};

}  // namespace prax::jobs
