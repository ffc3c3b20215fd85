#include "operator/runtime/log.h"

#include <mutex>
#include <utility>

#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/base_sink.h"

namespace muster::runtime {
namespace {

constexpr char kHex[] = "0123456789abcdef";

// Length of the well-formed UTF-8 sequence at `i`; 0 when there is none. Overlong forms and
// surrogates pass: readers of logs put up with them, and a decoder's strictness is not worth its
// lines here.
std::size_t Utf8Length(std::string_view s, std::size_t i) {
  const auto lead = static_cast<unsigned char>(s[i]);
  const std::size_t length = lead < 0x80   ? 1
                             : lead < 0xc2 ? 0
                             : lead < 0xe0 ? 2
                             : lead < 0xf0 ? 3
                             : lead < 0xf5 ? 4
                                           : 0;
  if (length == 0 || i + length > s.size()) return 0;
  for (std::size_t k = 1; k < length; ++k) {
    if ((static_cast<unsigned char>(s[i + k]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// A JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD: one bad byte must not make
// the line unreadable to a machine.
void AppendJson(std::string* out, std::string_view s) {
  out->push_back('"');
  for (std::size_t i = 0; i < s.size();) {
    const auto c = static_cast<unsigned char>(s[i]);
    const std::size_t length = Utf8Length(s, i);
    if (length == 0) {
      *out += "\\ufffd";
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(s[i]);
    } else if (c == '\n') {
      *out += "\\n";
    } else if (c < 0x20 || c == 0x7f) {
      *out += "\\u00";
      out->push_back(kHex[c >> 4]);
      out->push_back(kHex[c & 15]);
    } else {
      out->append(s.substr(i, length));
    }
    i += length == 0 ? 1 : length;
  }
  out->push_back('"');
}

bool IsBare(std::string_view s) {
  if (s.empty()) return false;
  for (unsigned char c : s) {
    if (c <= 0x20 || c == '"' || c == '=' || c == '\\' || c == 0x7f) return false;
  }
  return true;
}

std::string TextLine(std::string_view component, std::string_view text,
                     std::initializer_list<LogField> fields) {
  std::string line(component);
  line += ": ";
  // One line stays one line: whatever reads logs by lines must not see half of one.
  for (char c : text) line.push_back(c == '\n' || c == '\r' ? ' ' : c);
  for (const LogField& field : fields) {
    line += " " + field.key + "=";
    if (IsBare(field.value)) {
      line += field.value;
    } else {
      AppendJson(&line, field.value);
    }
  }
  return line;
}

// Everything after "time" and "level", which the pattern gives.
std::string JsonLine(std::string_view component, std::string_view text,
                     std::initializer_list<LogField> fields) {
  std::string line = "\"component\":";
  AppendJson(&line, component);
  line += ",\"message\":";
  AppendJson(&line, text);
  for (const LogField& field : fields) {
    line.push_back(',');
    AppendJson(&line, field.key);
    line.push_back(':');
    if (field.quoted) {
      AppendJson(&line, field.value);
    } else {
      line += field.value;
    }
  }
  return line;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// spdlog's own stderr sink knows no other stream, and a test needs one.
class StreamSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StreamSink(std::FILE* out) : out_(out) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::fwrite(line.data(), 1, line.size(), out_);
    std::fflush(out_);
  }
  void flush_() override { std::fflush(out_); }

  std::FILE* const out_;
};

constexpr char kTextPattern[] = "%Y-%m-%dT%H:%M:%S.%fZ %-7l %v";
constexpr char kJsonPattern[] = R"({"time":"%Y-%m-%dT%H:%M:%S.%fZ","level":"%l",%v})";

}  // namespace

absl::StatusOr<LogFormat> ParseLogFormat(std::string_view text) {
  if (text == "text") return LogFormat::kText;
  if (text == "json") return LogFormat::kJson;
  return base::InvalidArgument("log format '" + std::string(text) + "' is not known: text or json");
}

absl::StatusOr<LogFormat> ChooseLogFormat(std::string_view flag, const char* environment) {
  if (!flag.empty()) return ParseLogFormat(flag);
  if (environment == nullptr || *environment == '\0') return LogFormat::kText;
  absl::StatusOr<LogFormat> format = ParseLogFormat(environment);
  if (!format.ok()) return base::Annotate(format.status(), "MUSTER_LOG_FORMAT");
  return format;
}

absl::StatusOr<LogLevel> ParseLogLevel(std::string_view text) {
  if (text == "debug") return LogLevel::kDebug;
  if (text == "info") return LogLevel::kInfo;
  if (text == "warning") return LogLevel::kWarning;
  if (text == "error") return LogLevel::kError;
  return base::InvalidArgument("log level '" + std::string(text) +
                               "' is not known: debug, info, warning or error");
}

LogField::LogField(std::string_view k, double v) : key(k) {
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%.9g", v);
  value.assign(text, static_cast<std::size_t>(length));
  // JSON has no infinity and no NaN.
  quoted = v != v || v - v != 0;
}

struct Logger::Sink {
  explicit Sink(const Options& options)
      : logger("muster", std::make_shared<StreamSink>(options.out)) {
    logger.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        options.format == LogFormat::kJson ? kJsonPattern : kTextPattern,
        spdlog::pattern_time_type::utc, "\n"));
    logger.set_level(spdlog::level::trace);
  }
  spdlog::logger logger;
};

Logger::Logger(const Options& options)
    : format_(options.format), level_(options.level), sink_(std::make_unique<Sink>(options)) {}

Logger::~Logger() = default;

void Logger::Log(LogLevel level, std::string_view component, std::string_view text,
                 std::initializer_list<LogField> fields) const {
  if (level < level_) return;
  const std::string line = format_ == LogFormat::kJson ? JsonLine(component, text, fields)
                                                       : TextLine(component, text, fields);
  sink_->logger.log(ToSpdlog(level), spdlog::string_view_t(line.data(), line.size()));
}

}  // namespace muster::runtime
