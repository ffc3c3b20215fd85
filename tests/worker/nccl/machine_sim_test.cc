// Random schedules over the machine, with a shell that checks each command against what must hold:
// nothing is committed or launched under the flag, a handle is used only while there is one, every
// attempt has a new id, every request has one answer, and in the end all is quiet.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "tests/worker/nccl/show.h"
#include "worker/nccl/machine.h"

namespace muster::nccl {
namespace {

class RandomShell {
 public:
  explicit RandomShell(std::uint64_t seed) : random_(seed), machine_(limits_) {}

  std::string Run(int turns) {
    for (int i = 0; i < turns && wrong_.empty(); ++i) Turn();
    // From here on everything goes well, or is closed: it must come to an end by itself.
    kind_ = true;
    Feed(Close{});
    for (int i = 0; i < 40 && wrong_.empty() && !Ended(); ++i) {
      now_ += std::chrono::milliseconds(700);
      Feed(Tick{});
    }
    Hold(Ended(), "it did not end");
    Hold(open_reductions_.empty() && open_installs_ == 0, "a request was never answered");
    return wrong_;
  }
  int committed() const { return committed_; }
  int quiet() const { return quiet_; }
  int groups() const { return groups_; }

 private:
  bool Ended() const { return machine_.idle() || std::holds_alternative<Lost>(machine_.state()); }
  bool Chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  void Hold(bool condition, const std::string& sentence) {
    if (!condition && wrong_.empty()) wrong_ = sentence + " after:\n" + log_;
  }

  void Turn() {
    now_ += std::chrono::microseconds(random_() % (Chance(3) ? 9'000'000 : 90));
    if (Chance(4)) flag_ = true;  // Abort() of another thread
    if (Ended() && Chance(50)) return BeginInstall();
    if (std::holds_alternative<Installed>(machine_.state()) && Chance(60)) {
      open_reductions_.insert(++sequence_);
      given_ = 1;
      launched_ = 0;
      whole_ = Chance(40);
      return Feed(Reduce{sequence_, now_ + std::chrono::milliseconds(500), whole_});
    }
    if (!whole_ && Chance(30)) {  // also when it has failed meanwhile
      ++given_;
      whole_ = Chance(40);
      return Feed(Continue{sequence_, whole_});
    }
    if (Chance(2)) return BeginInstall();  // out of turn
    if (Chance(2)) return Feed(Close{});
    Feed(Tick{});
  }
  void BeginInstall() {
    attempt_ = Chance(70) ? Attempt{attempt_.epoch.Next(), 1}
                          : Attempt{attempt_.epoch, attempt_.number + 1};
    Install install{attempt_, {}};
    if (!Chance(10)) ++id_;  // otherwise a caller that forgot to mint
    std::memcpy(install.config.id.bytes.data(), &id_, sizeof(id_));
    ++open_installs_;
    Feed(install);
  }

  void Feed(MachineEvent event) {
    std::optional<MachineEvent> next = event;
    while (next && wrong_.empty()) {
      const Commands commands = machine_.Step(now_, *next);
      log_ += Show(commands) + "\n";
      next.reset();
      for (const Command& c : commands) {
        Hold(!next, "a command follows a question");
        next = std::visit([this](const auto& command) { return Obey(command); }, c);
      }
      if (!kind_ && Chance(2)) flag_ = true;  // between any two calls
    }
  }

  Result Answer(int errors) {
    if (kind_) return {};
    if (Chance(errors)) return {Chance(70) ? Code::kRemoteError : Code::kInternalError, ""};
    return {Chance(60) ? Code::kSuccess : Code::kInProgress, ""};
  }
  void Use() { Hold(handle_, "a handle that is not there was used"); }
  void Live() { Hold(!raised_, "something was begun under the flag"); }

