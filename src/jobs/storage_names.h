#pragma once

#include <string>

namespace prax::jobs {

//! Throws Error(usage) for a name that ResultStorage does not take.
void require_storage_name(const std::string& name);

}  // namespace prax::jobs
