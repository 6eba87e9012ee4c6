#pragma once

#include <map>
#include <tuple>

#include "models/pyramid_flow/transformer.h"

namespace prax::pipelines::pyramid_flow {

//! Keys and values of finished frames, for the steps of later frames that see them again in the same way: a set for
//! each step of each stage and each prompt. See docs/decisions/0008-pyramid-flow-history.md.
class HistoryCache {
public:
  //! At most that many bytes.
  explicit HistoryCache(int64_t budget) : budget_(budget) {}

  models::pyramid_flow::KeyValues& at(int64_t stage, int64_t step, size_t prompt) {
    return known_[{stage, step, prompt}];
  }
  //! How many tokens `known` may keep of those wanted: these, or as many as it has where there is no room for more.
  int64_t grant(const models::pyramid_flow::KeyValues& known, int64_t wanted, int64_t token_bytes);
  //! Takes back what was granted for tokens that `known` did not come to have.
  void give_back(const models::pyramid_flow::KeyValues& known, int64_t granted, int64_t token_bytes) {
    used_ -= (granted - known.tokens) * token_bytes;
  }

private:
  int64_t budget_, used_ = 0;
  std::map<std::tuple<int64_t, int64_t, size_t>, models::pyramid_flow::KeyValues> known_;
};

}  // namespace prax::pipelines::pyramid_flow
