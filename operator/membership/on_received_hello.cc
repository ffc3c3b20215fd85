// Hello: who says it is refused, fenced, welcomed, or taken back where it was (M2, M9, M11).
#include <algorithm>

#include "operator/membership/state.h"

namespace muster::membership {
namespace {

std::string Joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out.empty() ? "none" : out;
}

// A sentence when the process does not belong to this job or cannot compute its bits (E3).
std::optional<std::string> Refusal(const Core& core, const api::Hello& hello) {
  if (hello.protocol != api::kProtocolVersion) {
    return "protocol " + std::to_string(hello.protocol) +
           " is not spoken here; allowed: " + std::to_string(api::kProtocolVersion);
  }
  if (hello.job_uid != core.config.job_uid) {
    return "job uid \"" + hello.job_uid + "\" is not this job's, which is \"" +
           core.config.job_uid + "\"";
  }
  if (hello.token != core.config.token) return "the token is not this job's";
  if (!core.build_id.empty() && hello.build_id != core.build_id) {
    return "build id \"" + hello.build_id + "\" is not the job's, which is \"" + core.build_id +
           "\" (E3: one build for the whole job)";
  }
  const auto& families = hello.kernel_families;
  if (!core.kernel_family.empty() &&
      std::find(families.begin(), families.end(), core.kernel_family) == families.end()) {
    return "kernel families " + Joined(families) + " do not include the job's, which is " +
           core.kernel_family;
  }
  return std::nullopt;
}

// The stream is the member's from now on; what it knows of itself is believed.
void Bind(Core& core, Member& m, StreamId stream, const api::Hello& hello) {
  if (m.stream && *m.stream != stream) {
    core.streams.erase(*m.stream);
    core.out.push_back(CloseStream{*m.stream});
  }
  core.streams[stream] = m.id;
  m.stream = stream;
  m.signs.stream_lost.reset();
  m.signs.heard = core.now;
  if (!m.hello || m.pid != hello.pid) m.progress_at = core.now;
  m.hello = true;
  m.hello_at = core.now;
  m.node = hello.node;
  m.pid = hello.pid;
  if (!hello.address.empty()) m.address = hello.address;
  m.phase = hello.phase;
  m.installed = hello.epoch;
  m.pending = hello.pending_epoch;
  m.interrupted = hello.interrupted;
  m.committed = hello.committed;
  m.digest = hello.digest;
  m.has_state = hello.has_state;
  m.kept = hello.kept;
  m.reported = base::Step();
}

// Neither holds nor held a view: belongs to the waiting room whatever was sent to it before.
bool IsNew(const api::Hello& hello) {
  return hello.epoch.value == 0 && hello.pending_epoch.value == 0 && !hello.interrupted &&
         hello.phase <= api::MemberPhase::kWarm;
}

void WelcomeMember(Core& core, Member& m, const api::Hello& hello) {
  if (core.kernel_family.empty() && !hello.kernel_families.empty()) {
    core.kernel_family = hello.kernel_families.front();
  }
  if (core.build_id.empty()) core.build_id = hello.build_id;
  api::Welcome welcome = core.config.welcome;
  welcome.job_uid = core.config.job_uid;
  welcome.kernel_family = core.kernel_family;
  welcome.build_id = core.build_id;
  welcome.data_digest = core.data_digest;
  // Whoever hears it need not read the weights, so it must outlive this coordinator.
  if (core.record) welcome.start_weights_digest = core.record->start_weights_digest;
  welcome.audit = core.config.audit;
  m.warm = false;
  core.Say(m, std::move(welcome));
}

// What may have been lost with the old stream is said again; all of it is idempotent.
void SayAgain(Core& core, Member& m) {
  const api::View* view = core.NewestView();
  const bool in_view =
      view != nullptr && (std::any_of(view->members.begin(), view->members.end(),
                                      [&](const auto& v) { return v.id == m.id; }) ||
                          std::any_of(view->leavers.begin(), view->leavers.end(),
                                      [&](const auto& l) { return l.id == m.id; }));
  if (core.phase == Phase::kAnnounced && in_view && m.installed < view->epoch &&
      m.pending < view->epoch && m.phase >= api::MemberPhase::kWarm) {
    m.told = true;
    m.ready = false;
    core.Say(m, api::InstallView{*view});
  }
  if (m.told && core.Acknowledged().value > 0) {
    core.Say(m, api::CommitAck{core.Acknowledged()});
  }
  if (core.request && core.InForce(m.id)) {
    core.Say(m, api::RequestCheckpoint{core.request->id, core.request->stop});
  }
}

// M14: the order to write a manifest may have been lost, in whatever phase its writer comes back.
void OrderAgain(Core& core, const Member& m) {
  for (auto& [step, pending] : core.checkpoints) {
    if (pending.writer == m.id && !pending.manifest) {
      pending.writer.reset();
      core.OrderManifest(pending);
      break;
    }
  }
}

}  // namespace

void Core::OnHello(StreamId stream, const api::Hello& hello) {
  if (const auto refusal = Refusal(*this, hello)) {
    SayTo(stream, api::Refused{*refusal});
    out.push_back(CloseStream{stream});
    NoteThat("refused " + base::ToString(hello.member) + ": " + *refusal);
    return;
  }
  if (IsParent(hello.member)) {
    OnParent(stream, base::PodOf(hello.member, Processes()));
    return;
  }
  FindLate(hello.member);
  Member* known = Find(hello.member);
  if (phase == Phase::kOver && finish) {
    SayTo(stream, *finish);
    return;
  }
  if (known != nullptr && known->dead) {
    known->stream = stream;
    FenceIfOut(*known);
    return;
  }
  const bool fresh = IsNew(hello);
  if (!fresh && !InRecord(hello.member) && !(formed && known != nullptr && known->told)) {
    SayTo(stream,
          api::Fenced{"member " + base::ToString(hello.member) + " of epoch " +
                      std::to_string(hello.epoch.value) + " is in no view that is still in use"});
    out.push_back(CloseStream{stream});
    return;
  }
  Member& m = members[hello.member];
  m.id = hello.member;
  Bind(*this, m, stream, hello);
  if (m.released) {
    Say(m, api::Release{});
    return;
  }
  m.told = !fresh;
  if (fresh) m.ready = false;
  if (hello.phase == api::MemberPhase::kJoining) {
    WelcomeMember(*this, m, hello);
  } else if (hello.phase == api::MemberPhase::kWarm && fresh && !m.warm) {
    m.warm = !m.address.empty();
    m.warm_since = now;
  }
  OrderAgain(*this, m);
  if (phase == Phase::kCollecting || phase == Phase::kWaiting || phase == Phase::kForming) {
    if (m.told && InRecord(m.id)) {
      m.ready = false;
      SendInterrupt(m);
      if (phase == Phase::kWaiting) phase = Phase::kCollecting;
      round_started = now;
    }
    return;
  }
  if (phase == Phase::kKnowing) return;
  SayAgain(*this, m);
  const bool in_force = force && m.installed == force->epoch && InForce(m.id);
  // A process that forgot its view (none should) takes part as a new one; the others go on without
  // it.
  const api::View* view = NewestView();
  const bool forgot = fresh && !m.told && view != nullptr &&
                      std::any_of(view->members.begin(), view->members.end(),
                                  [&](const api::ViewMember& v) { return v.id == m.id; });
  if ((in_force && m.interrupted) || forgot) BeginRound("StreamLost", now);
}

}  // namespace muster::membership
