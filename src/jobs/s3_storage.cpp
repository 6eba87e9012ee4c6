#include <curl/curl.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/hash.h"
#include "jobs/result_storage.h"
#include "jobs/s3_signature.h"
#include "jobs/storage_names.h"

namespace prax::jobs {

namespace {

constexpr const char* empty_sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr long connect_seconds = 10;
//! A transfer that moves less than a byte a second for so long is given up.
constexpr long stalled_seconds = 30;
constexpr int tries = 4;

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct CloseCurl {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
struct CloseMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using Curl = std::unique_ptr<CURL, CloseCurl>;
using HeaderList = std::unique_ptr<curl_slist, FreeList>;

struct Answer {
  long status = 0;
  std::string body;
  uint64_t length = 0;
};

size_t append_body(char* bytes, size_t size, size_t count, void* answer) {
  static_cast<std::string*>(answer)->append(bytes, size * count);
  return size * count;
}

//! Text between <tag> and </tag>; the service's XML is flat where we read it.
std::vector<std::string> tagged(const std::string& xml, const std::string& tag) {
  std::vector<std::string> found;
  const std::string open = "<" + tag + ">", close = "</" + tag + ">";
  for (size_t at = xml.find(open); at != std::string::npos; at = xml.find(open, at)) {
    at += open.size();
    const size_t end = xml.find(close, at);
    if (end == std::string::npos) break;
    found.push_back(xml.substr(at, end - at));
    at = end;
  }
  return found;
}

Error refused(const std::string& what, const Answer& answer) {
  const auto codes = tagged(answer.body, "Code");
  const std::string code = codes.empty() ? "HTTP " + std::to_string(answer.status) : codes.front();
  constexpr long insufficient_storage = 507;
  if (answer.status == insufficient_storage || code == "QuotaExceeded" || code == "XMinioStorageFull")
    return {ErrorKind::disk_full, what + " failed: the storage is full (" + code + ")", "make room in the bucket"};
  return {ErrorKind::io, what + " failed: " + code, "check the bucket's name, its region and the access key's rights"};
}

//! A GET whose body is taken piece by piece.
class S3Reader : public StoredReader {
public:
  S3Reader(Curl curl, HeaderList headers, std::string what)
      : headers_(std::move(headers)), curl_(std::move(curl)), multi_(curl_multi_init()), what_(std::move(what)) {
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEFUNCTION, &S3Reader::take);
    curl_easy_setopt(curl_.get(), CURLOPT_WRITEDATA, this);
    curl_multi_add_handle(multi_.get(), curl_.get());
  }
  ~S3Reader() override { curl_multi_remove_handle(multi_.get(), curl_.get()); }
  S3Reader(const S3Reader&) = delete;
  S3Reader& operator=(const S3Reader&) = delete;

  //! Waits for the status.
  long begin() {
    while (buffered_.empty() && !done_) step();
    long status = 0;
    curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
    return status;
  }
  const std::string& what() const { return what_; }
  std::string rest() {
    while (!done_) {
      paused_ = false;
      step();
    }
    return buffered_;
  }

  size_t read(std::span<uint8_t> buffer) override {
    while (at_ == buffered_.size() && !done_) {
      buffered_.clear();
      at_ = 0;
      step();
    }
    const size_t count = std::min(buffer.size(), buffered_.size() - at_);
    std::copy_n(buffered_.begin() + static_cast<std::ptrdiff_t>(at_), count, buffer.begin());
    at_ += count;
    return count;
  }

private:
  static size_t take(char* bytes, size_t size, size_t count, void* self) {
    auto& reader = *static_cast<S3Reader*>(self);
    // What was not taken yet is enough: the service waits.
    constexpr size_t enough = 1 << 20;
    if (reader.buffered_.size() - reader.at_ > enough) {
      reader.paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    reader.buffered_.append(bytes, size * count);
    return size * count;
  }

  void step() {
    constexpr int wait_ms = 1000;
    if (paused_) {
      paused_ = false;
      curl_easy_pause(curl_.get(), CURLPAUSE_CONT);
    }
    int running = 0;
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK ||
        (running > 0 && buffered_.size() == at_ &&
         curl_multi_poll(multi_.get(), nullptr, 0, wait_ms, nullptr) != CURLM_OK))
      throw Error(ErrorKind::io, what_ + " failed", "check the network");
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      done_ = true;
      if (message->data.result != CURLE_OK)
        throw Error(ErrorKind::io, what_ + " failed: " + curl_easy_strerror(message->data.result), "check the network");
    }
  }

