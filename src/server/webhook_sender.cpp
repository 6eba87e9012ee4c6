#include "server/webhook_sender.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"

namespace prax::server {
namespace {

constexpr int senders = 4;
constexpr auto look_at_deliveries_every = std::chrono::milliseconds(500);
constexpr auto look_again = std::chrono::seconds(5);  // after the store could not be asked
constexpr std::string_view secret_prefix = "whsec_";

std::string signing_key(const std::string& secret) {
  return secret.starts_with(secret_prefix) ? from_base64(secret.substr(secret_prefix.size())) : secret;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> webhook_headers(const std::string& id, int64_t unix_seconds,
                                                                 const std::string& body,
                                                                 const std::vector<std::string>& secrets) {
  const std::string time = std::to_string(unix_seconds);
  std::vector<std::pair<std::string, std::string>> headers{
      {"content-type", "application/json"}, {"webhook-id", id}, {"webhook-timestamp", time}};
  std::string signatures;
  for (const std::string& secret : secrets) {
    const auto digest = hmac_sha256(signing_key(secret), id + "." + time + "." + body);
    if (!signatures.empty()) signatures += ' ';
    signatures += "v1," + base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
  }
  if (!signatures.empty()) headers.emplace_back("webhook-signature", signatures);
  return headers;
}

std::vector<std::string> secrets_of(const jobs::WebhookEndpoint& endpoint, jobs::Time at) {
  std::vector<std::string> secrets{endpoint.secret};
  if (!endpoint.old_secret.empty() && endpoint.old_secret_until && *endpoint.old_secret_until > at)
    secrets.push_back(endpoint.old_secret);
  return secrets;
}

jobs::Milliseconds retry_delay(int attempts) {
  constexpr double first = 5'000, factor = 3, most = 12.0 * 3600 * 1000;
  const double delay = std::min(most, first * std::pow(factor, std::max(0, attempts - 1)));
  return jobs::Milliseconds(static_cast<int64_t>(delay));
}

WebhookSender::WebhookSender(const Context& context) : context_(context) {
  threads_.emplace_back([this] { claim(); });
  for (int i = 0; i < senders; ++i) threads_.emplace_back([this] { send(); });
}

WebhookSender::~WebhookSender() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WebhookSender::claim() {
  // Long enough for those that wait for a sender here, each of which may take its whole time.
  const jobs::Milliseconds lease = 4 * context_.settings.webhook_timeout + std::chrono::seconds(10);
  auto pause = std::chrono::duration_cast<std::chrono::milliseconds>(look_at_deliveries_every);
  for (;;) {
    int room = 0;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, pause, [this] { return stopping_; });
      if (stopping_) return;
      room = 2 * senders - static_cast<int>(waiting_.size());
    }
    if (room <= 0) continue;
    try {
      auto due = context_.store.claim_deliveries(room, lease);
      pause = look_at_deliveries_every;
      if (due.empty()) continue;
      std::lock_guard lock(mutex_);
      std::move(due.begin(), due.end(), std::back_inserter(waiting_));
    } catch (const Error& error) {
      log_warning(std::string("webhooks wait for the database: ") + error.what());
      pause = look_again;
    }
    wake_.notify_all();
  }
}

void WebhookSender::send() {
  for (;;) {
    jobs::Delivery delivery;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;  // what is left is claimed again when its lease is over
      delivery = std::move(waiting_.front());
      waiting_.pop_front();
    }
    try {
      deliver(delivery);
    } catch (const Error& error) {
      log_warning("webhook " + delivery.event_id + ": " + error.what());
    }
  }
}

void WebhookSender::deliver(const jobs::Delivery& delivery) {
  std::vector<std::string> secrets;
  if (!delivery.endpoint_id.empty()) {
    const auto endpoint = context_.store.webhook(delivery.endpoint_id);
    if (!endpoint) return context_.store.finish_delivery(delivery.id, false, {}, "the endpoint was deleted");
    secrets = secrets_of(*endpoint, jobs::now());
  } else if (!context_.settings.webhook_secret.empty()) {
    secrets = {context_.settings.webhook_secret};
  }
  OutboundAnswer answer;
  try {
    check_url(delivery.url, context_.webhook_rules());
    answer =
        post(delivery.url, webhook_headers(delivery.event_id, jobs::unix_seconds(jobs::now()), delivery.body, secrets),
             delivery.body, context_.webhook_rules());
  } catch (const Error& error) {
    answer.error = error.what();
  }
  constexpr int gone = 410;
  const bool delivered = answer.status >= 200 && answer.status < 300;
  const std::string error = delivered ? "" : answer.status ? "HTTP " + std::to_string(answer.status) : answer.error;
  context_.metrics.count_delivery(delivered);
  const int attempts = delivery.attempts + 1;
  std::optional<jobs::Time> again;
  if (!delivered && answer.status != gone && attempts < context_.settings.webhook_attempts)
    again = jobs::now() + retry_delay(attempts);
  context_.store.finish_delivery(delivery.id, delivered, again, error);
}

}  // namespace prax::server
