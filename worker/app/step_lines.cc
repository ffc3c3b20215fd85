#include "worker/app/step_lines.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>

namespace muster::app {
namespace {

void AppendNumber(std::string& out, const char* key, double value) {
  if (!std::isfinite(value)) return;
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  out += ",\"" + std::string(key) + "\":" + std::string(text, end);
}

// Appends with one write; a short write is an error (the disk is full).
absl::Status AppendToFile(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return base::Unavailable("cannot open " + path + ": " + base::ErrnoText(errno));
  const ssize_t n = write(fd, text.data(), text.size());
  const int error = n < 0 ? errno : ENOSPC;
  close(fd);
  if (n == static_cast<ssize_t>(text.size())) return absl::OkStatus();
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

void StepLines::Remember(const StepLine& line) {
  std::lock_guard lock(mutex_);
  lines_[line.step] = line;
  while (lines_.size() > kRemembered) lines_.erase(lines_.begin());
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
  constexpr std::string_view kKey = "{\"step\":";
  const auto begin = end.rfind(kKey, newline == std::string::npos ? 0 : newline);
  std::int64_t step = 0;
  if (newline != std::string::npos && begin != std::string::npos) {
    std::from_chars(end.data() + begin + kKey.size(), end.data() + end.size(), step);
  }
  return base::Step(step);
}

absl::Status StepLines::WriteThrough(base::Step step) {
  if (written_.value < 0) {
    MUSTER_ASSIGN_OR_RETURN(written_, LastInFile());
  }
  std::string text;
  base::Step last = written_;
  {
    std::lock_guard lock(mutex_);
    for (auto it = lines_.upper_bound(written_); it != lines_.end() && it->first <= step; ++it) {
      text += ToJson(it->second) + "\n";
      last = it->first;
    }
  }
  if (text.empty()) return absl::OkStatus();
  const absl::Status appended = AppendToFile(path_, text);
  // A full disk may have taken a part of it: the next writer looks where the file ends.
  written_ = appended.ok() ? last : base::Step(-1);
  return appended;
}

}  // namespace muster::app
