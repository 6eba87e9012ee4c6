#pragma once

#include "jobs/database.h"

namespace prax::jobs {

//! Makes the tables, or brings those of an older version up to date. Error(input) for those of a newer version.
void migrate(Database& database);

}  // namespace prax::jobs
