#include "data_options.h"

#include "base/error.h"

namespace prax::app {

jobs::DataFolder DataOptions::folder(bool must_exist) const {
  std::error_code ignored;
  if (must_exist && database.empty() && !std::filesystem::exists(data / "prax.db", ignored))
    throw Error(ErrorKind::usage, "there are no jobs and keys in " + data.string(),
                "name with --data the folder that `prax serve` or `prax keys create` was given");
  return jobs::DataFolder(data);
}

void anchor_audit(jobs::Store& store, const jobs::DataFolder& folder) {
  if (const jobs::AuditHead head = store.audit_head(); head.sequence > 0)
    jobs::keep_anchor(folder.audit_anchor(), head);
}

}  // namespace prax::app
