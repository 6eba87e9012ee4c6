#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "jobs/job.h"

//! What is asked of the jobs that there are, and what is kept beside them.
namespace prax::jobs {

struct JobQuery {
  std::string key_id;  //!< "" for all keys
  std::string after;   //!< id of the last job seen, or ""
  int limit = 20;
  bool newest_first = true;
  std::vector<JobStatus> statuses = {};  //!< empty for all
};

struct JobPage {
  bool known_after = true;  //!< false: there is no such job (any more), or it is another key's; the page is empty
  std::vector<Job> jobs;
  bool has_more = false;
};

//! Which of a key's jobs a library shows.
struct LibraryQuery {
  std::string key_id;
  std::string text;  //!< words that all occur in prompt, title, id or settings, in any case
  std::optional<std::string> folder;
  std::optional<bool> favourite;
  std::string model;                     //!< "" for all
  std::vector<JobStatus> statuses = {};  //!< empty for all
  std::optional<JobKind> kind;
  bool newest_first = true;
  std::string after;
  int limit = 50;
};

struct LibraryPage : JobPage {
  int64_t total = 0;                       //!< on all pages
  std::map<std::string, int64_t> folders;  //!< of the key: how many jobs each holds
};

//! A job with all that it came from and all that came from it.
struct Family {
  struct Edge {
    std::string from, to;  //!< from the source
    std::string kind;      //!< SourceOf::kind
  };
  std::vector<Job> jobs;
  std::vector<std::string> deleted;  //!< ids of members that are gone
  std::vector<Edge> edges;
};

//! Settings that a key keeps under a name.
struct Preset {
  std::string id, key_id, name;
  nlohmann::json settings = nlohmann::json::object();
  Time created_at;
};

}  // namespace prax::jobs
