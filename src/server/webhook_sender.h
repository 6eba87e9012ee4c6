#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/context.h"

namespace prax::server {

//! The headers of a delivery by Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature, with one
//! signature for each secret ("whsec_" and base64, or raw bytes). Without a secret there is no signature.
std::vector<std::pair<std::string, std::string>> webhook_headers(const std::string& id, int64_t unix_seconds,
                                                                 const std::string& body,
                                                                 const std::vector<std::string>& secrets);

//! The secrets that sign for an endpoint now.
std::vector<std::string> secrets_of(const jobs::WebhookEndpoint& endpoint, jobs::Time at);

//! When to try again after so many failed attempts: seconds at first, hours in the end.
jobs::Milliseconds retry_delay(int attempts);

//! Delivers the store's events to their receivers, on threads of its own. Several servers may share the work.
class WebhookSender {
public:
  explicit WebhookSender(const Context& context);
  ~WebhookSender();
  WebhookSender(const WebhookSender&) = delete;
  WebhookSender& operator=(const WebhookSender&) = delete;

private:
  void claim();
  void send();
  void deliver(const jobs::Delivery& delivery);

  const Context& context_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<jobs::Delivery> waiting_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace prax::server
