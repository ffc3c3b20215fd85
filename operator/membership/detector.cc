// Suspicion (M3): see detector.h for the table of signs and verdicts.
#include "operator/membership/detector.h"

#include <algorithm>

namespace muster::membership {
namespace {

std::string Milliseconds(base::Duration d) {
  return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(d).count()) + " ms";
}

}  // namespace

base::Duration SilenceLimit(const Signs& signs, const Limits& limits) {
  if (!signs.node_suspect) return limits.timeout;
  return std::min(limits.timeout, std::max(limits.timeout / 2, limits.heartbeat * 2));
}

base::Time WaitAfterSleep(base::Time since, base::Duration limit, base::Duration heartbeat,
                          base::Duration slept, base::Time now) {
  const base::Time leaves_two_beats = now - std::max<base::Duration>(limit - heartbeat * 2, {});
  return std::min(now, std::max(since + slept, leaves_two_beats));
}

std::optional<Verdict> Judge(const Signs& signs, const Limits& limits, base::Time now) {
  if (signs.pod_lost) {
    return Verdict{"WorkerKilled", "the cluster reports its process gone", *signs.pod_lost};
  }
  if (signs.stream_lost && signs.neighbour_reset) {
    return Verdict{"WorkerKilled", "its stream and its neighbour's connection broke",
                   std::min(*signs.stream_lost, *signs.neighbour_reset)};
  }
  if (signs.stream_lost && now - *signs.stream_lost >= limits.reconnect_grace) {
    return Verdict{
        "StreamLost",
        "its stream broke and it did not return within " + Milliseconds(limits.reconnect_grace),
        *signs.stream_lost};
  }
  const base::Duration silence = SilenceLimit(signs, limits);
  if (!signs.stream_lost && now - signs.heard >= silence) {
    return Verdict{"HeartbeatTimeout", "no beat for " + Milliseconds(now - signs.heard),
                   signs.heard};
  }
  return std::nullopt;
}

base::Time NextJudgement(const Signs& signs, const Limits& limits) {
  if (signs.stream_lost) return *signs.stream_lost + limits.reconnect_grace;
  return signs.heard + SilenceLimit(signs, limits);
}

void StepTimes::Add(base::Duration step) {
  last_.push_back(step);
  if (last_.size() > 16) last_.pop_front();
}

std::optional<base::Duration> StepTimes::Median() const {
  if (last_.empty()) return std::nullopt;
  std::vector<base::Duration> sorted(last_.begin(), last_.end());
  std::nth_element(sorted.begin(), sorted.begin() + sorted.size() / 2, sorted.end());
  return sorted[sorted.size() / 2];
}

base::Duration StallLimit(const StepTimes& times) {
  const std::optional<base::Duration> median = times.Median();
  if (!median) return std::chrono::seconds(30);
  return std::max<base::Duration>(*median * 10, std::chrono::seconds(5));
}

std::optional<base::MemberId> FindStalled(const std::vector<Pace>& paces, base::Duration limit,
                                          base::Time now) {
  for (const Pace& pace : paces) {
    // Whoever waits in the reduction makes no progress either, and is the victim, not the cause.
    if (pace.phase == api::MemberPhase::kReducing || now - pace.progress_at < limit) continue;
    const bool awaited = std::any_of(paces.begin(), paces.end(), [&](const Pace& other) {
      return other.member != pace.member && other.phase == api::MemberPhase::kReducing &&
             other.step >= pace.step;
    });
    if (awaited) return pace.member;
  }
  return std::nullopt;
}

}  // namespace muster::membership
