#include <fmt/format.h>

#include <charconv>
#include <ctime>
#include <functional>
#include <memory>

#include "base/error.h"
#include "commands.h"
#include "data_options.h"
#include "output.h"
#include "settings_flags.h"

namespace prax::app {

using nlohmann::json;

namespace {

struct AuditOptions {
  DataOptions place;
  std::vector<std::string> heads;
  int64_t after = 0, limit = 0;
  bool json = false;
};

//! "SEQUENCE:HASH"
jobs::AuditHead head_of(const std::string& text) {
  jobs::AuditHead head;
  const size_t colon = text.find(':');
  const char* end = text.data() + std::min(colon, text.size());
  const auto [at, error] = std::from_chars(text.data(), end, head.sequence);
  const std::string hash = colon == std::string::npos ? "" : text.substr(colon + 1);
  if (error != std::errc() || at != end || head.sequence < 0 || hash.size() != head.hash.size() ||
      hash.find_first_not_of("0123456789abcdef") != std::string::npos)
    throw Error(ErrorKind::usage, "--head is '" + text + "', which is no end of a log",
                "write it as `prax audit verify` prints it: NUMBER:HASH");
  head.hash = hash;
  return head;
}

void verify_log(const AuditOptions& o, int& exit_code) {
  const auto folder = o.place.folder(true);
  const auto store = folder.open_store(o.place.database);
  std::vector<jobs::AuditHead> anchors;
  for (const std::string& text : o.heads) anchors.push_back(head_of(text));
  const auto kept = jobs::read_anchor(folder.audit_anchor());
  if (kept) anchors.push_back(*kept);
  const jobs::AuditVerdict verdict = jobs::verify_audit(*store, anchors);
  const std::string head = std::to_string(verdict.head.sequence) + ":" + verdict.head.hash;
  exit_code = verdict.intact ? exit_done : exit_failed;
  if (verdict.intact && verdict.head.sequence > 0) jobs::keep_anchor(folder.audit_anchor(), verdict.head);
  if (o.json) {
    print_json({{"intact", verdict.intact},
                {"entries", verdict.entries},
                {"problem", verdict.problem},
                {"head", head},
                {"anchors", anchors.size()}});
    return;
  }
  if (!verdict.intact) {
    fmt::print("the audit log is broken after {} entries: {}\n", verdict.entries, verdict.problem);
    return;
  }
  fmt::print("the audit log is intact: {} entries, checked against {} earlier end{}\n{}\n", verdict.entries,
             anchors.size(), anchors.size() == 1 ? "" : "s", head);
}

void show(const AuditOptions& o) {
  constexpr int piece = 500;
  const auto store = o.place.folder(true).open_store(o.place.database);
  int64_t after = o.after, left = o.limit;
  while (o.limit == 0 || left > 0) {
    const auto entries =
        store->audit_entries(after, o.limit == 0 ? piece : static_cast<int>(std::min<int64_t>(piece, left)));
    if (entries.empty()) return;
    for (const jobs::AuditEntry& e : entries) {
      if (o.json) {
        print_json(jobs::to_json(e));
        continue;
      }
      const std::time_t seconds = jobs::unix_seconds(e.at);
      std::tm utc = {};
      gmtime_r(&seconds, &utc);
      char when[32];
      std::strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
      fmt::print("{:>6}  {}  {:<16} {:<22} {}  {}\n", e.sequence, when, e.event.action, e.event.actor, e.event.subject,
                 e.event.details.dump(-1, ' ', false, json::error_handler_t::replace));
    }
    after = entries.back().sequence;
    left -= static_cast<int64_t>(entries.size());
  }
}

}  // namespace

void add_audit(CLI::App& app, int& exit_code) {
  auto o = std::make_shared<AuditOptions>();
  auto* audit = app.add_subcommand("audit", "Who made what, when, with which key and model");
  audit->require_subcommand(1);
  auto* c = audit->add_subcommand("verify", "Prove that the log was not changed");
  c->footer(
      "What the log and its end in the data folder cannot show is a log that was computed anew by someone who can "
      "write\n"
      "both. Write the last line of this command down elsewhere, and give it with --head another time.");
  const auto with_place = [o](CLI::App& command, const std::function<void()>& run) {
    auto flags = std::make_shared<SettingsFlags>(command, server::SettingUser::tool);
    command.callback([o, flags, run] {
      o->place = DataOptions(flags->load());
      run();
    });
  };
  with_place(*c, [o, &exit_code] { verify_log(*o, exit_code); });
  c->add_option("--head", o->heads, "An end of the log that was seen earlier; may be repeated")
      ->type_name("NUMBER:HASH")
      ->allow_extra_args(false);
  c->add_flag("--json", o->json, "One JSON object on stdout");
  c = audit->add_subcommand("show", "The log's entries");
  with_place(*c, [o] { show(*o); });
  c->add_option("--after", o->after, "Only those after this number")->type_name("N");
  c->add_option("--limit", o->limit, "At most so many (all)")->type_name("N");
  c->add_flag("--json", o->json, "One JSON object a line on stdout");
}

}  // namespace prax::app
