// The session's entrance: events to their files, what others may ask, and words to the coordinator.
#include "worker/session/session.h"

#include <type_traits>

#include "worker/session/state.h"

namespace muster::session {

namespace {

// Events of the training and communicator threads are progress in the sense of the stall rule (M3).
template <typename E>
constexpr bool kIsProgress =
    !std::is_same_v<E, StreamUp> && !std::is_same_v<E, StreamDown> &&
    !std::is_same_v<E, Received> && !std::is_same_v<E, BeatSent> &&
    !std::is_same_v<E, TermSignal> && !std::is_same_v<E, StartAgain> && !std::is_same_v<E, Tick>;

}  // namespace

std::int32_t RankOf(const api::View& view, base::MemberId id) {
  for (std::size_t i = 0; i < view.members.size(); ++i) {
    if (view.members[i].id == id) return static_cast<std::int32_t>(i);
  }
  return -1;
}

Session::Session(Config config) : state_(std::make_unique<State>(std::move(config))) {}
Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

Commands Session::Step(base::Time now, const Event& event) {
  State& s = *state_;
  s.out.clear();
  if (s.exited) return {};
  s.now = now;
  std::visit(
      [&s](const auto& e) {
        using E = std::decay_t<decltype(e)>;
        if constexpr (kIsProgress<E>) ++s.progress;
        if constexpr (std::is_same_v<E, StreamUp>)
          s.OnStreamUp();
        else if constexpr (std::is_same_v<E, StreamDown>)
          s.stream_up = false;
        else if constexpr (std::is_same_v<E, Received>)
          s.OnReceived(e.message);
        else if constexpr (std::is_same_v<E, Loaded>)
          s.OnLoaded(e);
        else if constexpr (std::is_same_v<E, Broken>)
          s.OnBroken(e);
        else if constexpr (std::is_same_v<E, SlotBegun>)
          s.OnSlotBegun(e);
        else if constexpr (std::is_same_v<E, SlotDone>)
          s.OnSlotDone(e);
        else if constexpr (std::is_same_v<E, ComputeStopped>)
          s.OnComputeStopped();
        else if constexpr (std::is_same_v<E, StateMade>)
          s.OnStateMade(e);
        else if constexpr (std::is_same_v<E, StateRestored>)
          s.OnStateRestored(e);
        else if constexpr (std::is_same_v<E, RestoreFailed>)
          s.OnRestoreFailed(e);
        else if constexpr (std::is_same_v<E, Applied>)
          s.OnApplied(e);
        else if constexpr (std::is_same_v<E, Evaluated>)
          s.OnEvaluated(e);
        else if constexpr (std::is_same_v<E, StateCopied>)
          --s.copies;
        else if constexpr (std::is_same_v<E, PartWritten>)
          s.OnPartWritten(e);
        else if constexpr (std::is_same_v<E, ManifestDone>)
          s.OnManifestDone(e);
        else if constexpr (std::is_same_v<E, RingReady>)
          s.OnRingReady(e);
        else if constexpr (std::is_same_v<E, RingFailed>)
          s.OnRingFailed(e);
        else if constexpr (std::is_same_v<E, PeerReset>)
          s.OnPeerReset(e);
        else if constexpr (std::is_same_v<E, Reduced>)
          s.OnReduced(e);
        else if constexpr (std::is_same_v<E, ReduceAborted>)
          s.OnReduceAborted(e);
        else if constexpr (std::is_same_v<E, StateReceived>)
          s.OnStateReceived(e);
        else if constexpr (std::is_same_v<E, StateFailed>)
          s.OnStateFailed(e);
        else if constexpr (std::is_same_v<E, BeatSent>)
          s.OnBeatSent(e.sequence);
        else if constexpr (std::is_same_v<E, TermSignal>)
          s.OnTermSignal(e);
        else if constexpr (std::is_same_v<E, StartAgain>)
          s.OnStartAgain(e);
        else {
          static_assert(std::is_same_v<E, Tick>);
          s.OnTick();
        }
      },
      event);
  s.Advance();
  return std::move(s.out);
}

api::Heartbeat Session::Beat() const {
  api::Heartbeat beat;
  beat.phase = state_->Phase();
  beat.step = state_->committed.Next();
  beat.progress = state_->progress;
  return beat;
}

base::Epoch Session::epoch() const { return state_->installed_epoch; }
base::Step Session::committed() const { return state_->committed; }

bool Session::ready() const {
  if (state_->installed_epoch != base::Epoch()) return true;
  return state_->Phase() == api::MemberPhase::kWarm && state_->stream_up;
}

api::MemberPhase Session::State::Phase() const {
  using P = api::MemberPhase;
  if (!welcome) return P::kJoining;
  if (!loaded) return P::kLoading;
  if (applying) return P::kApplying;
  if (interrupted) return P::kReady;
  if (!view) return P::kWarm;
  if (leaving) return P::kLeaving;
  if (installing) return P::kInstalling;
  if (collective == Collective::kReduce) return P::kReducing;
  if (confirmed) return P::kApplying;
  if (evaluation_due && (stopped || agreed || SumComplete())) return P::kEvaluating;
  if (stopped) return P::kWaiting;
  return P::kForward;
}

api::KeptSums Session::State::Kept() const {
  api::KeptSums kept;
  kept.tag = sums.tag;
  if (!has_state || sums.tag.step != committed.Next()) return kept;
  kept.slots.assign(sums.held.begin(), sums.held.end());
  kept.slots.insert(kept.slots.end(), sums.in_progress.begin(), sums.in_progress.end());
  return kept;
}

api::Hello Session::State::MakeHello() const {
  api::Hello hello;
  hello.job_uid = config.job_uid;
  hello.token = config.token;
  hello.member = config.member;
  hello.pid = config.pid;
  hello.node = config.node;
  hello.build_id = config.build_id;
  hello.kernel_families = config.kernel_families;
  hello.epoch = installed_epoch;
  if (pending) hello.pending_epoch = pending->epoch;
  hello.term = term;
  hello.phase = Phase();
  // A view taken up after `installed_epoch` closed that one's ring: it is no longer adoptable
  // (M11).
  hello.interrupted = interrupted || installing || ring == Ring::kLost;
  hello.committed = committed;
  hello.digest = has_state ? digest : 0;
  hello.has_state = has_state;
  hello.kept = Kept();
  if (loaded) hello.address = loaded->warm.address;
  return hello;
}

void Session::State::Tell(api::MemberMessage message) {
  out.push_back(Send{{{term, installed_epoch}, std::move(message)}});
}

void Session::State::Fail(api::ExitCode code, std::string reason, std::string message) {
  Tell(api::Failing{static_cast<std::int32_t>(code), std::move(reason), message});
  End(code, std::move(message));
}

void Session::State::End(api::ExitCode code, std::string message) {
  if (exited) return;
  out.push_back(Exit{code, std::move(message)});
  exited = true;
}

}  // namespace muster::session
