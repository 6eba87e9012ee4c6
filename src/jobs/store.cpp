#include "jobs/store.h"

#include "base/error.h"
#include "jobs/schema.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

namespace {

//! A URL without the password.
std::string shown(const std::string& url) {
  const size_t scheme = url.find("://"), at = url.find('@');
  if (scheme == std::string::npos || at == std::string::npos) return url.substr(0, url.find('?'));
  const size_t colon = url.find(':', scheme + 3);
  return (colon < at ? url.substr(0, colon) : url.substr(0, at)) + url.substr(at, url.find('?') - at);
}

}  // namespace

SqlStore::SqlStore(std::unique_ptr<Database> database) : database_(std::move(database)) { migrate(*database_); }

void SqlStore::ping() {
  database_->read([](Connection& c) { c.run("SELECT 1"); });
}

int cancel_jobs_of_revoked_keys(Store& store, const std::string& actor) {
  int cancelled = 0;
  for (const Key& key : store.keys())
    if (key.revoked_at) cancelled += store.cancel_jobs_of(key.id, actor);
  return cancelled;
}

std::unique_ptr<Store> open_store(const std::string& where, const StoreOptions& options) {
  if (where.empty()) throw Error(ErrorKind::usage, "the database has no name", "give a file or postgresql://...");
  const bool postgres = where.starts_with("postgresql://") || where.starts_with("postgres://");
  auto open = [where, options, postgres] {
    return postgres ? open_postgres(where, options) : open_sqlite(where, options);
  };
  return std::make_unique<SqlStore>(
      std::make_unique<Database>(postgres ? "postgresql" : "sqlite", shown(where), std::move(open), options));
}

}  // namespace prax::jobs
