// The machine's frame: dispatch, look-ups and the small words that every part uses.
#include <algorithm>
#include <utility>

#include "operator/base/rng.h"
#include "operator/membership/state.h"

namespace muster::membership {

Core::Core(Config c) : config(std::move(c)), record(config.record) {
  const api::WorkersSpec& workers = config.spec.workers;
  target.desired = workers.replicas * workers.processes_per_worker;
  target.min = workers.min_replicas * workers.processes_per_worker;
  if (record) {
    term = record->term;
    kernel_family = record->kernel_family;
    build_id = record->build_id;
    data_digest = record->data_digest;
    device = record->device;
    start_weights_digest = record->start_weights_digest;
    if (record->checkpoint) acked = record->checkpoint->step;
  }
}

void Core::SayTo(StreamId stream, api::CoordinatorMessage message) {
  const base::Epoch epoch = record ? record->newest.epoch : base::Epoch();
  out.push_back(Send{stream, api::FromCoordinator{{term, epoch}, std::move(message)}});
}

void Core::Say(const Member& m, api::CoordinatorMessage message) {
  if (m.stream) SayTo(*m.stream, std::move(message));
}

void Core::NoteThat(const std::string& text) { out.push_back(Note{text}); }

Member* Core::Find(base::MemberId id) {
  const auto it = members.find(id);
  return it == members.end() ? nullptr : &it->second;
}

const Member* Core::Find(base::MemberId id) const {
  const auto it = members.find(id);
  return it == members.end() ? nullptr : &it->second;
}

bool Core::InRecord(base::MemberId id) const {
  const std::vector<base::MemberId> all = Recorded();
  return std::find(all.begin(), all.end(), id) != all.end();
}

bool Core::InForce(base::MemberId id) const {
  const std::vector<base::MemberId> all = ForceMembers();
  return std::find(all.begin(), all.end(), id) != all.end();
}

// Nobody else who can be spoken to has the newest state: without this one the job would go back.
bool Core::HoldsStateAlone(const Member& m) const {
  if (!m.has_state) return false;
  for (const base::MemberId id : Participants()) {
    const Member& other = *Find(id);
    if (id != m.id && other.stream && other.has_state && other.committed >= m.committed)
      return false;
  }
  return true;
}

const api::View* Core::NewestView() const {
  if (announced) return &*announced;
  return force ? &*force : nullptr;
}

std::vector<base::MemberId> Core::Recorded() const {
  std::vector<base::MemberId> out_ids;
  if (!record) return out_ids;
  out_ids = record->newest.members;
  for (const base::MemberId id : record->previous.members) {
    if (std::find(out_ids.begin(), out_ids.end(), id) == out_ids.end()) out_ids.push_back(id);
  }
  return out_ids;
}

std::vector<base::MemberId> Core::Participants() const {
  std::vector<base::MemberId> out_ids;
  for (const base::MemberId id : Recorded()) {
    const Member* m = Find(id);
    if (m != nullptr && m->told && !m->dead && !m->released) out_ids.push_back(id);
  }
  return out_ids;
}

std::vector<base::MemberId> Core::ForceMembers() const {
  std::vector<base::MemberId> out_ids;
  if (!force) return out_ids;
  for (const api::ViewMember& m : force->members) out_ids.push_back(m.id);
  return out_ids;
}

base::Step Core::HighestCommitted() const {
  base::Step highest;
  for (const auto& [id, m] : members) {
    if (!m.dead && m.has_state) highest = std::max(highest, m.committed);
  }
  return highest;
}

std::uint64_t Core::Nonce() { return base::Mix64(config.seed ^ base::Mix64(++nonces)); }

void Core::WakeUp(base::Duration slept) {
  const Limits limits = SilenceLimits();
  const auto moved = [&](base::Time since, base::Duration limit) {
    return WaitAfterSleep(since, limit, config.heartbeat, slept, now);
  };
  const base::Duration stall = StallLimit(step_times);
  for (auto& [id, m] : members) {
    m.signs.heard = moved(m.signs.heard, SilenceLimit(m.signs, limits));
    m.progress_at = moved(m.progress_at, stall);
    if (m.signs.stream_lost) m.signs.stream_lost = now;
  }
  round_started = moved(round_started, limits.timeout);
  if (answered_since) answered_since = now;
  installing_since = moved(installing_since, config.install_deadline);
  listening_since = moved(listening_since, ReturnLimit());
}

// Whoever lost the coordinator long ago tries once a second at least (worker/rpc/backoff.h).
base::Duration Core::ReturnLimit() const {
  return std::max<base::Duration>(config.spec.elasticity.heartbeat_timeout,
                                  std::chrono::seconds(1)) +
         std::chrono::milliseconds(200);
}

Limits Core::SilenceLimits() const {
  return {config.heartbeat, config.spec.elasticity.heartbeat_timeout, config.reconnect_grace};
}

void Core::Advance() {
  if (phase == Phase::kOver || phase == Phase::kDeposed || phase == Phase::kNew) return;
  JudgeMembers();
  AdvanceKnowing();
  AdvanceKills();
  AdvanceCollecting();
  AdvanceAnnounced();
  AdvanceCommits();
  AdvanceCheckpoints();
  AdvanceReleases();
  AdvanceVoluntary();
  AdvanceFinish();
  TryForm();
  AdvanceWrites();
}

}  // namespace muster::membership
