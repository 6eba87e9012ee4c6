#include <algorithm>

#include "base/hash.h"
#include "jobs/sql_store.h"

namespace prax::jobs {

using nlohmann::json;

namespace {

constexpr size_t webhook_id_bytes = 12;

const std::string webhook_columns =
    "id, key_id, name, url, event_types, secret, old_secret, old_secret_until, created_at, updated_at";
const std::string delivery_columns =
    "id, event_id, endpoint_id, key_id, job_id, url, event_type, body, attempts, created_at, next_attempt_at,"
    " delivered_at, given_up_at, last_error";

WebhookEndpoint webhook_of(Row row) {
  WebhookEndpoint w;
  w.id = row.text();
  w.key_id = row.text();
  w.name = row.text();
  w.url = row.text();
  const json types = json::parse(row.text(), nullptr, false);
  for (const json& type : types)
    if (type.is_string()) w.event_types.push_back(type.get<std::string>());
  w.secret = row.text();
  w.old_secret = row.text();
  w.old_secret_until = row.maybe_time();
  w.created_at = row.time();
  w.updated_at = row.time();
  return w;
}

Delivery delivery_of(Row row) {
  Delivery d;
  d.id = row.text();
  d.event_id = row.text();
  d.endpoint_id = row.text();
  d.key_id = row.text();
  d.job_id = row.text();
  d.url = row.text();
  d.event_type = row.text();
  d.body = row.text();
  d.attempts = static_cast<int>(row.integer());
  d.created_at = row.time();
  d.next_attempt_at = row.time();
  d.delivered_at = row.maybe_time();
  d.given_up_at = row.maybe_time();
  d.last_error = row.text();
  return d;
}

std::vector<WebhookEndpoint> webhooks_of(Connection& c, const std::string& key_id) {
  std::vector<WebhookEndpoint> list;
  for (Row& row :
       c.run("SELECT " + webhook_columns + " FROM webhooks WHERE key_id = $1 ORDER BY created_at, id", {key_id}))
    list.push_back(webhook_of(std::move(row)));
  return list;
}

void insert(Connection& c, const Delivery& d) {
  c.run(
      "INSERT INTO deliveries (id, event_id, endpoint_id, key_id, job_id, url, event_type, body, created_at,"
      " next_attempt_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
      {d.id, d.event_id, d.endpoint_id, d.key_id, d.job_id, d.url, d.event_type, d.body, value_of(d.created_at),
       value_of(d.next_attempt_at)});
}

}  // namespace

std::string new_endpoint_id() { return "we_" + random_hex(webhook_id_bytes); }

std::string new_webhook_secret() {
  constexpr size_t secret_bytes = 24;
  const auto bytes = random_bytes(secret_bytes);
  return "whsec_" + base64({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void announce(Connection& c, const Job& job, const std::string& event_type, Time at) {
  Delivery d;
  d.event_id = "evt_" + random_hex(webhook_id_bytes);
  d.key_id = job.key_id;
  d.job_id = job.id;
  d.event_type = event_type;
  d.created_at = d.next_attempt_at = at;
  const json body = {{"id", d.event_id},
                     {"object", "event"},
                     {"created_at", unix_seconds(at)},
                     {"type", event_type},
                     {"data", {{"id", job.id}}}};
  d.body = body.dump();
  const auto send = [&](const std::string& endpoint_id, const std::string& url) {
    d.id = "dlv_" + random_hex(webhook_id_bytes);
    d.endpoint_id = endpoint_id;
    d.url = url;
    insert(c, d);
  };
  for (const WebhookEndpoint& w : webhooks_of(c, job.key_id))
    if (std::find(w.event_types.begin(), w.event_types.end(), event_type) != w.event_types.end()) send(w.id, w.url);
  if (!job.webhook_url.empty()) send("", job.webhook_url);
}

void SqlStore::put_webhook(const WebhookEndpoint& w) {
  database_->write([&](Connection& c) {
    c.run(
        "INSERT INTO webhooks (id, key_id, name, url, event_types, secret, old_secret, old_secret_until, created_at,"
        " updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO UPDATE SET name ="
        " excluded.name, url = excluded.url, event_types = excluded.event_types, secret = excluded.secret,"
        " old_secret = excluded.old_secret, old_secret_until = excluded.old_secret_until, updated_at ="
        " excluded.updated_at",
        {w.id, w.key_id, w.name, w.url, json(w.event_types).dump(), w.secret, w.old_secret,
         value_of(w.old_secret_until), value_of(w.created_at), value_of(w.updated_at)});
  });
}

std::optional<WebhookEndpoint> SqlStore::webhook(const std::string& id) {
  return database_->read([&](Connection& c) -> std::optional<WebhookEndpoint> {
    auto rows = c.run("SELECT " + webhook_columns + " FROM webhooks WHERE id = $1", {id});
    if (rows.empty()) return std::nullopt;
    return webhook_of(std::move(rows.front()));
  });
}

std::vector<WebhookEndpoint> SqlStore::webhooks(const std::string& key_id) {
  return database_->read([&](Connection& c) { return webhooks_of(c, key_id); });
}

bool SqlStore::delete_webhook(const std::string& id) {
  return database_->write([&](Connection& c) {
    const Time at = now();
    c.run(
        "UPDATE deliveries SET given_up_at = $2, last_error = 'the endpoint was deleted'"
        " WHERE endpoint_id = $1 AND delivered_at IS NULL AND given_up_at IS NULL",
        {id, value_of(at)});
    return !c.run("DELETE FROM webhooks WHERE id = $1 RETURNING id", {id}).empty();
  });
}

void SqlStore::add_delivery(const Delivery& delivery) {
  database_->write([&](Connection& c) { insert(c, delivery); });
}

std::vector<Delivery> SqlStore::claim_deliveries(int limit, Milliseconds lease) {
  const auto due = [](Connection& c, const Time at, int most) {
    return c.run("SELECT " + delivery_columns +
                     " FROM deliveries WHERE next_attempt_at <= $1 AND delivered_at IS NULL AND given_up_at IS NULL"
                     " ORDER BY next_attempt_at LIMIT $2",
                 {value_of(at), int64_t{most}});
  };
  // Nearly always there is nothing to send, and then nothing needs to be written.
  if (database_->read([&](Connection& c) { return due(c, now(), 1).empty(); })) return {};
  return database_->write([&](Connection& c) {
    constexpr Milliseconds kept_for(7LL * 24 * 3600 * 1000);
    const Time at = now();
    c.run("DELETE FROM deliveries WHERE created_at < $1 AND (delivered_at IS NOT NULL OR given_up_at IS NOT NULL)",
          {value_of(at - kept_for)});
    std::vector<Delivery> list;
    for (Row& row : due(c, at, limit)) list.push_back(delivery_of(std::move(row)));
    for (const Delivery& d : list)
      c.run("UPDATE deliveries SET next_attempt_at = $2 WHERE id = $1", {d.id, value_of(at + lease)});
    return list;
  });
}

void SqlStore::finish_delivery(const std::string& id, bool delivered, std::optional<Time> next_attempt_at,
                               const std::string& error) {
  database_->write([&](Connection& c) {
    const Time at = now();
    const Value when = value_of(at);
    c.run(
        "UPDATE deliveries SET attempts = attempts + 1, delivered_at = $2, given_up_at = $3, next_attempt_at = $4,"
        " last_error = $5 WHERE id = $1 AND delivered_at IS NULL",
        {id, delivered ? when : Value(), !delivered && !next_attempt_at ? when : Value(),
         value_of(next_attempt_at.value_or(at)), error});
  });
}

}  // namespace prax::jobs
