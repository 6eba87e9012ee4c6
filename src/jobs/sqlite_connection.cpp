#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <unordered_map>

#include "jobs/database.h"

namespace prax::jobs {

namespace {

using Kind = DatabaseProblem::Kind;

Kind kind_of(int code) {
  switch (code & 0xff) {  // the primary code
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:  // others kept changing the locks of the log, as after a crash on a busy machine
      return Kind::transient;
    case SQLITE_FULL:
      return Kind::full;
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return Kind::foreign;
    default:
      return Kind::other;
  }
}

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

//! The rest of a statement's execution must not outlive the call: an open read holds the log back.
class Execution {
public:
  explicit Execution(sqlite3_stmt* statement) : statement_(statement) {}
  ~Execution() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

private:
  sqlite3_stmt* statement_;
};

class SqliteConnection : public Connection {
public:
  SqliteConnection(const std::string& file, const StoreOptions& options) {
    make_private(file);
    sqlite3* opened = nullptr;
    const int code = sqlite3_open_v2(file.c_str(), &opened,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
    database_.reset(opened);
    if (code != SQLITE_OK) fail(code);
    sqlite3_extended_result_codes(opened, 1);
    sqlite3_busy_timeout(opened, static_cast<int>(options.busy_timeout.count()));
    run("PRAGMA journal_mode = WAL");
    // A job that was accepted is on the disk: it survives the end of the power too.
    run("PRAGMA synchronous = FULL");
    run("PRAGMA foreign_keys = ON");
  }

  std::vector<Row> run(const std::string& sql, const Values& values = {}) override {
    sqlite3_stmt* statement = prepared(sql);
    const Execution execution(statement);
    for (size_t i = 0; i < values.size(); ++i) bind(statement, i, values[i]);
    std::vector<Row> rows;
    for (;;) {
      const int code = sqlite3_step(statement);
      if (code == SQLITE_DONE) return rows;
      if (code != SQLITE_ROW) fail(code);
      rows.push_back(row_of(statement));
    }
  }

  void begin(bool writes) override { run(writes ? "BEGIN IMMEDIATE" : "BEGIN"); }
  void commit() override { run("COMMIT"); }
  void rollback() noexcept override {
    if (sqlite3_get_autocommit(database_.get()) == 0)
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

private:
  //! It holds hashes of keys and what people asked for. One that exists is never opened here: closing it would drop the
  //! locks of all connections that this process has to it (POSIX), and others would take it for left and delete its
  //! log.
  static void make_private(const std::string& file) {
    constexpr mode_t owner_only = 0600;
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, owner_only);
    if (descriptor < 0 && errno == EEXIST) return;
    if (descriptor < 0) throw DatabaseProblem(errno == ENOSPC ? Kind::full : Kind::other, std::strerror(errno));
    ::close(descriptor);
  }

  [[noreturn]] void fail(int code) const {
    const int cause = database_ ? sqlite3_system_errno(database_.get()) : 0;
    const int primary = code & 0xff;
    const bool full = (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN) &&
                      (cause == ENOSPC || cause == EDQUOT || cause == EFBIG);
    throw DatabaseProblem(full ? Kind::full : kind_of(code),
                          database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code));
  }

  sqlite3_stmt* prepared(const std::string& sql) {
    if (const auto known = statements_.find(sql); known != statements_.end()) return known->second.get();
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(database_.get(), sql.c_str(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) fail(code);
    statements_.emplace(sql, Statement(statement));
    return statement;
  }

  void bind(sqlite3_stmt* statement, size_t index, const Value& value) {
    // "$1" is a name to SQLite: its number is that of its first appearance.
    const int at = sqlite3_bind_parameter_index(statement, ("$" + std::to_string(index + 1)).c_str());
    if (at == 0) return;
    int code = SQLITE_OK;
    if (const auto* number = std::get_if<int64_t>(&value))
      code = sqlite3_bind_int64(statement, at, *number);
    else if (const auto* real = std::get_if<double>(&value))
      code = sqlite3_bind_double(statement, at, *real);
    else if (const auto* text = std::get_if<std::string>(&value))
      code = sqlite3_bind_text64(statement, at, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    else
      code = sqlite3_bind_null(statement, at);
    if (code != SQLITE_OK) fail(code);
  }

  static Row row_of(sqlite3_stmt* statement) {
    std::vector<std::optional<std::string>> cells(static_cast<size_t>(sqlite3_column_count(statement)));
    for (size_t i = 0; i < cells.size(); ++i) {
      const int column = static_cast<int>(i);
      switch (sqlite3_column_type(statement, column)) {
        case SQLITE_NULL:
          break;
        case SQLITE_FLOAT: {  // SQLite's own text has 15 digits
          std::array<char, 32> digits;
          const auto written = std::to_chars(digits.begin(), digits.end(), sqlite3_column_double(statement, column));
          cells[i].emplace(digits.data(), written.ptr);
          break;
        }
        default: {
          const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
          cells[i].emplace(text ? text : "", static_cast<size_t>(sqlite3_column_bytes(statement, column)));
        }
      }
    }
    return Row(std::move(cells));
  }

  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::unordered_map<std::string, Statement> statements_;
};

}  // namespace

std::unique_ptr<Connection> open_sqlite(const std::string& file, const StoreOptions& options) {
  return std::make_unique<SqliteConnection>(file, options);
}

}  // namespace prax::jobs
