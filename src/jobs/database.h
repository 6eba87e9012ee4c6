#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "jobs/store.h"

// What SqlStore needs of a database, so that each statement is written once for SQLite and PostgreSQL. Both number
// parameters $1, $2 ... and know RETURNING and ON CONFLICT.
namespace prax::jobs {

using Value = std::variant<std::monostate, int64_t, double, std::string>;  // monostate is NULL
using Values = std::vector<Value>;

template <typename T>
Value value_or_null(const std::optional<T>& value) {
  return value ? Value(*value) : Value();
}
inline Value value_of(Time time) { return static_cast<int64_t>(time.time_since_epoch().count()); }
inline Value value_of(const std::optional<Time>& time) { return time ? value_of(*time) : Value(); }

//! Error(input) when a database cannot keep the text: it is no UTF-8, or has zero bytes.
void require_text(const std::string& text, const char* what);

//! One row of an answer, read from left to right.
class Row {
public:
  explicit Row(std::vector<std::optional<std::string>> cells) : cells_(std::move(cells)) {}

  int64_t integer();
  double real();
  std::string text();
  Time time() { return Time(Milliseconds(integer())); }
  bool flag() { return integer() != 0; }
  std::optional<int64_t> maybe_integer();
  std::optional<double> maybe_real();
  std::optional<std::string> maybe_text();
  std::optional<Time> maybe_time();

private:
  std::optional<std::string>& next();

  std::vector<std::optional<std::string>> cells_;
  size_t at_ = 0;
};

//! What a statement ran into. The text is the database's own.
class DatabaseProblem : public std::runtime_error {
public:
  enum class Kind {
    transient,  //!< connection lost, lock held by another, server restarting: the whole transaction can be run again
    full,       //!< no room on the disk
    foreign,    //!< no database, or none of ours
    other
  };
  DatabaseProblem(Kind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  Kind kind() const { return kind_; }

private:
  Kind kind_;
};

//! One connection; used by one thread at a time. All members throw DatabaseProblem.
class Connection {
public:
  virtual ~Connection() = default;
  virtual std::vector<Row> run(const std::string& sql, const Values& values = {}) = 0;
  //! Transactions that write run one after another, over all processes: the order of changes is the order of commits.
  virtual void begin(bool writes) = 0;
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
};

//! Connections and transactions that are run again while the database is away. Thread-safe.
class Database {
public:
  using Open = std::function<std::unique_ptr<Connection>()>;
  Database(std::string kind, std::string name, Open open, const StoreOptions& options);

  //! The work must come to the same end when it is run again after a commit of which nobody knows whether it succeeded.
  template <typename Work>
  auto read(Work&& work) {
    return transact(false, std::forward<Work>(work));
  }
  template <typename Work>
  auto write(Work&& work) {
    return transact(true, std::forward<Work>(work));
  }
  const std::string& kind() const { return kind_; }

private:
  template <typename Work>
  auto transact(bool writes, Work&& work) {
    using Result = decltype(work(std::declval<Connection&>()));
    if constexpr (std::is_void_v<Result>) {
      attempt(writes, work);
    } else {
      std::optional<Result> result;
      attempt(writes, [&](Connection& connection) { result.emplace(work(connection)); });
      return std::move(*result);
    }
  }
  void attempt(bool writes, const std::function<void(Connection&)>& work);
  std::unique_ptr<Connection> take();
  void give_back(std::unique_ptr<Connection> connection);
  void forget_one();

  const std::string kind_, name_;
  const Open open_;
  const StoreOptions options_;
  std::mutex mutex_, writing_;
  std::condition_variable free_;
  std::vector<std::unique_ptr<Connection>> idle_;
  int open_count_ = 0;
};

//! An SQLite file. The first connection makes the file.
std::unique_ptr<Connection> open_sqlite(const std::string& file, const StoreOptions& options);
//! A PostgreSQL server, by its URL.
std::unique_ptr<Connection> open_postgres(const std::string& url, const StoreOptions& options);

}  // namespace prax::jobs
