#include "kernels/isa.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "kernels/kernels.h"

namespace prax::kernels::isa_test {
namespace {

TEST(Isa, EveryAvailableOneHasItsTable) {
  const Isa before = isa();
  ASSERT_FALSE(available_isas().empty());
  EXPECT_EQ(available_isas().front(), Isa::portable);
  for (Isa i : available_isas()) {
    set_isa(i);
    EXPECT_EQ(isa(), i);
    EXPECT_EQ(kernels().isa, i);
  }
  set_isa(before);
}

TEST(Isa, RefusesWhatIsNotThere) {
  if (available_isas().back() == Isa::amx) GTEST_SKIP() << "this processor has all";
  EXPECT_THROW(set_isa(Isa::amx), Error);
}

TEST(Isa, NamesAreThoseOfTheEnvironmentVariable) {
  EXPECT_EQ(name_of(Isa::avx512_bf16), "avx512_bf16");
  EXPECT_FALSE(cpu_name().empty());
}

}  // namespace
}  // namespace prax::kernels::isa_test
