// A failure (M4): evict, interrupt, collect Ready from both recorded views.
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {

void Core::Evict(Member& m, const std::string& reason, const std::string& message,
                 base::Time since) {
  if (m.dead) return;
  const bool counts = InRecord(m.id) && !m.released;
  // A leaver that everybody has switched away from is missed by nobody.
  const bool quiet = m.switched_away && (phase == Phase::kSettled || phase == Phase::kAnnounced);
  m.dead = true;
  m.dead_reason = reason;
  m.warm = false;
  TellParent(m.id);
  if (counts && !quiet) {
    if (reason != "NcclBroken") breaks = Breaks{};  // what broke is explained
    out.push_back(Evicted{m.id, m.node, reason, message});
    evicted_now.insert(m.id);
  } else {
    NoteThat(base::ToString(m.id) + " is gone: " + reason + ": " + message);
  }
  FenceIfOut(m);
  if (!counts || quiet || phase == Phase::kKnowing) return;
  BeginRound(reason, since);
}

// M2: only who is in no recorded view is told so; before that the next view must be in the record.
void Core::FenceIfOut(Member& m) {
  if (!m.dead || InRecord(m.id) || !m.stream) return;
  Say(m, api::Fenced{"member " + base::ToString(m.id) + " was evicted: " + m.dead_reason});
  out.push_back(CloseStream{*m.stream});
  streams.erase(*m.stream);
  m.stream.reset();
}

void Core::SendInterrupt(Member& m) {
  m.owed_interrupt = AwaitsKill(m);
  if (m.owed_interrupt) return;
  Say(m, api::Interrupt{record->newest.epoch, {evicted_now.begin(), evicted_now.end()}});
}

void Core::BeginRound(const std::string& cause, base::Time since) {
  if (phase == Phase::kNew || phase == Phase::kTaking || phase == Phase::kOver ||
      phase == Phase::kDeposed) {
    return;
  }
  if (formed) {
    const bool flying = in_flight && in_flight->kind == Write::Kind::kView;
    formed->stale = true;
    if (!flying) formed.reset();
  }
  AbandonCheckpoints("a member was lost before all parts were written");
  if (request) {
    request.reset();
    if (!draining) checkpoint_due = now;
  }
  const bool running =
      phase == Phase::kCollecting || phase == Phase::kWaiting || phase == Phase::kForming;
  if (!running) {
    round_epoch = record->newest.epoch;
    round_started = now;
    announced.reset();
    // A failure that interrupts the recovery from another prolongs that one's log.
    if (!rescaling || rescaling->voluntary) {
      rescaling = RescaleLog{};
      rescaling->rescale.cause = cause;
      rescaling->rescale.from =
          static_cast<std::int32_t>(force ? force->members.size() : record->newest.members.size());
      rescaling->begun = std::min(since, now);
      rescaling->raised = now;
    }
    rescaling->epoch = base::Epoch();
    NoteThat("interrupts epoch " + std::to_string(round_epoch.value) + ": " + cause);
  }
  // What began as mere evidence has a cause now.
  if (running && rescaling &&
      (rescaling->rescale.cause == "StreamLost" || rescaling->rescale.cause == "NcclBroken")) {
    rescaling->rescale.cause = cause;
  }
  answered_since.reset();
  phase = Phase::kCollecting;
  for (const base::MemberId id : Participants()) SendInterrupt(*Find(id));
}

// Settling ends when all unsuspected members have answered; evidence that stands alone (a lost
// stream) gets at most Config::settle more.
void Core::AdvanceCollecting() {
  while (phase == Phase::kCollecting) {
    std::vector<base::MemberId> unanswered;
    bool only_lost = true;
    for (const base::MemberId id : Participants()) {
      const Member& m = *Find(id);
      if (m.ready && m.stream) continue;
      unanswered.push_back(id);
      only_lost = only_lost && !m.stream;
    }
    if (unanswered.empty()) {
      phase = Phase::kWaiting;
      return;
    }
    if (!only_lost) answered_since.reset();
    if (only_lost && !answered_since) answered_since = now;
    const bool alone = std::any_of(unanswered.begin(), unanswered.end(),
                                   [&](base::MemberId id) { return HoldsStateAlone(*Find(id)); });
    if (only_lost && !alone && now - *answered_since >= config.settle) {
      for (const base::MemberId id : unanswered) {
        Evict(*Find(id), "StreamLost", "its stream broke and it did not return in time",
              answered_since.value_or(now));
      }
    } else if (now - round_started >= config.spec.elasticity.heartbeat_timeout) {
      for (const base::MemberId id : unanswered) {
        Evict(*Find(id), "HeartbeatTimeout", "it did not answer Interrupt with Ready",
              round_started);
      }
    } else {
      return;
    }
  }
}

void Core::RollBackAll(const std::string& reason) {
  roll_back = reason;
  checkpoints.clear();
  if (++roll_backs >= 3) {
    Fail("DigestMismatch", "three roll-backs without a step committed in between: " + reason);
  }
}

}  // namespace muster::membership
