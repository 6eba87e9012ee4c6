#pragma once

#include <atomic>
#include <filesystem>

#include "jobs/change_feed.h"
#include "jobs/data_folder.h"
#include "jobs/key_ring.h"
#include "jobs/model_catalog.h"
#include "jobs/result_storage.h"
#include "jobs/store.h"
#include "server/conversions.h"
#include "server/estimates.h"
#include "server/event_hub.h"
#include "server/gate.h"
#include "server/metrics.h"
#include "server/outbound.h"
#include "server/reservations.h"
#include "server/sessions.h"
#include "server/settings.h"

namespace prax::server {

//! What the routes share. Everything in it is thread-safe.
struct Context {
  const Settings& settings;
  jobs::Store& store;
  jobs::ResultStorage& storage;
  const jobs::ModelCatalog& catalog;
  jobs::KeyRing& keys;
  Sessions& sessions;
  Conversions& conversions;
  Estimates& estimates;
  EventHub& events;
  Metrics& metrics;
  Reservations& reservations;
  std::filesystem::path temporary;  //!< folder for uploads on their way
  std::atomic<bool>& draining;
  std::filesystem::path program;  //!< this one, which looks at uploads in a process of its own

  OutboundRules fetch_rules() const { return {settings.private_addresses, settings.fetch_timeout}; }
  OutboundRules webhook_rules() const { return {settings.private_addresses, settings.webhook_timeout}; }
};

//! The caller's job; HttpError(404) when there is none that he may see.
jobs::Job find_job(const Context& context, const Caller& caller, const std::string& id);

}  // namespace prax::server
