#include "checkpoint/messages.h"

#include <algorithm>

#include "base/error.h"
#include "checkpoint/json_text.h"

namespace prax::checkpoint {

std::string named(const std::filesystem::path& path) { return in_quotes(path.string(), 400); }

std::string list_of(const std::vector<std::string>& names, size_t shown) {
  std::string list;
  for (size_t i = 0; i < std::min(shown, names.size()); ++i) list += (i ? ", " : "") + in_quotes(names[i]);
  return names.size() > shown ? list + " and " + std::to_string(names.size() - shown) + " more" : list;
}

void broken(const std::filesystem::path& path, const std::string& what, const std::string& hint) {
  throw Error(ErrorKind::checkpoint, named(path) + " " + what, hint);
}

}  // namespace prax::checkpoint
