// The machine's commands as one line of text, for transcripts.
#pragma once

#include <sstream>
#include <string>
#include <type_traits>

#include "worker/nccl/machine.h"

namespace muster::nccl {

inline std::string Short(const Attempt& a) {
  return std::to_string(a.epoch.value) + "." + std::to_string(a.number);
}

inline std::string Seconds(base::Time time) {
  std::ostringstream out;
  out.precision(12);
  out << base::ToSeconds(time.time_since_epoch());
  return out.str();
}

inline std::string CodeOf(const absl::Status& status) {
  return std::string(absl::StatusCodeToString(status.code()));
}

struct ShowCommand {
  std::string operator()(const InitRank& c) const { return "InitRank(" + Short(c.attempt) + ")"; }
  std::string operator()(const AskAsync&) const { return "AskAsync"; }
  std::string operator()(const AskEvent&) const { return "AskEvent"; }
  std::string operator()(const ReadFlag&) const { return "ReadFlag"; }
  std::string operator()(const LaunchGroup&) const { return "LaunchGroup"; }
  std::string operator()(const RecordDone&) const { return "RecordDone"; }
  std::string operator()(const AbortComm&) const { return "AbortComm"; }
  std::string operator()(const Synchronise&) const { return "Synchronise"; }
  std::string operator()(const FinalizeComm&) const { return "FinalizeComm"; }
  std::string operator()(const DestroyComm&) const { return "DestroyComm"; }
  std::string operator()(const RaiseFlag&) const { return "RaiseFlag"; }
  std::string operator()(const ArmWatchdog& c) const {
    return "ArmWatchdog(" + Seconds(c.deadline) + ")";
  }
  std::string operator()(const DisarmWatchdog&) const { return "DisarmWatchdog"; }
  std::string operator()(const WaitUntil& c) const { return "WaitUntil(" + Seconds(c.time) + ")"; }
  std::string operator()(const ReportInstalled& c) const {
    return "Installed(" + Short(c.attempt) + ")";
  }
  std::string operator()(const ReportInstallFailed& c) const {
    return "InstallFailed(" + Short(c.attempt) + " " + CodeOf(c.status) + ")";
  }
  std::string operator()(const ReportCommitted& c) const {
    return "Committed(" + std::to_string(c.sequence) + ")";
  }
  std::string operator()(const ReportReductionFailed& c) const {
    return "Failed(" + std::to_string(c.sequence) + " " + CodeOf(c.status) + ")";
  }
  std::string operator()(const ReportQuiet& c) const { return "Quiet(" + CodeOf(c.status) + ")"; }
};

inline std::string Show(const Commands& commands) {
  std::string text;
  for (const Command& c : commands)
    text += (text.empty() ? "" : " ") + std::visit(ShowCommand{}, c);
  return text;
}

}  // namespace muster::nccl
