#include "base/paths.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/error.h"

namespace prax {

namespace fs = std::filesystem;

fs::path program_path() {
  constexpr std::string_view replaced = " (deleted)";  // by an upgrade while it runs: its heir has its name
  std::error_code error;
  const std::string path = fs::read_symlink("/proc/self/exe", error).string();
  return path.ends_with(replaced) ? path.substr(0, path.size() - replaced.size()) : path;
}

fs::path home_path() {
  if (const char* home = std::getenv("HOME"); home && *home) return home;
  if (const passwd* entry = getpwuid(getuid()); entry && entry->pw_dir) return entry->pw_dir;
  return {};
}

fs::path cache_path() {
  constexpr const char* name = "praxinoscope";
  // The XDG base directory specification has relative ones ignored.
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && fs::path(cache).is_absolute())
    return fs::path(cache) / name;
  const fs::path home = home_path();
  if (home.empty())
    throw Error(ErrorKind::io, "there is no home folder to keep a cache in", "set XDG_CACHE_HOME to an absolute path");
  return home / ".cache" / name;
}

std::vector<fs::path> embedded_model_candidates() {
  if (const char* asked = std::getenv("PRAX_NANO"); asked && *asked) return {asked};
  std::vector<fs::path> candidates;
  if (const fs::path program = program_path(); !program.empty()) {
    candidates.push_back(program.parent_path().parent_path() / "share/praxinoscope/models/nano");
  }
#ifdef PRAX_SOURCE_MODELS
  candidates.push_back(fs::path(PRAX_SOURCE_MODELS) / "nano");
#endif
  return candidates;
}

fs::path embedded_model_path() {
  const auto candidates = embedded_model_candidates();
  std::string places;
  for (const fs::path& candidate : candidates) {
    std::error_code error;
    if (fs::exists(candidate / "model_index.json", error)) return candidate;
    places += (places.empty() ? "" : ", ") + candidate.string();
  }
  throw Error(ErrorKind::checkpoint, "the embedded model was not found (looked in " + places + ")",
              "set PRAX_NANO to its folder, or choose a model with --model");
}

fs::path manifests_path() {
  std::vector<fs::path> candidates;
  if (const fs::path program = program_path(); !program.empty())
    candidates.push_back(program.parent_path().parent_path() / "share/praxinoscope/manifests");
#ifdef PRAX_SOURCE_MODELS
  candidates.push_back(fs::path(PRAX_SOURCE_MODELS).parent_path() / "manifests");
#endif
  std::string places;
  for (const fs::path& candidate : candidates) {
    std::error_code error;
    if (fs::is_directory(candidate, error)) return candidate;
    places += (places.empty() ? "" : ", ") + candidate.string();
  }
  throw Error(ErrorKind::io, "the manifests of published models were not found (looked in " + places + ")",
              "install prax with its share folder, or name a manifest's file with --config");
}

fs::path studio_path() {
  std::vector<fs::path> candidates;
  if (const fs::path program = program_path(); !program.empty())
    candidates.push_back(program.parent_path().parent_path() / "share/praxinoscope/studio");
#ifdef PRAX_SOURCE_MODELS
  candidates.push_back(fs::path(PRAX_SOURCE_MODELS).parent_path() / "studio/dist");
#endif
  for (const fs::path& candidate : candidates) {
    std::error_code error;
    if (fs::exists(candidate / "index.html", error)) return candidate;
  }
  return {};
}

fs::path resolve_model(const fs::path& name) {
  if (name == "nano") return embedded_model_path();
  const std::string text = name.string();
  if (text == "~" || text.starts_with("~/")) {
    const fs::path home = home_path();
    if (!home.empty()) return text.size() > 2 ? home / text.substr(2) : home;
  }
  return name;
}

}  // namespace prax
