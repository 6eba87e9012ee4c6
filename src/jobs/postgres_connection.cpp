#include <charconv>
#include <pqxx/pqxx>

#include "jobs/database.h"

namespace prax::jobs {

namespace {

using Kind = DatabaseProblem::Kind;

//! By the class of the SQLSTATE (PostgreSQL 15, appendix A).
Kind kind_of(const std::string& state) {
  if (state.empty()) return Kind::transient;  // libpqxx's word for an answer that never came: the server has gone away
  if (state == "53100") return Kind::full;
  if (state == "25P03") return Kind::transient;               // this process was stopped in the middle of a transaction
  for (const char* passing : {"08", "40", "53", "55", "57"})  // connection, conflict, resources, locks, operator
    if (state.starts_with(passing)) return Kind::transient;
  return Kind::other;
}

//! Runs `work` with what libpqxx throws as DatabaseProblem.
template <typename Work>
auto translated(Work&& work) {
  try {
    return work();
  } catch (const pqxx::broken_connection& problem) {
    throw DatabaseProblem(Kind::transient, problem.what());
  } catch (const pqxx::in_doubt_error& problem) {  // the connection broke during the commit
    throw DatabaseProblem(Kind::transient, problem.what());
  } catch (const pqxx::sql_error& problem) {
    throw DatabaseProblem(kind_of(problem.sqlstate()), problem.what());
  } catch (const pqxx::failure& problem) {
    throw DatabaseProblem(Kind::other, problem.what());
  }
}

std::string text_of(double value) {
  char digits[32];
  const auto written = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, written.ptr};
}

class PostgresConnection : public Connection {
public:
  explicit PostgresConnection(const std::string& url, const StoreOptions& options)
      : connection_(translated([&] { return std::make_unique<pqxx::connection>(url); })) {
    translated([&] {
      pqxx::nontransaction session(*connection_);
      session.exec("SET client_min_messages = warning");
      session.exec("SET lock_timeout = " + std::to_string(options.busy_timeout.count()));
      // A process that was stopped in the middle of a transaction must not hold up all others.
      session.exec("SET idle_in_transaction_session_timeout = " + std::to_string(options.busy_timeout.count()));
    });
  }

  std::vector<Row> run(const std::string& sql, const Values& values = {}) override {
    return translated([&] {
      std::vector<std::string> texts;
      std::vector<const char*> parameters;
      texts.reserve(values.size());  // pointers into it are kept
      for (const Value& value : values) {
        if (const auto* number = std::get_if<int64_t>(&value))
          texts.push_back(std::to_string(*number));
        else if (const auto* real = std::get_if<double>(&value))
          texts.push_back(text_of(*real));
        else if (const auto* text = std::get_if<std::string>(&value))
          texts.push_back(*text);
        else {
          parameters.push_back(nullptr);
          continue;
        }
        parameters.push_back(texts.back().c_str());
      }
      const pqxx::result result = transaction_->exec_params(sql, pqxx::prepare::make_dynamic_params(parameters));
      std::vector<Row> rows;
      for (const auto& row : result) {
        std::vector<std::optional<std::string>> cells;
        for (const auto& field : row) {
          cells.emplace_back();
          if (!field.is_null()) cells.back().emplace(field.c_str(), field.size());
        }
        rows.emplace_back(std::move(cells));
      }
      return rows;
    });
  }

  void begin(bool writes) override {
    translated([&] {
      transaction_ = std::make_unique<pqxx::work>(*connection_);
      // One writer at a time, as in SQLite: the order of versions and of the audit log is then that of the commits.
      constexpr const char* lock = "SELECT pg_advisory_xact_lock(5066549)";  // any number that is ours
      if (writes) transaction_->exec(lock);
    });
  }

  void commit() override {
    translated([&] { transaction_->commit(); });
    transaction_.reset();
  }

  void rollback() noexcept override {
    try {
      transaction_.reset();
    } catch (...) {  // the connection is given up anyway
    }
  }

private:
  std::unique_ptr<pqxx::connection> connection_;
  std::unique_ptr<pqxx::work> transaction_;
};

}  // namespace

std::unique_ptr<Connection> open_postgres(const std::string& url, const StoreOptions& options) {
  return std::make_unique<PostgresConnection>(url, options);
}

}  // namespace prax::jobs
