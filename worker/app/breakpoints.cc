#include "worker/app/breakpoints.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <charconv>

namespace muster::app {
namespace {

constexpr std::array<std::string_view, 7> kPhases = {"forward",    "overlap", "reduce",  "commit",
                                                     "checkpoint", "rebuild", "transfer"};

}  // namespace

void Breakpoints::At(std::string_view phase, base::Step step) {
  if (armed_.load(std::memory_order_relaxed) == 0) return;
  {
    std::lock_guard lock(mutex_);
    auto it = steps_.find(phase);
    if (it == steps_.end() || step < it->second) return;
    steps_.erase(it);
    armed_.fetch_sub(1, std::memory_order_relaxed);
  }
  kill(getpid(), SIGSTOP);
}

absl::Status Breakpoints::Arm(std::string_view line) {
  const auto bad = [&] {
    return base::InvalidArgument("'" + std::string(line) +
                                 "' is not `break PHASE STEP`; PHASE is forward, overlap, reduce, "
                                 "commit, checkpoint, rebuild or transfer");
  };
  constexpr std::string_view kWord = "break ";
  if (!line.starts_with(kWord)) return bad();
  const std::string_view rest = line.substr(kWord.size());
  const auto space = rest.find(' ');
  if (space == std::string_view::npos) return bad();
  const std::string_view phase = rest.substr(0, space);
  const std::string_view number = rest.substr(space + 1);
  std::int64_t step = 0;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), step);
  if (error != std::errc() || end != number.data() + number.size() || step < 0) return bad();
  bool known = false;
  for (std::string_view name : kPhases) known = known || name == phase;
  if (!known) return bad();
  std::lock_guard lock(mutex_);
  if (steps_.insert_or_assign(std::string(phase), base::Step(step)).second) {
    armed_.fetch_add(1, std::memory_order_relaxed);
  }
  return absl::OkStatus();
}

void Breakpoints::ReadFrom(int fd) {
  reader_ = std::jthread([this, fd](std::stop_token stop) { ReadLoop(stop, fd); });
}

void Breakpoints::ReadLoop(std::stop_token stop, int fd) {
  std::string buffer;
  std::array<char, 512> chunk;
  while (!stop.stop_requested()) {
    pollfd p{fd, POLLIN, 0};
    const int ready = poll(&p, 1, 100);
    if (ready <= 0) continue;
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n <= 0) return;
    buffer.append(chunk.data(), static_cast<std::size_t>(n));
    for (auto eol = buffer.find('\n'); eol != std::string::npos; eol = buffer.find('\n')) {
      if (auto status = Arm(std::string_view(buffer).substr(0, eol)); !status.ok()) {
        log_.Warning("breakpoints", base::Message(status));
      }
      buffer.erase(0, eol + 1);
    }
    if (buffer.size() > 4096) buffer.clear();
  }
}

}  // namespace muster::app
