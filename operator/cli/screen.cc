// Redraws at most ten times a second, however many events come.
#include "operator/cli/screen.h"

#include <ostream>
#include <utility>

#include "operator/cli/live_view.h"

namespace muster::cli {
namespace {

constexpr base::Duration kPaintEvery = std::chrono::milliseconds(100);

}  // namespace

Screen::Screen(ScreenKind kind, std::ostream& out, int fd, const runtime::Clock& clock,
               RunState state, const std::atomic<bool>& draining)
    : kind_(kind),
      out_(out),
      fd_(fd),
      clock_(clock),
      draining_(draining),
      state_(std::move(state)) {
  if (kind_ == ScreenKind::kLive) terminal_ = std::make_unique<Terminal>(out_, PaintsUtf8());
}

void Screen::OnEvent(const local::LocalEvent& event) {
  cli::OnEvent(event, clock_.Now(), state_);
  if (draining_.load() && !std::exchange(state_.draining, true) && kind_ == ScreenKind::kPlain) {
    out_ << Stamp(state_) << kDrainingText << "\n";
  }
  if (kind_ == ScreenKind::kPlain) Print(event);
  if (kind_ == ScreenKind::kLive && (!painted_ || state_.now - *painted_ >= kPaintEvery)) Paint();
}

void Screen::Close() {
  state_.now = clock_.Now();
  if (terminal_ == nullptr) return;
  Paint();
  terminal_.reset();
}

void Screen::Paint() {
  painted_ = state_.now;
  const TerminalSize size = SizeOf(fd_);
  // The last line stays free, or the terminal would scroll; so does the last column.
  terminal_->Paint(LiveLines(state_, size.width - 1, size.height - 1), size.width);
}

void Screen::Print(const local::LocalEvent& event) {
  if (std::holds_alternative<local::StepCommitted>(event) && progress_.Due(state_)) {
    out_ << Stamp(state_) << ProgressLine(state_) << "\n";
  }
  const std::string line = EventLine(event);
  if (!line.empty()) out_ << Stamp(state_) << line << "\n";
  for (const std::string& word : LastWords(event)) out_ << word << "\n";
  out_ << std::flush;
}

}  // namespace muster::cli
