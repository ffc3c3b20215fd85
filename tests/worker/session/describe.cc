// Events and commands as text.
#include "tests/worker/session/describe.h"

#include <type_traits>

namespace muster::session {

using std::to_string;

namespace {

std::string E(base::Epoch epoch) { return " e" + to_string(epoch.value); }
std::string S(base::Step step) { return " " + to_string(step.value); }

// Threads' and network's events that carry a step or an epoch.
template <typename T>
std::string DescribeOutcome(const T& e) {
  if constexpr (std::is_same_v<T, Reduced>) {
    return "Reduced" + E(e.epoch) + " " + Describe(e.tag) + (e.counters_ok ? "" : " counters!") +
           (e.checksum_ok ? "" : " checksum!") + (e.saturated ? " saturated" : "") +
           (e.view_held_by_all ? " view" : "") +
           (e.checkpoint_held_by_all != 0 ? " checkpoint" : "") +
           (e.stop_held_by_all ? " stop" : "");
  } else if constexpr (std::is_same_v<T, RingReady>)
    return "RingReady" + E(e.epoch);
  else if constexpr (std::is_same_v<T, RingFailed>)
    return "RingFailed" + E(e.epoch);
  else if constexpr (std::is_same_v<T, PeerReset>)
    return "PeerReset" + E(e.epoch) + " " + base::ToString(e.peer);
  else if constexpr (std::is_same_v<T, ReduceAborted>)
    return "ReduceAborted" + E(e.epoch);
  else if constexpr (std::is_same_v<T, StateReceived>)
    return "StateReceived" + E(e.epoch) + S(e.step);
  else if constexpr (std::is_same_v<T, StateFailed>)
    return "StateFailed" + E(e.epoch);
  else if constexpr (std::is_same_v<T, Applied>)
    return "Applied" + S(e.step);
  else if constexpr (std::is_same_v<T, Evaluated>)
    return "Evaluated" + E(e.epoch) + S(e.step);
  else if constexpr (std::is_same_v<T, StateCopied>)
    return "StateCopied" + S(e.step);
  else if constexpr (std::is_same_v<T, PartWritten>)
    return "PartWritten" + S(e.step);
  else if constexpr (std::is_same_v<T, ManifestDone>)
    return "ManifestDone" + S(e.step);
  else if constexpr (std::is_same_v<T, StateRestored>)
    return "StateRestored" + S(e.step);
  else {
    static_assert(std::is_same_v<T, StateMade>);
    return "StateMade";
  }
}

}  // namespace

std::string Describe(const Event& event) {
  return std::visit(
      [](const auto& e) -> std::string {
        using T = std::decay_t<decltype(e)>;
        if constexpr (std::is_same_v<T, StreamUp>)
          return "StreamUp";
        else if constexpr (std::is_same_v<T, StreamDown>)
          return "StreamDown";
        else if constexpr (std::is_same_v<T, Received>) {
          return "hears t" + to_string(e.message.envelope.term.value) + " " +
                 Describe(e.message.message);
        } else if constexpr (std::is_same_v<T, Loaded>)
          return "Loaded";
        else if constexpr (std::is_same_v<T, Broken>)
          return "Broken " + e.reason;
        else if constexpr (std::is_same_v<T, SlotBegun>)
          return "SlotBegun " + Describe(e.tag) + " " + to_string(e.slot);
        else if constexpr (std::is_same_v<T, SlotDone>)
          return "SlotDone " + Describe(e.tag) + " " + to_string(e.slot);
        else if constexpr (std::is_same_v<T, ComputeStopped>)
          return "ComputeStopped";
        else if constexpr (std::is_same_v<T, RestoreFailed>)
          return "RestoreFailed";
        else if constexpr (std::is_same_v<T, BeatSent>)
          return "BeatSent " + to_string(e.sequence);
        else if constexpr (std::is_same_v<T, TermSignal>)
          return "TermSignal";
        else if constexpr (std::is_same_v<T, StartAgain>)
          return "StartAgain e" + to_string(e.epoch.value);
        else if constexpr (std::is_same_v<T, Tick>)
          return "Tick";
        else
          return DescribeOutcome(e);
      },
      event);
}

std::string Describe(const Command& command) {
  return std::visit(
      [](const auto& c) -> std::string {
        using T = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<T, Send>)
          return "Send " + Describe(c.message.message);
        else if constexpr (std::is_same_v<T, LoadJob>)
          return "LoadJob";
        else if constexpr (std::is_same_v<T, MakeFreshState>)
          return "MakeFreshState";
        else if constexpr (std::is_same_v<T, RestoreState>)
          return "RestoreState" + S(c.checkpoint.step);
        else if constexpr (std::is_same_v<T, ConnectRing>)
          return "ConnectRing" + E(c.view.epoch) + " rank=" + to_string(c.rank);
        else if constexpr (std::is_same_v<T, AbortRing>)
          return "AbortRing" + E(c.epoch);
        else if constexpr (std::is_same_v<T, ClearSums>)
          return "ClearSums " + Describe(c.tag);
        else if constexpr (std::is_same_v<T, ComputeSlots>)
          return "ComputeSlots " + Describe(c.tag) + Describe(c.slots) +
                 (c.ahead_in == base::Epoch() ? "" : " ahead" + E(c.ahead_in));
        else if constexpr (std::is_same_v<T, StopCompute>)
          return "StopCompute";
        else if constexpr (std::is_same_v<T, Reduce>) {
          return "Reduce" + E(c.epoch) + " " + Describe(c.tag) +
                 " view=" + to_string(c.pending_view.value) +
                 " checkpoint=" + to_string(c.checkpoint_request) + (c.stop_request ? " stop" : "");
        } else if constexpr (std::is_same_v<T, ApplyStep>)
          return "ApplyStep" + S(c.step);
        else if constexpr (std::is_same_v<T, EvaluateShare>)
          return "EvaluateShare" + E(c.epoch) + S(c.step);
        else if constexpr (std::is_same_v<T, ServeState>)
          return "ServeState" + E(c.epoch) + S(c.step);
        else if constexpr (std::is_same_v<T, StopServing>)
          return "StopServing";
        else if constexpr (std::is_same_v<T, FetchState>)
          return "FetchState" + E(c.view.epoch);
        else if constexpr (std::is_same_v<T, CopyForCheckpoint>) {
          return "CopyForCheckpoint" + S(c.step) + " rank=" + to_string(c.rank) + "/" +
                 to_string(c.size) + (c.final ? " final" : "");
        } else if constexpr (std::is_same_v<T, WriteManifest>)
          return "WriteManifest" + S(c.order.step);
        else if constexpr (std::is_same_v<T, PublishCheckpoint>)
          return "PublishCheckpoint" + S(c.committed.checkpoint.step);
        else if constexpr (std::is_same_v<T, WriteStepLine>)
          return "WriteStepLine" + S(c.step);
        else if constexpr (std::is_same_v<T, LearnStepTime>)
          return "LearnStepTime";
        else if constexpr (std::is_same_v<T, Exit>) {
          return "Exit " + to_string(static_cast<int>(c.code)) +
                 (c.message.empty() ? "" : " (" + c.message + ")");
        } else {
          static_assert(std::is_same_v<T, Note>);
          return "Note " + c.text;
        }
      },
      command);
}

}  // namespace muster::session
