#pragma once

#include <optional>
#include <string>
#include <vector>

#include "jobs/time.h"

namespace prax::jobs {

//! Events that endpoints can ask for.
inline constexpr const char* webhook_events[] = {"video.completed", "video.failed"};

//! A receiver of events of one key's jobs. Secrets are kept as they are, because signing needs them.
struct WebhookEndpoint {
  std::string id;  //!< "we_" and 24 hex digits; from new_endpoint_id()
  std::string key_id, name, url;
  std::vector<std::string> event_types;
  std::string secret;      //!< "whsec_..."
  std::string old_secret;  //!< still signs until old_secret_until; "" for none
  std::optional<Time> old_secret_until;
  Time created_at, updated_at;
};
std::string new_endpoint_id();
std::string new_webhook_secret();  //!< "whsec_" and base64 of 24 random bytes

//! One event on its way to one receiver. Written in the transaction that ends the job, so that none is lost; delivered
//! at least once.
struct Delivery {
  std::string id;           //!< "dlv_..."
  std::string event_id;     //!< "evt_...": `webhook-id`, the same on every attempt
  std::string endpoint_id;  //!< "" for a job's own webhook_url
  std::string key_id, job_id, url;
  std::string event_type;
  std::string body;  //!< the JSON to send, byte for byte
  int attempts = 0;  //!< finished ones
  Time created_at, next_attempt_at;
  std::optional<Time> delivered_at, given_up_at;
  std::string last_error;  //!< "HTTP 503", "timed out"
};

}  // namespace prax::jobs
