// One line of log: for people, or as JSON when machines read it. To stderr, safe from every thread.
//
//   2026-11-21T08:19:26.123456Z info    membership: evicted 3.2 reason="lost stream" epoch=4
//   {"time":"2026-11-21T08:19:26.123456Z","level":"info","component":"membership","message":"evicted
//    3.2","reason":"lost stream","epoch":4}
//
// A Logger is made in main and handed down; there is no global one. A line is written whole or not
// at all, and a write that fails (stderr closed) is dropped: training does not stop for its log.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::runtime {

enum class LogLevel { kDebug, kInfo, kWarning, kError };
enum class LogFormat { kText, kJson };

// "text" or "json"; InvalidArgument otherwise.
absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text);
// The flag --log-format when it is given, else MUSTER_LOG_FORMAT's value (null: not set), else
// text.
absl::StatusOr<LogFormat> ChooseLogFormat(std::string_view flag, const char* environment);
// "debug", "info", "warning" or "error"; InvalidArgument otherwise.
absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text);

// A named value at the end of a line. Numbers and booleans stay bare in JSON.
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(v), quoted(true) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v), quoted(true) {}
  LogField(std::string_view k, const char* v) : key(k), value(v), quoted(true) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false") {}
  LogField(std::string_view k, double v);
  LogField(std::string_view k, std::integral auto v) : key(k), value(std::to_string(v)) {}
  LogField(std::string_view k, base::MemberId v) : key(k), value(base::ToString(v)), quoted(true) {}
  template <typename Tag, typename Rep>
  LogField(std::string_view k, base::StrongInt<Tag, Rep> v)
      : key(k), value(std::to_string(v.value)) {}

  std::string key;
  std::string value;
  bool quoted = false;
};

class Logger final {
 public:
  struct Options {
    LogFormat format = LogFormat::kText;
    LogLevel level = LogLevel::kInfo;  // lines below it are not written
    std::FILE* out = stderr;
  };
  explicit Logger(const Options& options);
  ~Logger();
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  void Log(LogLevel level, std::string_view component, std::string_view text,
           std::initializer_list<LogField> fields = {}) const;

  void Debug(std::string_view component, std::string_view text,
             std::initializer_list<LogField> fields = {}) const {
    Log(LogLevel::kDebug, component, text, fields);
  }
  void Info(std::string_view component, std::string_view text,
            std::initializer_list<LogField> fields = {}) const {
    Log(LogLevel::kInfo, component, text, fields);
  }
  void Warning(std::string_view component, std::string_view text,
               std::initializer_list<LogField> fields = {}) const {
    Log(LogLevel::kWarning, component, text, fields);
  }
  void Error(std::string_view component, std::string_view text,
             std::initializer_list<LogField> fields = {}) const {
    Log(LogLevel::kError, component, text, fields);
  }

 private:
  struct Sink;
  const LogFormat format_;
  const LogLevel level_;
  std::unique_ptr<Sink> sink_;
};

}  // namespace muster::runtime
