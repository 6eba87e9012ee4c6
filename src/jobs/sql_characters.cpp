#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

const std::string character_columns = "id, key_id, name, clip, created_at, source_id";

Character character_of(Row row) {
  Character character;
  character.id = row.text();
  character.key_id = row.text();
  character.name = row.text();
  if (const auto clips = inputs_of(row.text()); !clips.empty()) character.clip = clips.front();
  character.created_at = row.time();
  character.source_id = row.maybe_text();
  return character;
}

std::vector<Character> select(Connection& c, const std::string& condition, const Values& values) {
  std::vector<Character> list;
  for (Row& row : c.run(
           "SELECT " + character_columns + " FROM characters WHERE " + condition + " ORDER BY created_at DESC, id DESC",
           values))
    list.push_back(character_of(std::move(row)));
  return list;
}

}  // namespace

void SqlStore::create_character(const Character& character) {
  const bool own_file = character.clip.storage_name.starts_with("inputs/" + character.id + "/");
  const int64_t bytes = own_file ? static_cast<int64_t>(character.clip.bytes) : 0;
  database_->write([&](Connection& c) {
    const auto rows =
        c.run("INSERT INTO characters (" + character_columns +
                  ", stored_bytes) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING RETURNING id",
              {character.id, character.key_id, character.name, json_of(std::vector<InputFile>{character.clip}),
               value_of(character.created_at), value_or_null(character.source_id), bytes});
    if (!rows.empty())
      append_audit(c, {"character.created", character.key_id, character.id, json::object()}, character.created_at);
  });
}

std::optional<Character> SqlStore::character(const std::string& id) {
  return database_->read([&](Connection& c) -> std::optional<Character> {
    auto found = select(c, "id = $1", {id});
    if (found.empty()) return std::nullopt;
    return std::move(found.front());
  });
}

std::vector<Character> SqlStore::characters(const std::string& key_id) {
  return database_->read([&](Connection& c) { return select(c, "key_id = $1", {key_id}); });
}

std::vector<Character> SqlStore::characters_within(const std::string& key_id, const std::string& text) {
  return database_->read([&](Connection& c) {
    // Exact on both databases, whatever the name holds.
    return select(c, "key_id = $1 AND (REPLACE($2, name, '') <> $2 OR REPLACE($2, id, '') <> $2)", {key_id, text});
  });
}

bool SqlStore::delete_character(const std::string& id, const std::string& actor) {
  return database_->write([&](Connection& c) {
    if (c.run("DELETE FROM characters WHERE id = $1 RETURNING id", {id}).empty()) return false;
    append_audit(c, {"character.deleted", actor, id, json::object()}, now());
    return true;
  });
}

}  // namespace prax::jobs
