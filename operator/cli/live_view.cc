// From the top: progress, speed, members, the last change of membership, the newest events.
#include "operator/cli/live_view.h"

#include <algorithm>
#include <cmath>

#include "operator/cli/plain_lines.h"
#include "operator/cli/text.h"

namespace muster::cli {
namespace {

constexpr std::size_t kMaxBar = 40;

std::string Header(const RunState& state) {
  std::string out = state.name + "  epoch " + std::to_string(state.live.epoch.value) + "  " +
                    std::to_string(state.live.size) + "/" + std::to_string(state.live.desired) +
                    " members";
  if (state.draining) return out + "  DRAINING (Ctrl-C again ends at once)";
  const std::string& doing = state.live.time_state;
  return doing.empty() || doing == "unknown" ? out : out + "  " + doing;
}

std::string ProgressBar(const RunState& state, std::size_t width) {
  const double share =
      state.steps > 0 ? static_cast<double>(state.step) / static_cast<double>(state.steps) : 0;
  std::string out = Bar(share, std::min(kMaxBar, width / 2)) + "  step " +
                    std::to_string(state.step) + "/" + std::to_string(state.steps);
  const std::optional<double> left = SecondsLeft(state);
  out += "  " + Span(base::ToSeconds(state.now - state.started)) + " gone";
  return left ? out + ", " + Span(*left) + " left" : out;
}

std::string Figures(const RunState& state) {
  std::string out = "loss " + (state.has_loss ? Fixed(state.loss, 4) : std::string("-"));
  if (state.held_out) {
    out += "  held out " + Fixed(state.held_out->loss, 4) + " at step " +
           std::to_string(state.held_out->step.value);
  }
  if (state.baseline > 0) out += "  trigram " + Fixed(state.baseline, 4);
  if (state.tokens_per_second > 0) out += "  " + Short(state.tokens_per_second) + " tokens/s";
  return out;
}

std::string Doing(const local::LiveMember& member) {
  if (!member.connected) return "silent";
  if (member.leaving) return "leaving";
  if (!member.in_view && member.warm) return "warm, waits for a view";
  std::string out(PhaseText(member.phase));
  if (member.in_view && member.step.value > 0) {
    out += " step " + std::to_string(member.step.value);
  }
  return out;
}

std::string Row(const std::string& rank, const std::string& worker, const std::string& member,
                const std::string& node, const std::string& pid, const std::string& doing) {
  return "  " + PadLeft(rank, 4) + "  " + PadRight(worker, 12) + PadRight(member, 8) +
         PadRight(node, 9) + PadRight(pid, 9) + doing;
}

std::string MemberLine(const local::LiveMember& member, std::size_t rank) {
  return Row(member.in_view ? std::to_string(rank) : "-",
             "worker-" + std::to_string(member.id.ordinal), base::ToString(member.id), member.node,
             std::to_string(member.pid), Doing(member));
}

void AddMembers(const RunState& state, std::size_t most, std::vector<std::string>& lines) {
  const std::vector<local::LiveMember>& members = state.live.members;
  const std::size_t shown =
      members.size() <= most ? members.size() : most - std::min<std::size_t>(most, 1);
  std::size_t rank = 0;
  if (shown > 0) lines.push_back(Row("rank", "worker", "member", "node", "pid", "doing"));
  for (std::size_t i = 0; i < shown; ++i) {
    lines.push_back(MemberLine(members[i], rank));
    rank += members[i].in_view ? 1 : 0;
  }
  if (shown < members.size()) {
    lines.push_back("       and " + std::to_string(members.size() - shown) + " more");
  }
}

std::vector<std::string> RescaleLines(const RunState& state) {
  if (!state.last_rescale) return {};
  const api::Rescale& r = *state.last_rescale;
  return {"last change (of " + std::to_string(state.rescales) + "): " + std::to_string(r.from) +
              " -> " + std::to_string(r.to) + " members, " + r.cause + ", stalled " +
              Fixed(r.stall_seconds * 1e3, 0) + " ms",
          "  " + PhasesText(r)};
}

}  // namespace

std::string Bar(double share, std::size_t width) {
  const double bounded = std::isfinite(share) ? std::clamp(share, 0.0, 1.0) : 0.0;
  const auto full = static_cast<std::size_t>(bounded * static_cast<double>(width));
  std::string out;
  for (std::size_t i = 0; i < width; ++i) out += i < full ? "█" : "░";
  return out;
}

std::vector<std::string> LiveLines(const RunState& state, std::size_t width, std::size_t height) {
  std::vector<std::string> lines = {Header(state), ProgressBar(state, width), Figures(state)};
  const std::vector<std::string> rescale = RescaleLines(state);
  const std::size_t fixed = lines.size() + rescale.size();
  const std::size_t room = height > fixed ? height - fixed : 0;
  AddMembers(state, room > 3 ? room - 3 : room, lines);  // the head, and two events
  lines.insert(lines.end(), rescale.begin(), rescale.end());
  const std::size_t left = height > lines.size() ? height - lines.size() : 0;
  const std::size_t news = std::min(left, state.recent.size());
  for (std::size_t i = state.recent.size() - news; i < state.recent.size(); ++i) {
    lines.push_back("  " + state.recent[i]);
  }
  if (lines.size() > height) lines.resize(height);
  for (std::string& line : lines) line = Cut(line, width);
  return lines;
}

}  // namespace muster::cli
