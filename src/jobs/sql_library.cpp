#include <algorithm>
#include <deque>
#include <set>

#include "jobs/sql_store.h"
#include "text/normalization.h"

// What the owner of jobs sees of them: the library, families, presets.
namespace prax::jobs {

using nlohmann::json;

namespace {

std::string lower(const std::string& text) { return text::utf8(text::lower_case(text::code_points(text))); }

//! A pattern of LIKE that finds the word anywhere.
std::string pattern_of(const std::string& word) {
  std::string pattern = "%";
  for (const char c : word) {
    if (c == '%' || c == '_' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern + "%";
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : lower(text) + " ") {
    if (c != ' ' && c != '\t' && c != '\n') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

//! The conditions of a query; the same for a page and for the total.
void add_conditions(Query& q, const LibraryQuery& query) {
  q.add(" AND key_id = ?", query.key_id);
  for (const std::string& word : words_of(query.text)) q.add(" AND search LIKE ? ESCAPE '\\'", pattern_of(word));
  if (query.folder) q.add(" AND folder = ?", *query.folder);
  if (query.favourite) q.add(" AND favourite = ?", int64_t{*query.favourite ? 1 : 0});
  if (!query.model.empty()) q.add(" AND model = ?", query.model);
  if (query.kind) q.add(" AND kind = ?", std::string(name_of(*query.kind)));
  q.add_statuses(query.statuses);
}

Preset preset_of(Row row) {
  Preset preset;
  preset.id = row.text();
  preset.key_id = row.text();
  preset.name = row.text();
  preset.settings = json::parse(row.text(), nullptr, false);
  preset.created_at = row.time();
  if (!preset.settings.is_object())
    throw DatabaseProblem(DatabaseProblem::Kind::foreign, "a preset's settings are broken");
  return preset;
}

}  // namespace

std::string search_text(const Job& job) {
  return lower(job.title + "\n" + job.prompt + "\n" + job.settings.negative_prompt + "\n" + job.id + "\n" + job.model +
               "\n" + job.requested_model + "\nseed:" + std::to_string(job.settings.seed) + "\n" +
               std::to_string(job.settings.width) + "x" + std::to_string(job.settings.height) + "\n" +
               std::string(name_of(job.kind)));
}

void index_job(Connection& c, const Job& job) {
  c.run("UPDATE jobs SET search = $2 WHERE id = $1", {job.id, search_text(job)});
}

std::optional<Job> SqlStore::note_job(const std::string& id, const JobNote& note) {
  if (note.title) require_text(*note.title, "the title");
  if (note.folder) require_text(*note.folder, "the folder's name");
  return database_->write([&](Connection& c) -> std::optional<Job> {
    if (!find_job(c, id)) return std::nullopt;
    Query q{"UPDATE jobs SET", {}};
    q.add(" version = ?", next_version(c, "jobs"));
    if (note.title) q.add(", title = ?", *note.title);
    if (note.folder) q.add(", folder = ?", *note.folder);
    if (note.favourite) q.add(", favourite = ?", int64_t{*note.favourite ? 1 : 0});
    q.add(" WHERE id = ?", id);
    c.run(q.sql, q.values);
    auto job = find_job(c, id);
    index_job(c, *job);
    return job;
  });
}

LibraryPage SqlStore::library(const LibraryQuery& query) {
  require_text(query.text, "the search");
  return database_->read([&](Connection& c) {
    LibraryPage page;
    for (Row& row : c.run("SELECT folder, COUNT(*) FROM jobs WHERE deleted_at IS NULL AND key_id = $1 AND folder <> ''"
                          " GROUP BY folder",
                          {query.key_id})) {
      const std::string folder = row.text();
      page.folders[folder] = row.integer();
    }
    Query total{"SELECT COUNT(*) FROM jobs WHERE deleted_at IS NULL", {}};
    add_conditions(total, query);
    page.total = c.run(total.sql, total.values).at(0).integer();
    Query q{"SELECT " + job_columns + " FROM jobs WHERE deleted_at IS NULL", {}};
    add_conditions(q, query);
    read_page(c, std::move(q), query, page);
    return page;
  });
}

Family SqlStore::family(const std::string& id, const std::string& key_id, int most) {
  return database_->read([&](Connection& c) {
    Family family;
    std::set<std::string> seen;
    std::set<std::pair<std::string, std::string>> linked;
    // What it came from, and what that came from ...; then likewise what came from it: not its siblings.
    const auto walk = [&](bool upwards) {
      std::deque<std::string> next = {id};
      std::set<std::string> met = {id};
      while (!next.empty() && static_cast<int>(family.jobs.size()) < most) {
        const std::string at = next.front();
        next.pop_front();
        if (seen.insert(at).second) {
          auto job = find_job(c, at);
          if (job && !key_id.empty() && job->key_id != key_id) continue;
          if (job)
            family.jobs.push_back(std::move(*job));
          else
            family.deleted.push_back(at);
        }
        const std::string column = upwards ? "job_id" : "source_id";
        for (Row& row :
             c.run("SELECT job_id, source_id, kind FROM sources WHERE " + column + " = $1 ORDER BY job_id", {at})) {
          const std::string to = row.text(), from = row.text();
          if (linked.insert({from, to}).second) family.edges.push_back({from, to, row.text()});
          const std::string& other = upwards ? from : to;
          if (met.insert(other).second) next.push_back(other);
        }
      }
    };
    walk(true);
    walk(false);
    // Edges to what was left out say nothing.
    std::erase_if(family.edges, [&](const Family::Edge& e) {
      const auto member = [&](const std::string& who) {
        return std::any_of(family.jobs.begin(), family.jobs.end(), [&](const Job& j) { return j.id == who; }) ||
               std::find(family.deleted.begin(), family.deleted.end(), who) != family.deleted.end();
      };
      return !member(e.from) || !member(e.to);
    });
    return family;
  });
}

std::vector<Job> SqlStore::completed_of(const std::string& model, int limit) {
  return database_->read([&](Connection& c) {
    std::vector<Job> jobs;
    for (Row& row : c.run("SELECT " + job_columns +
                              " FROM jobs WHERE status = 'completed' AND model = $1 AND deleted_at IS NULL AND"
                              " inference_seconds > 0 ORDER BY created_at DESC, id DESC LIMIT $2",
                          {model, int64_t{limit}}))
      jobs.push_back(job_of(std::move(row)));
    return jobs;
  });
}

bool SqlStore::add_result(const std::string& id, const ResultFile& result) {
  return database_->write([&](Connection& c) {
    const auto job = find_job(c, id);
    if (!job || job->status != JobStatus::completed || job->expired) return false;
    std::vector<ResultFile> results = job->results;
    auto bytes = static_cast<int64_t>(result.bytes);
    const auto same = std::find_if(results.begin(), results.end(),
                                   [&](const ResultFile& other) { return other.variant == result.variant; });
    if (same != results.end()) {
      bytes -= static_cast<int64_t>(same->bytes);
      *same = result;
    } else {
      results.push_back(result);
    }
    c.run("UPDATE jobs SET results = $2, stored_bytes = stored_bytes + $3 WHERE id = $1",
          {id, json_of(results), bytes});
    return true;
  });
}

std::optional<std::string> SqlStore::job_with_result(const std::string& key_id, const std::string& sha256) {
  return database_->read([&](Connection& c) -> std::optional<std::string> {
    auto rows = c.run(
        "SELECT id FROM jobs WHERE key_id = $1 AND deleted_at IS NULL AND results LIKE $2 ESCAPE '\\'"
        " ORDER BY created_at DESC, id DESC LIMIT 1",
        {key_id, pattern_of(sha256)});
    if (rows.empty()) return std::nullopt;
    return rows.front().text();
  });
}

void SqlStore::put_preset(const Preset& preset) {
  require_text(preset.name, "the name");
  database_->write([&](Connection& c) {
    c.run(
        "INSERT INTO presets (id, key_id, name, settings, created_at) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, settings = excluded.settings",
        {preset.id, preset.key_id, preset.name, preset.settings.dump(), value_of(preset.created_at)});
  });
}

std::optional<Preset> SqlStore::preset(const std::string& id) {
  return database_->read([&](Connection& c) -> std::optional<Preset> {
    auto rows = c.run("SELECT id, key_id, name, settings, created_at FROM presets WHERE id = $1", {id});
    if (rows.empty()) return std::nullopt;
    return preset_of(std::move(rows.front()));
  });
}

std::vector<Preset> SqlStore::presets(const std::string& key_id) {
  return database_->read([&](Connection& c) {
    std::vector<Preset> list;
    for (Row& row : c.run("SELECT id, key_id, name, settings, created_at FROM presets WHERE key_id = $1"
                          " ORDER BY created_at, id",
                          {key_id}))
      list.push_back(preset_of(std::move(row)));
    return list;
  });
}

bool SqlStore::delete_preset(const std::string& id) {
  return database_->write(
      [&](Connection& c) { return !c.run("DELETE FROM presets WHERE id = $1 RETURNING id", {id}).empty(); });
}

}  // namespace prax::jobs
