#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/time.h"

namespace prax::jobs {

//! Owner of everything made without keys on loopback. It has a row like every key, with no secret and no limits.
inline constexpr const char* local_key_id = "key_local";
//! The key of the operator's browser: it has no secret, and is used through sessions alone.
inline constexpr const char* studio_key_id = "key_studio";

//! What a key may do. A set of bits.
enum class Scope : unsigned {
  none = 0,
  create = 1,    //!< make videos and characters
  read = 2,      //!< see and download its own
  remove = 4,    //!< "delete": cancel and delete its own
  admin = 8,     //!< keys, audit log, all jobs
  standard = 7,  //!< create, read, delete
  all = 15
};
constexpr Scope operator|(Scope a, Scope b) { return static_cast<Scope>(unsigned(a) | unsigned(b)); }
constexpr bool has(Scope scopes, Scope wanted) { return (unsigned(scopes) & unsigned(wanted)) == unsigned(wanted); }
//! "create,read,delete"; and the reverse, Error(usage) for a name that is no scope.
std::string names_of(Scope scopes);
Scope scopes_named(std::string_view comma_separated);

//! Limits of a key; absent means without limit.
struct KeyLimits {
  std::optional<int> requests_per_minute;  //!< enforced by the server
  std::optional<int> max_running;          //!< jobs in progress at once; more wait in the queue
  std::optional<int> max_queued;           //!< jobs waiting at once; more are refused
  std::optional<double> daily_seconds;     //!< seconds of video a day (UTC); failed and cancelled jobs are given back
  int max_priority = 0;                    //!< highest NewJob::priority
};

struct NewKey {
  std::string name;  //!< who it is for; 1 to 100 characters
  std::string note;
  Scope scopes = Scope::standard;
  std::vector<std::string> models;  //!< names that it may use; empty for all
  std::optional<Time> expires_at;
  KeyLimits limits;
};

struct Key {
  std::string id;  //!< "key_" and 16 hex digits; no secret
  std::string name, note;
  std::string hint;  //!< the secret's beginning and end, to tell keys apart: "prax-3fK...9aQz"
  Scope scopes = Scope::none;
  std::vector<std::string> models;
  KeyLimits limits;
  Time created_at;
  std::optional<Time> expires_at, revoked_at;
  std::optional<Time> last_used_at;  //!< to the minute or so

  bool may_use(std::string_view model) const;
  bool active(Time at) const { return !revoked_at && (!expires_at || *expires_at > at); }
};

//! A browser that is signed in with a key.
struct Session {
  std::string key_id;
  Time created_at, expires_at;
};

//! Open at once; one more ends the oldest.
inline constexpr int most_sessions_of_key = 100;

//! A new key and its secret, which is nowhere else and never shown again.
struct CreatedKey {
  Key key;
  std::string secret;
};

//! A fresh secret: "prax-", 43 base62 digits of 256 random bits, 6 base62 digits of the CRC-32 of all before.
//! Regular expression for secret scanners: \bprax-[0-9A-Za-z]{49}\b
std::string new_secret();

//! Whether prefix, length, digits and checksum are those of a secret: a typing error or another service's key is told
//! from an unknown one without asking the store.
bool is_well_formed_secret(std::string_view secret);

//! SHA-256 of a secret in hex, as the store keeps it.
std::string hash_of_secret(std::string_view secret);

}  // namespace prax::jobs
