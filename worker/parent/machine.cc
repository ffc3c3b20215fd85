#include "worker/parent/machine.h"

#include <algorithm>
#include <array>
#include <utility>

#include "operator/api/messages.h"

namespace muster::parent {
namespace {

constexpr int kSignalBase = 128;  // what shells and kubectl add to a signal's number

// What ended it lies with the job, the image or the device, and not with this one process.
constexpr std::array kFinalCodes = {api::ExitCode::kRefused, api::ExitCode::kBadConfiguration,
                                    api::ExitCode::kData, api::ExitCode::kNoDevice,
                                    api::ExitCode::kOutOfMemory};

bool IsFinal(int code) {
  return std::any_of(kFinalCodes.begin(), kFinalCodes.end(),
                     [&](api::ExitCode final) { return code == static_cast<int>(final); });
}

int ShownCode(const Ended& ended) {
  return ended.signal ? kSignalBase + *ended.signal : ended.exit_code.value_or(0);
}

std::string HowItEnded(const Ended& ended) {
  return ended.signal ? "was killed by signal " + std::to_string(*ended.signal)
                      : "exited with code " + std::to_string(ended.exit_code.value_or(0));
}

}  // namespace

base::Duration RestartBackOff(std::int32_t deaths) {
  if (deaths <= 1) return base::Duration(0);
  constexpr std::int32_t kMostDoublings = 5;
  const std::int32_t doublings = std::min(deaths - 2, kMostDoublings);
  return std::min<base::Duration>(std::chrono::seconds(1 << doublings), std::chrono::seconds(30));
}

Machine::Machine(const Config& config)
    : config_(config), processes_(static_cast<std::size_t>(config.processes)) {}

Commands Machine::Step(base::Time now, const Event& event) {
  now_ = now;
  if (exited_) return {};
  std::visit([this](const auto& e) { On(e); }, event);
  Advance();
  return std::exchange(out_, {});
}

std::optional<base::Time> Machine::NextDeadline() const {
  if (exited_) return std::nullopt;
  std::optional<base::Time> next = kill_at_;
  for (const Process& process : processes_) {
    const std::optional<base::Time> due =
        process.state == State::kWaiting ? process.due : HelloDue(process);
    if (due) next = next ? std::min(*next, *due) : *due;
  }
  return next;
}

// When it has to have said Hello; nothing: it has, or need not.
std::optional<base::Time> Machine::HelloDue(const Process& process) const {
  if (process.state != State::kRunning || process.spoke || ending_ || !reachable_since_) {
    return std::nullopt;
  }
  return std::max(process.since, *reachable_since_) + config_.hello_deadline;
}

base::MemberId Machine::MemberOf(std::int32_t process) const {
  return base::MemberOf({config_.pod, process, processes_[process].life}, config_.processes);
}

void Machine::On(const Start&) {
  for (Process& process : processes_) process.due = now_;
}

void Machine::On(const Ended& ended) {
  Process& process = processes_[ended.process];
  if (process.state != State::kRunning) return;
  const base::MemberId member = MemberOf(ended.process);
  out_.push_back(MemberEnded{member, ended.exit_code, ended.signal});
  if (ordered_.erase(member) > 0) out_.push_back(Killed{member});
  const int code = ShownCode(ended);
  const std::string how = "member " + base::ToString(member) + " " + HowItEnded(ended);
  process.state = State::kOver;
  if (code == 0) return;
  if (ending_) {
    // After an order to end it the code tells what nobody has said yet.
    if (!code_) code_ = code;
    return;
  }
  // It has done no wrong, and neither would another: the job is over, and the others hear it themselves.
  if (code == static_cast<int>(api::ExitCode::kJobFailed)) {
    ending_ = true;
    code_ = code;
    StopWaiting();
    return;
  }
  if (IsFinal(code)) return EndPod(code, how);
  Died(ended.process, how, code);
}

void Machine::On(const CannotStart& failed) {
  Process& process = processes_[failed.process];
  if (process.state != State::kRunning) return;
  const base::MemberId member = MemberOf(failed.process);
  const int code = static_cast<int>(api::ExitCode::kInternal);
  out_.push_back(MemberEnded{member, code, std::nullopt});
  if (ordered_.erase(member) > 0) out_.push_back(Killed{member});
  process.state = State::kOver;
  if (ending_) return;
  Died(failed.process, "member " + base::ToString(member) + " could not be started: " + failed.why,
       code);
}

// To be made good by a new member, unless that has been tried often enough.
void Machine::Died(std::int32_t number, const std::string& how, int shown_code) {
  Process& process = processes_[number];
  const bool in_row = now_ - process.since < kStreakGap;
  process.deaths = in_row ? process.deaths + 1 : 1;
  if (process.deaths >= kMostDeathsInRow) {
    EndPod(shown_code, how + ", the " + std::to_string(process.deaths) + "th time in a row");
    return;
  }
  if (process.life + 1 >= base::kPodLife) {
    EndPod(shown_code, how + ", and there is no id left for another");
    return;
  }
  process.state = State::kWaiting;
  process.due = now_ + RestartBackOff(process.deaths);
  out_.push_back(Note{how + "; a new member takes its place"});
}

void Machine::On(const KillOrder& order) {
  for (const base::MemberId member : order.members) {
    const base::PodProcess of = base::ProcessOf(member, config_.processes);
    if (of.pod != config_.pod || of.life >= base::kPodLife) continue;
    const Process& process = processes_[of.process];
    if (process.state != State::kRunning || process.life != of.life) {
      out_.push_back(Killed{member});
      continue;
    }
    // Told twice it is killed once; the answer comes when it has ended.
    if (!ordered_.insert(member).second) continue;
    out_.push_back(Note{"member " + base::ToString(member) + " is evicted and killed"});
    out_.push_back(SendKill{of.process});
  }
}

void Machine::On(const Reachable& reachable) {
  if (!reachable.now) return reachable_since_.reset();
  if (!reachable_since_) reachable_since_ = now_;
}

void Machine::On(const Spoke& spoke) {
  for (const std::int32_t process : spoke.processes) processes_[process].spoke = true;
}

void Machine::On(const Terminate&) {
  ending_ = true;
  StopWaiting();
  for (std::int32_t i = 0; i < config_.processes; ++i) {
    if (processes_[i].state == State::kRunning) out_.push_back(SendTerm{i});
  }
}

void Machine::On(const Tick&) {}

void Machine::EndPod(int code, const std::string& why) {
  ending_ = true;
  code_ = code;
  kill_at_ = now_ + kEndGrace;
  out_.push_back(Note{why + "; the pod ends with code " + std::to_string(code)});
  StopWaiting();
  for (std::int32_t i = 0; i < config_.processes; ++i) {
    if (processes_[i].state == State::kRunning) out_.push_back(SendTerm{i});
  }
}

void Machine::StopWaiting() {
  for (Process& process : processes_) {
    if (process.state == State::kWaiting) process.state = State::kOver;
  }
}

void Machine::KillMute() {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(config_.hello_deadline);
  for (std::int32_t i = 0; i < config_.processes; ++i) {
    const std::optional<base::Time> due = HelloDue(processes_[i]);
    if (!due || now_ < *due) continue;
    processes_[i].spoke = true;  // once is enough
    out_.push_back(Note{
        "member " + base::ToString(MemberOf(i)) + " has not said Hello to the coordinator within " +
        std::to_string(seconds.count()) + " s, and the coordinator is there; it is killed"});
    out_.push_back(SendKill{i});
  }
}

// What time allows, whatever the event was.
void Machine::Advance() {
  if (kill_at_ && now_ >= *kill_at_) {
    kill_at_.reset();
    for (std::int32_t i = 0; i < config_.processes; ++i) {
      if (processes_[i].state == State::kRunning) out_.push_back(SendKill{i});
    }
  }
  KillMute();
  for (std::int32_t i = 0; i < config_.processes; ++i) {
    Process& process = processes_[i];
    if (process.state != State::kWaiting || now_ < process.due) continue;
    ++process.life;
    process.since = now_;
    process.state = State::kRunning;
    process.spoke = false;
    out_.push_back(Spawn{i, MemberOf(i)});
  }
  const bool over = std::all_of(processes_.begin(), processes_.end(),
                                [](const Process& p) { return p.state == State::kOver; });
  if (!over) return;
  exited_ = true;
  out_.push_back(Exit{code_.value_or(0)});
}

}  // namespace muster::parent
