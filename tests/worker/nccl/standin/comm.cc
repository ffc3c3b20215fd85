#include "tests/worker/nccl/standin/comm.h"

#include <fcntl.h>

#include <chrono>
#include <utility>

#include "tests/worker/nccl/standin/device_bytes.h"
#include "tests/worker/nccl/standin/rules.h"

namespace muster::standin {
namespace {

constexpr std::chrono::minutes kHangs{10};
constexpr std::chrono::milliseconds kLook{10};

Outcome Hang(const Stop& stop) {
  const auto until = std::chrono::steady_clock::now() + kHangs;
  while (!stop.load()) {
    if (std::chrono::steady_clock::now() > until) EndForBreach("ten minutes of hanging are over");
    std::this_thread::sleep_for(kLook);
  }
  return {kInProgress, ""};
}

struct Warning {
  std::mutex mutex;
  std::string text;
};
// Never destroyed: threads may warn while the process ends.
Warning& TheWarning() {
  static Warning& warning = *new Warning;
  return warning;
}

}  // namespace

void Remember(const std::string& warning) {
  const std::lock_guard lock(TheWarning().mutex);
  TheWarning().text = warning;
}
std::string LastWarning() {
  const std::lock_guard lock(TheWarning().mutex);
  return TheWarning().text;
}

Comm::Comm(const Seat& seat) : seat_(seat), ring_(seat) {
  const bool hangs = HasToHang(Call::kInit, seat.rank);
  for (int left = DescriptorsToLeak(); left > 0; --left) (void)::open("/dev/null", O_RDONLY);
  Begin([this, hangs] { return hangs ? Hang(stop_) : ring_.Join(stop_); });
}

Comm::~Comm() { End(); }

void Comm::End() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  ring_.Close();
}

int Comm::result() {
  const std::lock_guard lock(mutex_);
  return result_;
}

void Comm::Begin(std::function<Outcome()> operation) {
  if (thread_.joinable()) thread_.join();  // it has said its outcome
  {
    const std::lock_guard lock(mutex_);
    result_ = kInProgress;
  }
  thread_ = std::thread([this, operation = std::move(operation)] {
    const Outcome outcome = operation();
    if (!outcome.warning.empty()) Remember(outcome.warning);
    const std::lock_guard lock(mutex_);
    result_ = outcome.result;
  });
}

Outcome Comm::ReduceAll() {
  for (const Collective& collective : group_) {
    Outcome outcome = ring_.Reduce(collective, stop_);
    if (outcome.result != kSuccess) return outcome;
    ++reduced_;
  }
  return {};
}

void Comm::Launch(std::vector<Collective> group) {
  if (thread_.joinable()) thread_.join();
  group_ = std::move(group);
  reduced_ = 0;
  const bool hangs = HasToHang(Call::kCollective, seat_.rank);
  const bool breaks = HasToBreak(seat_.rank);
  Begin([this, hangs, breaks] {
    if (breaks) return Outcome{kRemoteError, "the stand-in was told to break this collective"};
    return hangs ? Hang(stop_) : ReduceAll();
  });
}

void Comm::Finalize() {
  finalised_ = true;
  Begin([this] { return ring_.TakeLeave(stop_); });
}

void Comm::Abort() {
  if (HasToHang(Call::kAbort, seat_.rank)) {
    // Its peers see nothing of it either.
    const Stop never{false};
    (void)Hang(never);
  }
  End();
  for (std::size_t i = reduced_; i < group_.size(); ++i) {
    SpoilDevice(group_[i].out, group_[i].count * BytesOf(group_[i].type));
  }
}

}  // namespace muster::standin