  std::optional<MachineEvent> Obey(const InitRank& c) {
    Hold(!handle_, "two communicators at once");
    Hold(ids_.insert(c.config.id.bytes).second, "an id was used twice");
    flag_ = raised_ = false;
    const Result result = Answer(10);
    handle_ = result.ok() || result.code == Code::kInProgress || Chance(50);
    return InitBegun{result, handle_};
  }
  std::optional<MachineEvent> Obey(const AskAsync&) {
    Use();
    const Result result = Answer(3);
    enqueued_ |= result.ok();
    read_ = read_ == "event" && result.ok() ? "async" : "";
    return AsyncRead{result};
  }
  std::optional<MachineEvent> Obey(const AskEvent&) {
    Hold(recorded_, "an event was asked for that was not recorded");
    const int r = static_cast<int>(random_() % 100);
    const auto state = kind_ || r < 50 ? EventState::kDone
                       : r < 98        ? EventState::kPending
                                       : EventState::kFailed;
    read_ = state == EventState::kDone ? "event" : "";
    return EventRead{state};
  }
  std::optional<MachineEvent> Obey(const ReadFlag&) {
    read_ = read_ == "async" && !flag_ ? "flag" : "";
    raised_ |= flag_;
    return FlagRead{flag_};
  }
  std::optional<MachineEvent> Obey(const LaunchGroup&) {
    Use();
    Live();
    const auto* s = std::get_if<Enqueueing>(&machine_.state());
    Hold(s != nullptr && open_reductions_.contains(s->sequence), "a launch that nobody asked for");
    Hold(++launched_ <= given_, "more groups were launched than there are");
    Hold(enqueued_, "a group was launched before the one before it was enqueued");
    enqueued_ = recorded_ = false;
    groups_ += launched_ > 1 ? 1 : 0;
    return Launched{Answer(3)};
  }
  std::optional<MachineEvent> Obey(const RecordDone&) {
    Use();
    Live();
    Hold(enqueued_, "an event was recorded before its group was enqueued");
    Hold(whole_ && launched_ == given_, "an event was recorded before the last group");
    recorded_ = true;
    Result result = Answer(2);
    if (result.code == Code::kInProgress) result = {};
    return Recorded{result};
  }
  std::optional<MachineEvent> Obey(const AbortComm&) {
    Use();
    Hold(raised_, "an abort before the flag");
    Hold(armed_, "an abort without a watchdog");
    handle_ = recorded_ = false;
    enqueued_ = true;
    if (!kind_) now_ += std::chrono::milliseconds(random_() % (Chance(3) ? 20'000 : 900));
    return AbortDone{{}};
  }
  std::optional<MachineEvent> Obey(const Synchronise&) {
    Hold(armed_, "a synchronise without a watchdog");
    return Synchronised{{!kind_ && Chance(1) ? Code::kCudaError : Code::kSuccess, ""}};
  }
  std::optional<MachineEvent> Obey(const FinalizeComm&) {
    Use();
    return FinalizeBegun{Answer(5)};
  }
  std::optional<MachineEvent> Obey(const DestroyComm&) {
    Use();
    Live();
    Hold(armed_, "an end without a watchdog");
    handle_ = false;
    return Destroyed{{}};
  }
  std::optional<MachineEvent> Obey(const RaiseFlag&) {
    flag_ = raised_ = true;
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ArmWatchdog& c) {
    Hold(c.deadline > now_, "a watchdog that barks at once");
    armed_ = true;
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const DisarmWatchdog&) {
    armed_ = false;
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const WaitUntil& c) {
    Hold(c.time >= now_, "a wait for the past");
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ReportInstalled&) {
    Live();
    --open_installs_;
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ReportInstallFailed&) {
    Hold(--open_installs_ >= 0, "an install was answered twice");
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ReportCommitted& c) {
    Live();
    Hold(read_ == "flag", "a commit without event, error and flag read in this order");
    Hold(open_reductions_.erase(c.sequence) == 1, "a reduction was answered twice");
    read_.clear();
    ++committed_;
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ReportReductionFailed& c) {
    Hold(open_reductions_.erase(c.sequence) == 1, "a reduction was answered twice");
    return std::nullopt;
  }
  std::optional<MachineEvent> Obey(const ReportQuiet& c) {
    Hold(!handle_, "quiet with a communicator");
    Hold(!c.status.ok() || !armed_, "quiet with a watchdog");
    Hold(open_reductions_.empty(), "quiet with a reduction");
    ++quiet_;
    return std::nullopt;
  }

  std::mt19937_64 random_;
  Limits limits_;
  Machine machine_;
  base::Time now_{std::chrono::seconds(1)};
  bool kind_ = false;
  bool flag_ = false;    // as another thread would see it
  bool raised_ = false;  // the machine knows
  bool handle_ = false, armed_ = false, recorded_ = false, enqueued_ = true;
  bool whole_ = true;             // the last group of `sequence_` was given
  int given_ = 0, launched_ = 0;  // of its groups
  int groups_ = 0;                // launched that were not the first of theirs
  std::string read_;              // how far the commit rule was followed in this round
  Attempt attempt_;
  std::uint64_t id_ = 0, sequence_ = 0;
  std::set<std::array<std::byte, 128>> ids_;
  std::set<std::uint64_t> open_reductions_;
  int open_installs_ = 0, committed_ = 0, quiet_ = 0;
  std::string log_, wrong_;
};

TEST(MachineSimTest, HoldsItsPromisesOnRandomSchedules) {
  int committed = 0;
  int quiet = 0;
  int groups = 0;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    RandomShell shell(seed);
    const std::string wrong = shell.Run(300);
    ASSERT_EQ(wrong, "") << "seed " << seed;
    committed += shell.committed();
    quiet += shell.quiet();
    groups += shell.groups();
  }
  // The schedules reach what they are about.
  EXPECT_GT(committed, 1000);
  EXPECT_GT(quiet, 1000);
  EXPECT_GT(groups, 1000);
}

}  // namespace
}  // namespace muster::nccl
