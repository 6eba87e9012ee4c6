#include "schedulers/beta_distribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace prax::schedulers::beta_distribution_test {
namespace {

struct Known {
  double a, b, p, quantile;  //!< scipy.stats.beta.ppf(p, a, b)
};

// scipy 1.17.1
constexpr Known known[] = {{0.6, 0.6, 1e-12, 1.8558824624914097e-20}, {0.6, 0.6, 1e-6, 1.8558824624053043e-10},
                           {0.6, 0.6, 0.001, 1.855873851745199e-05},  {0.6, 0.6, 0.05, 0.012554456873611399},
                           {0.6, 0.6, 0.1, 0.03958440558878085},      {0.6, 0.6, 0.25, 0.17568037865269498},
                           {0.6, 0.6, 0.4, 0.3627009907532143},       {0.6, 0.6, 0.5, 0.5},
                           {0.6, 0.6, 0.6, 0.6372990092467856},       {0.6, 0.6, 0.75, 0.824319621347305},
                           {0.6, 0.6, 0.9, 0.9604155944112192},       {0.6, 0.6, 0.999, 0.9999814412614826},
                           {0.5, 0.5, 0.3, 0.2061073738537634},       {2, 3, 0.01, 0.04199863562170072},
                           {2, 3, 0.97, 0.7929285601866373},          {5, 0.7, 0.01, 0.4507724183995961},
                           {5, 0.7, 0.97, 0.9987974178755327},        {30, 40, 0.3, 0.39698703679444164}};

TEST(BetaDistribution, QuantilesAreThoseOfScipy) {
  for (const Known& k : known) {
    const double x = beta_quantile(k.p, k.a, k.b);
    EXPECT_NEAR(x, k.quantile, 4e-15 * k.quantile) << k.a << " " << k.b << " " << k.p;
  }
}

TEST(BetaDistribution, ProbabilitiesAreThoseOfScipy) {
  EXPECT_NEAR(beta_probability(0.001, 0.6, 0.6), 0.010937923627723186, 4e-17);
  EXPECT_NEAR(beta_probability(0.25, 0.6, 0.6), 0.3130413285833595, 1e-15);
  EXPECT_NEAR(beta_probability(0.9, 0.6, 0.6), 0.8239527456539625, 2e-15);
  EXPECT_NEAR(beta_probability(0.3, 2, 3), 0.3483, 1e-15);
  EXPECT_NEAR(beta_probability(0.3, 30, 40) / 0.012126160623329755, 1, 1e-13);
}

TEST(BetaDistribution, QuantileInvertsProbability) {
  for (int i = 1; i < 1000; ++i) {
    const double p = i / 1000.0;
    EXPECT_NEAR(beta_probability(beta_quantile(p, 0.6, 0.6), 0.6, 0.6), p, 4e-15);
  }
}

TEST(BetaDistribution, EndsAreExact) {
  EXPECT_EQ(beta_quantile(0, 0.6, 0.6), 0);
  EXPECT_EQ(beta_quantile(1, 0.6, 0.6), 1);
  EXPECT_EQ(beta_probability(0, 2, 3), 0);
  EXPECT_EQ(beta_probability(1, 2, 3), 1);
}

TEST(BetaDistribution, RefusesWhatIsOutsideOfItsDomain) {
  EXPECT_THROW(beta_quantile(-0.1, 1, 1), Error);
  EXPECT_THROW(beta_quantile(1.1, 1, 1), Error);
  EXPECT_THROW(beta_quantile(0.5, 0, 1), Error);
  EXPECT_THROW(beta_probability(0.5, 1, -1), Error);
  EXPECT_THROW(beta_probability(std::numeric_limits<double>::quiet_NaN(), 1, 1), Error);
}

}  // namespace
}  // namespace prax::schedulers::beta_distribution_test
