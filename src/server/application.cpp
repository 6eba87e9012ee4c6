#include "server/application.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/error.h"
#include "base/paths.h"
#include "base/version.h"
#include "jobs/housekeeping.h"
#include "server/catalog.h"
#include "server/errors.h"
#include "server/logging.h"
#include "server/routes.h"
#include "server/webhook_sender.h"
#include "server/worker_processes.h"

namespace prax::server {
namespace {

namespace fs = std::filesystem;

//! A folder of this process for uploads on their way; those of processes that are gone are removed.
class UploadFolder {
public:
  explicit UploadFolder(const fs::path& all) : path_(all / std::to_string(::getpid())) {
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(all, ignored)) {
      const int pid = std::atoi(entry.path().filename().c_str());
      if (pid <= 0 || pid == ::getpid() || ::kill(pid, 0) != 0) fs::remove_all(entry.path(), ignored);
    }
    std::error_code error;
    fs::create_directories(path_, error);
    if (error) throw Error(ErrorKind::io, "cannot make the folder " + path_.string() + ": " + error.message());
  }
  ~UploadFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  UploadFolder(const UploadFolder&) = delete;
  UploadFolder& operator=(const UploadFolder&) = delete;
  const fs::path& path() const { return path_; }

private:
  fs::path path_;
};

//! As many open files as the system lets us have: each client is one.
void raise_file_limit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool has_active_key(jobs::Store& store) {
  const auto keys = store.keys();
  return std::any_of(keys.begin(), keys.end(), [](const jobs::Key& key) {
    return key.id != jobs::local_key_id && key.id != jobs::studio_key_id && key.active(jobs::now());
  });
}

void require_keys(const Settings& settings, jobs::Store& store) {
  if (settings.no_keys || settings.loopback_only() || has_active_key(store)) return;
  throw Error(ErrorKind::usage,
              "the server would listen on " + settings.host + ", beyond this machine, and there is no key yet",
              "make one with `prax keys create NAME --data " + settings.data.string() + "`, or listen on 127.0.0.1");
}

const Caller* known_caller(const http::Request& request) { return std::any_cast<Caller>(&request.caller); }

}  // namespace

class Application::Impl {
public:
  Impl(Settings given, const fs::path& program)
      : settings_(std::move(given)),
        log_(settings_.log_format, settings_.log_level),
        catalog_(make_catalog(settings_)),
        folder_(settings_.data),
        store_(folder_.open_store(settings_.database)),
        storage_(folder_.open_storage(settings_.storage)),
        uploads_(folder_.path() / "uploads"),
        reservations_(*store_, settings_.quota) {
    require_keys(settings_, *store_);
    raise_file_limit();
    keys_ = std::make_unique<jobs::KeyRing>(*store_);
    feed_ = std::make_unique<jobs::ChangeFeed>(*store_);
    sessions_ = std::make_unique<Sessions>(*store_, *keys_);
    gate_ = std::make_unique<Gate>(settings_, *keys_, *sessions_);
    events_ = std::make_unique<EventHub>(*feed_, *keys_, *sessions_);
    learning_ = feed_->on_job([this](const jobs::Job& job) { estimates_.learn(job); });
    conversions_ = std::make_unique<Conversions>(*store_, *storage_, uploads_.path(), conversions_at_once());
    context_ = std::make_unique<Context>(Context{settings_, *store_, *storage_, catalog_, *keys_, *sessions_,
                                                 *conversions_, estimates_, *events_, metrics_, reservations_,
                                                 uploads_.path(), draining_, program});
    open_studio();
    server_ = std::make_unique<http::Server>(http_settings(), router(), hooks());
    sessions_->set_port(port());
    housekeeping_ = std::make_unique<jobs::Housekeeping>(*store_, *storage_, folder_.audit_anchor());
    webhooks_ = std::make_unique<WebhookSender>(*context_);
    if (!program.empty() && settings_.workers > 0)
      workers_ = std::make_unique<WorkerProcesses>(worker_command(program, settings_), settings_.workers,
                                                   [this](const std::string& name) { free_jobs_of(name); });
  }

  ~Impl() {
    workers_.reset();  // before what they report to
    log_.write("info", "stopped");
  }

  uint16_t port() const { return server_->port(); }

  std::string url() const { return url_of(settings_.host); }

  std::string studio_url() const {
    if (!studio_) return {};
    std::string host = settings_.host;
    if (host == "0.0.0.0") host = "127.0.0.1";
    if (host == "::") host = "::1";
    const std::string& token = sessions_->start_token();
    return url_of(host) + "/" + (token.empty() ? "" : "?token=" + token);
  }

