#include "operator/app/audit_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "operator/api/quantity.h"

namespace muster::app {
namespace {

using local::UniqueFd;
using nlohmann::json;

// The last whole line, where it ends, and what a crash has left after it.
struct Tail {
  std::string line;
  off_t end = 0;
  std::string rest;
};

absl::StatusOr<Tail> ReadTail(int fd, off_t size) {
  Tail tail;
  // A line of a step with 64 slots is a few kilobytes; a longer one is read in larger pieces.
  for (off_t piece = 1 << 16;; piece *= 4) {
    const off_t begin = std::max<off_t>(0, size - piece);
    std::string text(static_cast<std::size_t>(size - begin), '\0');
    const ssize_t n = pread(fd, text.data(), text.size(), begin);
    if (n != static_cast<ssize_t>(text.size())) return base::Unavailable(base::ErrnoText(errno));
    const auto last = text.rfind('\n');
    if (last == std::string::npos) {
      if (begin > 0) continue;
      tail.rest = std::move(text);
      return tail;
    }
    const auto before = last == 0 ? std::string::npos : text.rfind('\n', last - 1);
    if (before == std::string::npos && begin > 0) continue;
    const std::size_t first = before == std::string::npos ? 0 : before + 1;
    tail.line = text.substr(first, last - first);
    tail.end = begin + static_cast<off_t>(last) + 1;
    tail.rest = text.substr(last + 1);
    return tail;
  }
}

// Whether a line of ours could begin so.
bool BeginsLikeOurs(std::string_view rest) {
  for (std::string_view ours : {R"({"step":)", R"({"rollback":)"}) {
    if (rest.substr(0, ours.size()) == ours.substr(0, rest.size())) return true;
  }
  return false;
}

// The step that a line leaves the job at; nothing when the line is none of ours.
std::optional<base::Step> StepOf(const std::string& text) {
  const json line = json::parse(text, nullptr, /*allow_exceptions=*/false);
  const json step = line.is_object() ? line.value("step", line.value("rollback", json())) : json();
  if (!step.is_number_integer()) return std::nullopt;
  return base::Step(step.get<std::int64_t>());
}

}  // namespace

absl::StatusOr<std::unique_ptr<AuditLog>> AuditLog::Open(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  struct stat info{};
  if (!fd || fstat(fd.get(), &info) != 0) {
    return base::FailedPrecondition("cannot write the audit file " + path + ": " +
                                    base::ErrnoText(errno));
  }
  base::Step last;
  std::int64_t length = S_ISREG(info.st_mode) ? 0 : -1;
  if (S_ISREG(info.st_mode) && info.st_size > 0) {
    auto tail = ReadTail(fd.get(), info.st_size);
    if (!tail.ok()) return base::Annotate(tail.status(), "cannot read the audit file " + path);
    const auto step = tail->end == 0 ? base::Step() : StepOf(tail->line);
    // Before anything is cut off: a file of somebody else's stays as it is.
    if (!step || !BeginsLikeOurs(tail->rest)) {
      return base::FailedPrecondition("the audit file " + path +
                                      " holds something else; give another --audit");
    }
    if (ftruncate(fd.get(), tail->end) != 0) {
      return base::Unavailable("cannot repair the audit file " + path + ": " +
                               base::ErrnoText(errno));
    }
    last = *step;
    length = tail->end;
  }
  return std::unique_ptr<AuditLog>(new AuditLog(path, std::move(fd), last, length));
}

absl::Status AuditLog::Append(const membership::StepCommitted& step, base::WallTime now) {
  if (step.step <= last_) return absl::OkStatus();
  json slots = json::array();
  for (const auto& of_member : step.audit) {
    for (const api::SlotSamples& slot : of_member.slots) {
      slots.push_back({{"slot", slot.slot},
                       {"member", base::ToString(of_member.member)},
                       {"samples", slot.samples}});
    }
  }
  std::sort(slots.begin(), slots.end(),
            [](const json& a, const json& b) { return a["slot"] < b["slot"]; });
  nlohmann::ordered_json line;
  line["step"] = step.step.value;
  line["time"] = api::FormatTime(now);
  line["epoch"] = step.epoch.value;
  line["slots"] = std::move(slots);
  MUSTER_RETURN_IF_ERROR(WriteLine(line.dump()));
  last_ = step.step;
  return absl::OkStatus();
}

absl::Status AuditLog::RollBack(base::Step step) {
  if (step >= last_) return absl::OkStatus();
  MUSTER_RETURN_IF_ERROR(WriteLine(json{{"rollback", step.value}}.dump()));
  last_ = step;
  return absl::OkStatus();
}

absl::Status AuditLog::WriteLine(const std::string& line) {
  const std::string text = line + "\n";
  struct stat info{};
  if (length_ >= 0 && fstat(fd_.get(), &info) != 0) {
    return base::Unavailable("cannot look at the audit file " + path_ + ": " +
                             base::ErrnoText(errno));
  }
  if (length_ >= 0 && info.st_size > length_) {
    return base::Aborted("somebody else has written to the audit file " + path_);
  }
  // One write: a reader, or a successor, sees the line whole or cut at its end, never mixed.
  const ssize_t n = write(fd_.get(), text.data(), text.size());
  if (n == static_cast<ssize_t>(text.size())) {
    if (length_ >= 0) length_ = info.st_size + n;
    return absl::OkStatus();
  }
  // A file takes a part of what it is given when there is no room for more.
  const int error = n < 0 ? errno : ENOSPC;
  if (n > 0) {
    const off_t end = lseek(fd_.get(), 0, SEEK_END);
    [[maybe_unused]] const int cut = ftruncate(fd_.get(), end - n);
  }
  return base::Unavailable("cannot write the audit file " + path_ + ": " + base::ErrnoText(error));
}

}  // namespace muster::app
