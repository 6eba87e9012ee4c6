#pragma once

namespace prax {

//! "0.1.0"
const char* version();

}  // namespace prax
