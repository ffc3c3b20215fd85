#include "worker/app/step_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

namespace muster::app {
namespace {

void AppendNumber(std::string& out, const char* key, double value) {
  if (!std::isfinite(value)) return;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  out += ",\"" + std::string(key) + "\":" + std::string(text, end);
}

constexpr std::string_view kKey = "{\"step\":";

std::optional<base::Step> StepOf(std::string_view line) {
  if (!line.starts_with(kKey)) return std::nullopt;
  std::int64_t step = 0;
  const auto end = line.data() + line.size();
  if (std::from_chars(line.data() + kKey.size(), end, step).ec != std::errc()) return std::nullopt;
  return base::Step(step);
}

// Appends with one write; a short write is an error (the disk is full). Gives the file's length then.
absl::StatusOr<std::int64_t> AppendToFile(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return base::Unavailable("cannot open " + path + ": " + base::ErrnoText(errno));
  const ssize_t n = write(fd, text.data(), text.size());
  const int error = n < 0 ? errno : ENOSPC;
  const off_t length = lseek(fd, 0, SEEK_CUR);
  close(fd);
  if (n == static_cast<ssize_t>(text.size())) return length;
  return base::ResourceExhausted("cannot write " + path + ": " + base::ErrnoText(error));
}

}  // namespace

std::string ToJson(const StepLine& line) {
  std::string out = "{\"step\":" + std::to_string(line.step.value);
  AppendNumber(out, "loss", line.loss);
  AppendNumber(out, "gradNorm", line.grad_norm);
  out += line.clipped ? ",\"clipped\":true" : ",\"clipped\":false";
  AppendNumber(out, "learningRate", line.learning_rate);
  AppendNumber(out, "tokensPerSecond", std::round(line.tokens_per_second));
  out += ",\"members\":" + std::to_string(line.members);
  out += line.skipped ? ",\"skipped\":true}" : ",\"skipped\":false}";
  return out;
}

void StepLines::Keep(base::Step step, std::string text) {
  lines_.insert_or_assign(step, std::move(text));
  while (lines_.size() > kRemembered) lines_.erase(lines_.begin());
}

void StepLines::Remember(const StepLine& line) {
  std::lock_guard lock(mutex_);
  Keep(line.step, ToJson(line) + "\n");
}

std::string StepLines::Newest() const {
  std::lock_guard lock(mutex_);
  const std::size_t skipped = lines_.size() - std::min(lines_.size(), kSent);
  std::string text;
  for (auto it = std::next(lines_.begin(), static_cast<std::ptrdiff_t>(skipped));
       it != lines_.end(); ++it) {
    text += it->second;
  }
  return text;
}

void StepLines::RememberOf(std::string_view lines) {
  std::lock_guard lock(mutex_);
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find('\n', at);
    if (end == std::string_view::npos) return;
    const std::string_view line = lines.substr(at, end + 1 - at);
    const std::optional<base::Step> step = StepOf(line);
    if (step && !lines_.contains(*step)) Keep(*step, std::string(line));
    at = end + 1;
  }
}

absl::StatusOr<base::Step> StepLines::LastInFile() const {
  const int fd = open(path_.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return base::Step(0);
  if (fd < 0) return base::Unavailable("cannot open " + path_ + ": " + base::ErrnoText(errno));
  struct stat info{};
  fstat(fd, &info);
  std::string end(static_cast<std::size_t>(std::min<off_t>(info.st_size, 4096)), '\0');
  const ssize_t n =
      pread(fd, end.data(), end.size(), info.st_size - static_cast<off_t>(end.size()));
  end.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
  const auto newline = end.rfind('\n');
  const std::size_t torn = newline == std::string::npos ? end.size() : end.size() - newline - 1;
  const bool cut = torn == 0 || ftruncate(fd, info.st_size - static_cast<off_t>(torn)) == 0;
  close(fd);
  if (!cut) return base::Unavailable("cannot cut the torn last line of " + path_);
  if (newline == std::string::npos) return base::Step(0);
  const auto begin = end.rfind(kKey, newline);
  if (begin == std::string::npos) return base::Step(0);
  return StepOf(std::string_view(end).substr(begin)).value_or(base::Step(0));
}

bool StepLines::IsAsLeft() const {
  struct stat info{};
  return length_ >= 0 && stat(path_.c_str(), &info) == 0 && info.st_size == length_;
}

absl::Status StepLines::WriteThrough(base::Step step) {
  if (!IsAsLeft()) {
    MUSTER_ASSIGN_OR_RETURN(written_, LastInFile());
  }
  std::string text;
  base::Step last = written_;
  {
    std::lock_guard lock(mutex_);
    for (auto it = lines_.upper_bound(written_); it != lines_.end() && it->first <= step; ++it) {
      text += it->second;
      last = it->first;
    }
  }
  if (text.empty()) return absl::OkStatus();
  // A full disk may have taken a part of it: the next writer looks where the file ends.
  length_ = -1;
  MUSTER_ASSIGN_OR_RETURN(length_, AppendToFile(path_, text));
  written_ = last;
  return absl::OkStatus();
}

}  // namespace muster::app
