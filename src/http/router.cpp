#include "http/router.h"

#include <algorithm>

#include "http/target.h"

namespace prax::http {
namespace {

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const size_t end = path.find('/');
    parts.push_back(path.substr(0, end));
    if (end == std::string_view::npos) break;
    path.remove_prefix(end);
  }
  return parts;
}

bool is_capture(std::string_view segment) { return segment.starts_with('{'); }
bool takes_rest(std::string_view segment) { return segment.ends_with("...}"); }

//! How exactly a pattern fits: fixed segments are better the further left they are. -1: not at all.
int64_t fit(std::string_view pattern, const std::vector<std::string_view>& path,
            std::map<std::string, std::string, std::less<>>& captures) {
  const auto wanted = segments(pattern);
  const bool open_ended = !wanted.empty() && takes_rest(wanted.back());
  if (open_ended ? path.size() < wanted.size() : path.size() != wanted.size()) return -1;
  int64_t score = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    score *= 3;
    if (takes_rest(wanted[i])) {
      std::string rest;
      for (size_t j = i; j < path.size(); ++j) rest += (j > i ? "/" : "") + std::string(path[j]);
      auto decoded = percent_decode(rest);
      if (!decoded) return -1;
      captures[std::string(wanted[i].substr(1, wanted[i].size() - 5))] = std::move(*decoded);
    } else if (is_capture(wanted[i])) {
      auto decoded = percent_decode(path[i]);
      if (!decoded || decoded->empty()) return -1;
      captures[std::string(wanted[i].substr(1, wanted[i].size() - 2))] = std::move(*decoded);
      score += 1;
    } else if (wanted[i] == path[i]) {
      score += 2;
    } else {
      return -1;
    }
  }
  return score;
}

}  // namespace

void Router::add(Route route) { routes_.push_back(std::make_shared<const Route>(std::move(route))); }

Router::Match Router::match(Request& request) const {
  const auto path = segments(request.path);
  Match found;
  int64_t best = -1;
  const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
  for (const auto& route : routes_) {
    std::map<std::string, std::string, std::less<>> captures;
    const int64_t score = fit(route->pattern, path, captures);
    if (score < 0 || score < best) continue;
    // What takes every path says nothing of the methods of one.
    if (route->pattern.starts_with("/{") && takes_rest(route->pattern) && route->method != method) continue;
    if (score > best) {
      best = score;
      found = {};
    }
    found.allowed.push_back(route->method);
    if (route->method == method) {
      found.route = route;
      request.captures = std::move(captures);
    }
  }
  if (found.route) {
    found.allowed.clear();
  } else {
    if (std::find(found.allowed.begin(), found.allowed.end(), "GET") != found.allowed.end())
      found.allowed.push_back("HEAD");
    if (!found.allowed.empty()) found.allowed.push_back("OPTIONS");
  }
  return found;
}

}  // namespace prax::http