  void run(const CancelToken& stop, const Reload& reload) {
    log_.write("info", "listening",
               {{"url", url()},
                {"data", settings_.data.string()},
                {"database", store_->kind()},
                {"storage", storage_->describe()},
                {"workers", workers_ ? settings_.workers : 0},
                {"version", version()}});
    if (!settings_.no_keys && !has_active_key(*store_))
      log_.write("warning", "no_keys_yet",
                 {{"text", std::string(studio_ ? "only the studio" : "nobody") +
                               " can use the server before there is a key: prax keys create NAME --data " +
                               settings_.data.string()}});
    if (!settings_.loopback_only() && settings_.tls_certificate.empty())
      log_.write("warning", "plain_http",
                 {{"text",
                   "keys cross the network unencrypted; give --tls-certificate and --tls-key, or put a proxy with "
                   "TLS in front"}});
    std::atomic<bool> over{false};
    std::thread watch([&] {
      constexpr auto look_every = std::chrono::milliseconds(50);
      constexpr int looks_between_key_checks = 10;
      for (int look = 0; !stop.cancelled() && !over; ++look) {
        if (look % looks_between_key_checks == 0) check_streams();
        if (reload.reload_asked && reload.reload_asked()) take_again(reload);
        std::this_thread::sleep_for(look_every);
      }
      draining_ = true;
      log_.write("info", "draining", {{"seconds", settings_.drain_time.count() / 1000}});
      server_->stop(settings_.drain_time);
      if (workers_) workers_->stop(settings_.drain_time);
    });
    try {
      server_->run();
    } catch (...) {
      over = true;
      watch.join();
      throw;
    }
    over = true;
    watch.join();
  }

private:
  std::string url_of(const std::string& host) const {
    const bool v6 = host.find(':') != std::string::npos;
    return std::string(settings_.tls_certificate.empty() ? "http://" : "https://") + (v6 ? "[" : "") + host +
           (v6 ? "]" : "") + ":" + std::to_string(port());
  }

  //! Encoders have threads of their own; workers are to have the machine.
  int conversions_at_once() const { return std::max(1, settings_.http_threads / 4); }

  //! The pages, and the token that opens them.
  void open_studio() {
    if (!settings_.studio) return;
    const fs::path& asked = settings_.studio_folder;
    if (std::error_code ignored; !asked.empty() && !fs::exists(asked / "index.html", ignored))
      throw Error(ErrorKind::usage, "there is no built studio in " + asked.string(),
                  "name the folder that has its index.html with --studio, or leave it out");
    studio_ = std::make_unique<StudioFiles>(asked.empty() ? studio_path() : asked);
    if (!settings_.no_keys) sessions_->allow_start_token();
  }

  http::ServerSettings http_settings() const {
    http::ServerSettings s;
    s.host = settings_.host;
    s.port = settings_.port;
    s.certificate = settings_.tls_certificate;
    s.private_key = settings_.tls_key;
    s.temporary = uploads_.path();
    s.threads = settings_.http_threads;
    s.limits.connections = static_cast<size_t>(settings_.max_connections);
    s.limits.json_bytes = settings_.max_json;
    s.limits.multipart_bytes = settings_.max_body;
    s.limits.header_time = settings_.header_timeout;
    s.limits.body_time = settings_.body_timeout;
    s.limits.idle_time = settings_.idle_timeout;
    s.limits.heartbeat = settings_.heartbeat;
    return s;
  }

  http::Router router() const {
    http::Router router;
    add_video_routes(router, *context_);
    add_content_routes(router, *context_);
    add_character_routes(router, *context_);
    add_model_routes(router, *context_);
    add_webhook_routes(router, *context_);
    add_live_routes(router, *context_);
    add_key_routes(router, *context_);
    add_library_routes(router, *context_);
    add_cut_routes(router, *context_);
    add_storyboard_routes(router, *context_);
    add_planning_routes(router, *context_);
    add_session_routes(router, *context_);
    add_operation_routes(router, *context_);
    if (studio_) add_studio_routes(router, *studio_);
    return router;
  }

