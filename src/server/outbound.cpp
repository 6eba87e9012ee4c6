#include "server/outbound.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <array>
#include <cstring>
#include <memory>
#include <mutex>

#include "base/error.h"
#include "base/version.h"
#include "http/message.h"

namespace prax::server {
namespace {

struct Network {
  uint32_t address;
  int bits;
};

bool is_private_v4(uint32_t address) {
  constexpr Network networks[] = {
      {0x00000000, 8},  {0x0A000000, 8},  {0x64400000, 10}, {0x7F000000, 8},  {0xA9FE0000, 16},
      {0xAC100000, 12}, {0xC0000000, 24}, {0xC0000200, 24}, {0xC0586300, 24}, {0xC0A80000, 16},
      {0xC6120000, 15}, {0xC6336400, 24}, {0xCB007100, 24}, {0xE0000000, 4},  {0xF0000000, 4},
  };
  for (const Network& network : networks)
    if ((address >> (32 - network.bits)) == (network.address >> (32 - network.bits))) return true;
  return false;
}

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

bool is_private_v6(const std::array<uint8_t, 16>& a) {
  constexpr uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  constexpr uint8_t translated[] = {0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0};
  if (std::memcmp(a.data(), mapped, sizeof mapped) == 0 || std::memcmp(a.data(), translated, sizeof translated) == 0)
    return is_private_v4(big_endian(a.data() + 12));
  if (a[0] == 0x20 && a[1] == 0x02) return is_private_v4(big_endian(a.data() + 2));  // 6to4
  // Global unicast is 2000::/3; 2001::/23 are protocol assignments (Teredo ...), 2001:db8::/32 is documentation.
  if ((a[0] & 0xE0) != 0x20) return true;
  return a[0] == 0x20 && a[1] == 0x01 && ((a[2] & 0xFE) == 0 || (a[2] == 0x0D && a[3] == 0xB8));
}

bool is_private(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    return is_private_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return true;
  sockaddr_in6 v6;
  std::memcpy(&v6, address, sizeof v6);
  std::array<uint8_t, 16> bytes;
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return is_private_v6(bytes);
}

curl_socket_t open_public(void*, curlsocktype, curl_sockaddr* address) {
  if (is_private(&address->addr)) return CURL_SOCKET_BAD;
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

using Curl = std::unique_ptr<CURL, decltype(&curl_easy_cleanup)>;

Curl make_curl(const std::string& url, const OutboundRules& rules) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  Curl curl(curl_easy_init(), curl_easy_cleanup);
  if (!curl) throw Error(ErrorKind::resource, "there is not enough memory to call another server");
  const char* schemes = rules.private_addresses ? "https,http" : "https";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, schemes);
  curl_easy_setopt(curl.get(), CURLOPT_REDIR_PROTOCOLS_STR, schemes);
  curl_easy_setopt(curl.get(), CURLOPT_PROXY, "");  // a proxy would hide where the call goes
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(rules.timeout.count()));
  curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, (std::string("Praxinoscope/") + version()).c_str());
  if (!rules.private_addresses) curl_easy_setopt(curl.get(), CURLOPT_OPENSOCKETFUNCTION, open_public);
  return curl;
}

OutboundAnswer perform(const Curl& curl) {
  OutboundAnswer answer;
  const CURLcode code = curl_easy_perform(curl.get());
  if (code == CURLE_OK) {
    long status = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
    answer.status = static_cast<int>(status);
  } else if (code == CURLE_OPERATION_TIMEDOUT) {
    answer.error = "timed out";
  } else {
    answer.error = curl_easy_strerror(code);
  }
  return answer;
}

size_t drop(char*, size_t size, size_t count, void*) { return size * count; }

struct Keep {
  http::Spool* body;
  uint64_t limit;
};

size_t keep(char* bytes, size_t size, size_t count, void* to) {
  auto* target = static_cast<Keep*>(to);
  if (target->body->size() + size * count > target->limit) return 0;
  try {
    target->body->append({bytes, size * count});
  } catch (const Error&) {
    return 0;
  }
  return size * count;
}

}  // namespace

bool is_private_address(const std::string& address) {
  in_addr v4 = {};
  if (inet_pton(AF_INET, address.c_str(), &v4) == 1) return is_private_v4(ntohl(v4.s_addr));
  std::array<uint8_t, 16> v6;
  return inet_pton(AF_INET6, address.c_str(), v6.data()) == 1 && is_private_v6(v6);
}

void check_url(const std::string& url, const OutboundRules& rules) {
  const std::string hint = rules.private_addresses ? "it begins with https:// or http://" : "it begins with https://";
  std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
    throw Error(ErrorKind::usage, "the URL cannot be read", hint);
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    std::string value;
    if (curl_url_get(parsed.get(), which, &text, 0) == CURLUE_OK) value = text;
    curl_free(text);
    return value;
  };
  const std::string scheme = part(CURLUPART_SCHEME);
  if (scheme != "https" && !(scheme == "http" && rules.private_addresses))
    throw Error(ErrorKind::usage, "the URL's scheme '" + scheme.substr(0, 20) + "' is not allowed", hint);
  std::string host = part(CURLUPART_HOST);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!rules.private_addresses && (is_private_address(host) || host == "localhost" || host.ends_with(".localhost")))
    throw Error(ErrorKind::usage, "the URL leads into a private network",
                "use a public address; the operator can allow private ones");
}

OutboundAnswer post(const std::string& url, const std::vector<std::pair<std::string, std::string>>& headers,
                    const std::string& body, const OutboundRules& rules) {
  const Curl curl = make_curl(url, rules);
  curl_slist* list = nullptr;
  for (const auto& [name, value] : headers) list = curl_slist_append(list, (name + ": " + value).c_str());
  list = curl_slist_append(list, "Expect:");
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> owner(list, curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, list);
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, drop);
  return perform(curl);
}

OutboundAnswer get(const std::string& url, uint64_t limit, http::Spool& body, const OutboundRules& rules) {
  const Curl curl = make_curl(url, rules);
  constexpr long most_redirects = 3;
  Keep target{&body, limit};
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_MAXREDIRS, most_redirects);
  curl_easy_setopt(curl.get(), CURLOPT_MAXFILESIZE_LARGE, static_cast<curl_off_t>(limit));
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, keep);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &target);
  OutboundAnswer answer = perform(curl);
  if (body.size() + 1 > limit && !answer.error.empty()) answer.error = "the answer is too large";
  return answer;
}

}  // namespace prax::server