  HeaderList headers_;
  Curl curl_;
  std::unique_ptr<CURLM, CloseMulti> multi_;
  std::string what_, buffered_;
  size_t at_ = 0;
  bool done_ = false, paused_ = false;
};

class S3Storage : public ResultStorage {
public:
  explicit S3Storage(const S3Options& options) : options_(options) {
    static std::once_flag once;
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
    if (options_.bucket.empty())
      throw Error(ErrorKind::usage, "the storage's address names no bucket", "write it as s3://bucket/prefix");
    if (options_.access_key.empty() || options_.secret_key.empty())
      throw Error(ErrorKind::usage, "there are no credentials for the bucket " + options_.bucket,
                  "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    while (options_.endpoint.ends_with('/')) options_.endpoint.pop_back();
    while (options_.prefix.ends_with('/')) options_.prefix.pop_back();
    if (!options_.prefix.empty()) require_storage_name(options_.prefix);
    const size_t scheme = options_.endpoint.find("://");
    if (scheme == std::string::npos)
      throw Error(ErrorKind::usage, "the storage's endpoint is '" + options_.endpoint + "', which is no URL",
                  "write it as https://host or http://host:port");
    host_ = options_.endpoint.substr(scheme + 3);
  }

  void put(const std::string& name, const std::filesystem::path& file, const std::string& media_type) override {
    S3Request request = object_request("PUT", name);
    request.headers["content-type"] = media_type;
    request.payload_sha256 = hex(sha256_of_file(file));
    const Answer answer = perform(request, &file);
    if (answer.status != ok) throw refused("storing " + name, answer);
  }

  std::optional<uint64_t> size(const std::string& name) override {
    const Answer answer = perform(object_request("HEAD", name));
    if (answer.status == not_found) return std::nullopt;
    if (answer.status != ok) throw refused("asking for " + name, answer);
    return answer.length;
  }

  std::unique_ptr<StoredReader> open(const std::string& name, uint64_t offset, std::optional<uint64_t> count) override {
    constexpr long partial = 206, range_not_satisfiable = 416;
    S3Request request = object_request("GET", name);
    if (count && *count == 0) return size(name) ? std::make_unique<NoBytes>() : nullptr;
    if (offset > 0 || count)
      request.headers["range"] =
          "bytes=" + std::to_string(offset) + "-" + (count ? std::to_string(offset + *count - 1) : "");
    HeaderList headers;
    Curl curl = prepared(request, headers);
    auto reader = std::make_unique<S3Reader>(std::move(curl), std::move(headers), "reading " + name);
    const long status = reader->begin();
    if (status == ok || status == partial) return reader;
    if (status == not_found) return nullptr;
    if (status == range_not_satisfiable) return std::make_unique<NoBytes>();
    throw refused(reader->what(), {status, reader->rest(), 0});
  }

  void remove(const std::string& name) override { remove_object(object_request("DELETE", name), name); }

  void remove_folder(const std::string& folder) override {
    for (;;) {
      const auto keys = keys_in(folder);
      for (const std::string& key : keys) remove_object(key_request("DELETE", key), key);
      if (keys.empty()) return;
    }
  }

  std::vector<std::string> folders(const std::string& folder) override {
    const size_t prefix = key_of(folder).size() + 1;
    std::vector<std::string> names;  // keys come in order
    for (const std::string& key : keys_in(folder)) {
      const size_t slash = key.find('/', prefix);
      if (slash == std::string::npos) continue;
      std::string name = key.substr(prefix, slash - prefix);
      if (names.empty() || names.back() != name) names.push_back(std::move(name));
    }
    return names;
  }

  void check() override {
    S3Request request = bucket_request("GET");
    request.query = {{"list-type", "2"}, {"max-keys", "1"}};
    const Answer answer = perform(request);
    if (answer.status != ok) throw refused("looking into the bucket " + options_.bucket, answer);
  }

  std::string describe() const override {
    return "s3://" + options_.bucket + (options_.prefix.empty() ? "" : "/" + options_.prefix) + " at " + host_;
  }

private:
  static constexpr long ok = 200, no_content = 204, not_found = 404;

  struct NoBytes : StoredReader {
    size_t read(std::span<uint8_t>) override { return 0; }
  };

  //! The first of them, in order: a thousand at most.
  std::vector<std::string> keys_in(const std::string& folder) {
    require_storage_name(folder);
    S3Request request = bucket_request("GET");
    request.query = {{"list-type", "2"}, {"prefix", key_of(folder) + "/"}};
    const Answer answer = perform(request);
    if (answer.status != ok) throw refused("listing " + folder, answer);
    return tagged(answer.body, "Key");
  }

  std::string key_of(const std::string& name) const {
    return options_.prefix.empty() ? name : options_.prefix + "/" + name;
  }

  S3Request bucket_request(const char* method) const {
    return {method, host_, "/" + uri_encoded(options_.bucket), {}, {}, empty_sha256};
  }
  S3Request key_request(const char* method, const std::string& key) const {
    S3Request request = bucket_request(method);
    request.path += "/" + uri_encoded(key, true);
    return request;
  }
  S3Request object_request(const char* method, const std::string& name) const {
    require_storage_name(name);
    return key_request(method, key_of(name));
  }

  void remove_object(const S3Request& request, const std::string& name) {
    const Answer answer = perform(request);
    if (answer.status != ok && answer.status != no_content && answer.status != not_found)
      throw refused("removing " + name, answer);
  }

  Curl prepared(const S3Request& request, HeaderList& headers) const {
    Curl curl(curl_easy_init());
    if (!curl) throw Error(ErrorKind::resource, "there is not enough memory for a network connection");
    curl_slist* list = nullptr;
    for (const auto& [name, value] : signed_headers(request, options_, now()))
      list = curl_slist_append(list, (name + ": " + value).c_str());
    list = curl_slist_append(list, "Expect:");
    headers.reset(list);
    const std::string query = query_text(request.query);
    const std::string url = options_.endpoint + request.path + (query.empty() ? "" : "?" + query);
    curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT, connect_seconds);
    curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, stalled_seconds);
    curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
    if (request.method == "HEAD") curl_easy_setopt(curl.get(), CURLOPT_NOBODY, 1L);
    if (request.method == "DELETE") curl_easy_setopt(curl.get(), CURLOPT_CUSTOMREQUEST, "DELETE");
    return curl;
  }

