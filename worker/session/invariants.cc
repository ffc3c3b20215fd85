// What must hold after every step; sentences about what does not.
#include <algorithm>

#include "worker/session/state.h"

namespace muster::session {

std::vector<std::string> Invariants(const Session& session) {
  const auto& s = *session.state_;
  std::vector<std::string> broken;
  auto hold = [&broken](bool condition, std::string sentence) {
    if (!condition) broken.push_back(std::move(sentence));
  };
  if (s.exited) return broken;
  const bool training = s.view && !s.interrupted && !s.leaving && !s.installing;
  hold(!s.view || s.rank == RankOf(*s.view, s.config.member),
       "rank is the own index in the view (M13)");
  hold(!s.leaving || s.rank < 0, "a leaver is no member of the view it leaves for (M15)");
  hold(!s.interrupted || !s.pending, "an Interrupt cancels a change not yet switched to (M4)");
  hold(!s.ready_report || !s.confirmed, "after Ready nothing commits (M4)");
  hold(!(s.owes_ready && s.ready_report && !s.interrupted),
       "Ready is owed only while interrupted (M4)");
  hold(!s.owes_ready || s.confirmed, "Ready waits for nothing but a confirmed update (M4)");
  hold(!s.applying || s.confirmed, "only a confirmed reduction is applied (M4)");
  hold(!s.confirmed || s.confirmed->tag.step == s.committed.Next(),
       "the step being applied follows the committed one");
  hold(s.sums.held.empty() || s.sums.tag.step == s.committed.Next(),
       "the sum holds slots of the step after the committed one (M6)");
  hold(s.sums.in_progress.empty() || s.computing, "a slot is in progress only under an order");
  hold(std::none_of(s.sums.in_progress.begin(), s.sums.in_progress.end(),
                    [&s](api::Slot slot) { return s.sums.held.contains(slot); }),
       "no slot is added twice (E9)");
  hold(s.copies >= 0, "a copy ends once");
  hold(!(training && s.planned && s.collective == Collective::kReduce) || s.SumComplete(),
       "a reduction is offered only a complete sum");
  hold(!training || s.has_state, "an installed member has state");
  hold(!training || s.installed_epoch == s.view->epoch, "an installed view was reported Installed");
  hold(s.interrupted || !s.view || s.view->epoch > s.interrupted_epoch ||
           s.interrupted_epoch == base::Epoch(),
       "a view up to an Interrupt's epoch is cancelled (M4)");
  hold(std::is_sorted(s.reports.begin(), s.reports.end(),
                      [](const auto& a, const auto& b) { return a.step < b.step; }),
       "reports are in the order of steps");
  hold(s.reports_told <= s.reports.size(), "what was told of is kept until it is acknowledged");
  hold(s.reports.empty() || s.reports.back().step <= s.committed,
       "only committed steps are reported");
  std::vector<api::Slot> assigned = s.assigned;
  std::sort(assigned.begin(), assigned.end());
  hold(std::adjacent_find(assigned.begin(), assigned.end()) == assigned.end(),
       "no slot is assigned twice (E9)");
  return broken;
}

}  // namespace muster::session
