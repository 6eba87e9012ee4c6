#pragma once

#include <gtest/gtest.h>

#include <string>

#include "kernels/isa.h"

namespace prax::test {

//! Runs a test's body on every instruction set that the machine has.
template <typename Body>
void on_every_isa(Body&& body) {
  const auto before = kernels::isa();
  for (kernels::Isa isa : kernels::available_isas()) {
    SCOPED_TRACE(std::string(kernels::name_of(isa)));
    kernels::set_isa(isa);
    body();
  }
  kernels::set_isa(before);
}

}  // namespace prax::test