  Answer attempt(const S3Request& request, const std::filesystem::path* upload) const {
    HeaderList headers;
    const Curl curl = prepared(request, headers);
    Answer answer;
    curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &append_body);
    curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &answer.body);
    std::unique_ptr<std::FILE, CloseFile> file;
    if (upload) {
      file.reset(std::fopen(upload->c_str(), "rb"));
      if (!file) throw Error(ErrorKind::io, upload->string() + " cannot be read", "check that it is there");
      curl_easy_setopt(curl.get(), CURLOPT_UPLOAD, 1L);
      curl_easy_setopt(curl.get(), CURLOPT_READDATA, file.get());
      curl_easy_setopt(curl.get(), CURLOPT_INFILESIZE_LARGE,
                       static_cast<curl_off_t>(std::filesystem::file_size(*upload)));
    }
    if (const CURLcode code = curl_easy_perform(curl.get()); code != CURLE_OK)
      throw Error(ErrorKind::io, "the storage at " + host_ + " cannot be reached: " + curl_easy_strerror(code),
                  "check its address and the network");
    curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &answer.status);
    curl_off_t length = 0;
    curl_easy_getinfo(curl.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    answer.length = length > 0 ? static_cast<uint64_t>(length) : 0;
    return answer;
  }

  //! All these requests may be sent again: they come to the same end.
  Answer perform(const S3Request& request, const std::filesystem::path* upload = nullptr) const {
    constexpr long server_errors = 500, too_many = 429;
    Milliseconds pause(200);
    for (int left = tries;; pause *= 3) {
      --left;
      try {
        Answer answer = attempt(request, upload);
        if ((answer.status < server_errors && answer.status != too_many) || left == 0) return answer;
      } catch (const Error&) {
        if (left == 0) throw;
      }
      std::this_thread::sleep_for(pause);
    }
  }

  S3Options options_;
  std::string host_;
};

}  // namespace

std::unique_ptr<ResultStorage> open_s3_storage(const S3Options& options) {
  return std::make_unique<S3Storage>(options);
}

}  // namespace prax::jobs
