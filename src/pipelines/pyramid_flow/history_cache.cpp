#include "pipelines/pyramid_flow/history_cache.h"

namespace prax::pipelines::pyramid_flow {

int64_t HistoryCache::grant(const models::pyramid_flow::KeyValues& known, int64_t wanted, int64_t token_bytes) {
  const int64_t more = wanted - known.tokens;
  if (more <= 0 || more > (budget_ - used_) / token_bytes) return known.tokens;
  used_ += more * token_bytes;
  return wanted;
}

}  // namespace prax::pipelines::pyramid_flow
