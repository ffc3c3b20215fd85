// Where a run's events become visible: a live picture on a terminal, plain lines elsewhere.
//
// One thread: that which runs the cluster. It never waits for anything but the stream it writes to.
#pragma once

#include <atomic>
#include <iosfwd>
#include <memory>
#include <optional>

#include "operator/cli/plain_lines.h"
#include "operator/cli/run_state.h"
#include "operator/cli/terminal.h"
#include "operator/runtime/clock.h"

namespace muster::cli {

enum class ScreenKind { kLive, kPlain, kQuiet };

class Screen final {
 public:
  // `fd` is the terminal behind `out` when kind is kLive. `draining` is set by another thread.
  Screen(ScreenKind kind, std::ostream& out, int fd, const runtime::Clock& clock, RunState state,
         const std::atomic<bool>& draining);

  void OnEvent(const local::LocalEvent& event);
  // The last picture; the terminal is a terminal again.
  void Close();
  const RunState& state() const { return state_; }

 private:
  void Paint();
  void Print(const local::LocalEvent& event);

  const ScreenKind kind_;
  std::ostream& out_;
  const int fd_;
  const runtime::Clock& clock_;
  const std::atomic<bool>& draining_;
  RunState state_;
  ProgressTimer progress_;
  std::unique_ptr<Terminal> terminal_;
  std::optional<base::Time> painted_;
};

}  // namespace muster::cli