  http::Hooks hooks() {
    http::Hooks hooks;
    hooks.gate = [this](http::Request& request, const http::Route& route) { gate_->check(request, route); };
    hooks.room = [this](http::Request& request, uint64_t bytes) { reservations_.reserve(request, bytes); };
    hooks.failure = [this](const std::exception_ptr& problem, const http::Request& request) {
      std::string detail;
      auto response = error_response(problem, &detail);
      if (!detail.empty())
        log_.write(response.status == 500 ? "error" : "warning", "failure", {{"id", request.id}, {"text", detail}});
      return response;
    };
    hooks.finish = [this](const http::Request& request, http::Response& response, double seconds) {
      finish(request, response, seconds);
    };
    hooks.log = [this](const http::Exchange& exchange) {
      const Caller* caller = known_caller(exchange.request);
      metrics_.add(exchange);
      log_.request(exchange, caller ? caller->key_id : "");
    };
    return hooks;
  }

  //! From the thread that watches.
  void take_again(const Reload& reload) {
    try {
      Settings wanted = reload.read_settings();
      if (wanted.tls_certificate.empty() != settings_.tls_certificate.empty())
        throw Error(ErrorKind::usage, "whether the server speaks TLS cannot change while it runs", "start it again");
      if (!wanted.tls_certificate.empty()) server_->renew_certificate(wanted.tls_certificate, wanted.tls_key);
      log_.set_level(wanted.log_level);
      log_.write("info", "reloaded", {{"certificate", wanted.tls_certificate.string()}, {"level", wanted.log_level}});
      wanted.tls_certificate = settings_.tls_certificate;
      wanted.tls_key = settings_.tls_key;
      wanted.log_level = settings_.log_level;
      if (wanted != settings_)
        log_.write("warning", "restart_needed",
                   {{"text", "other settings have changed; they hold from the next start on"}});
    } catch (const std::exception& problem) {
      const Error error = to_error(problem);
      log_.write("error", "reload_refused",
                 {{"text", error.hint().empty() ? error.what() : std::string(error.what()) + "; " + error.hint()}});
    }
  }

  void check_streams() {
    try {
      events_->check_listeners();
    } catch (const Error& error) {  // the database is away: the next look may find it
      log_.write("warning", "keys_unchecked", {{"text", error.what()}});
    }
  }

  //! A worker of ours has ended: its job goes on with the next one at once.
  void free_jobs_of(const std::string& worker) {
    try {
      store_->end_leases_of(worker);
    } catch (const Error& error) {  // they end in time
      log_.write("warning", "leases_kept", {{"worker", worker}, {"text", error.what()}});
    }
  }

  void finish(const http::Request& request, http::Response& response, double seconds) const {
    constexpr double ms = 1000;
    response.headers.set("x-request-id", request.id);
    response.headers.set("openai-processing-ms", std::to_string(static_cast<int64_t>(seconds * ms)));
    response.headers.set("x-content-type-options", "nosniff");
    if (!response.headers.contains("cache-control")) response.headers.set("cache-control", "no-store");
    if (const Caller* caller = known_caller(request); caller && caller->rate) {
      const auto& rate = *caller->rate;
      response.headers.set("x-ratelimit-limit-requests", std::to_string(rate.limit));
      response.headers.set("x-ratelimit-remaining-requests", std::to_string(rate.remaining));
      response.headers.set("x-ratelimit-reset-requests",
                           std::to_string(static_cast<int64_t>(rate.reset_seconds * ms)) + "ms");
    }
    gate_->add_cors(request, response);
  }

  const Settings settings_;
  Log log_;
  const jobs::ModelCatalog catalog_;
  const jobs::DataFolder folder_;
  const std::unique_ptr<jobs::Store> store_;
  const std::unique_ptr<jobs::ResultStorage> storage_;
  const UploadFolder uploads_;
  Reservations reservations_;
  Estimates estimates_;
  Metrics metrics_;
  std::atomic<bool> draining_{false};
  std::unique_ptr<jobs::KeyRing> keys_;
  std::unique_ptr<jobs::ChangeFeed> feed_;
  jobs::ChangeFeed::Subscription learning_;
  std::unique_ptr<Sessions> sessions_;
  std::unique_ptr<StudioFiles> studio_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<EventHub> events_;
  std::unique_ptr<Conversions> conversions_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<jobs::Housekeeping> housekeeping_;
  std::unique_ptr<WebhookSender> webhooks_;
  std::unique_ptr<WorkerProcesses> workers_;
};

Application::Application(Settings settings, const fs::path& program)
    : impl_(std::make_unique<Impl>(std::move(settings), program)) {}
Application::~Application() = default;
uint16_t Application::port() const { return impl_->port(); }
std::string Application::url() const { return impl_->url(); }
std::string Application::studio_url() const { return impl_->studio_url(); }
void Application::run(const CancelToken& stop, const Reload& reload) { impl_->run(stop, reload); }

}  // namespace prax::server
