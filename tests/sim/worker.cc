// See worker.h.
#include "tests/sim/worker.h"

#include <type_traits>

#include "tests/sim/cluster.h"
#include "tests/worker/session/describe.h"

namespace muster::sim {

namespace {
// Below the heartbeat timeout, so that a new coordinator is found before it convicts anybody of
// silence.
constexpr base::Duration kSilence = std::chrono::milliseconds(500);

session::Config MakeConfig(base::MemberId id, const std::string& node) {
  session::Config config;
  config.job_uid = kJobUid;
  config.token = kToken;
  config.member = id;
  config.node = node;
  config.pid = 1000 + id.ordinal * 100 + id.incarnation;
  config.build_id = "build";
  config.kernel_families = {"scalar"};
  config.reports_at_once = 2;  // so that there is a backlog in 30 steps
  return config;
}
}  // namespace

Worker::Worker(Cluster& cluster, base::MemberId id, std::string node)
    : cluster_(cluster),
      world_(cluster.world),
      id_(id),
      node_(node),
      session_(MakeConfig(id, node)),
      training_(cluster.world, cluster.numbers, *this) {
  Beat();
  Tick();
  DialAgain();
}

void Worker::Later(base::Duration delay, std::function<void()> what) {
  world_.After(delay, [this, what = std::move(what)] {
    if (!alive_) return;
    if (stopped_) {
      frozen_.push_back(what);
    } else {
      what();
    }
  });
}

void Worker::Post(session::Event event) {
  if (!alive_) return;
  const auto* ready = std::get_if<session::RingReady>(&event);
  const bool leaks = ready != nullptr && cluster_.leak_after > 0 && ++views_ > cluster_.leak_after;
  const session::StartAgain again{leaks ? ready->epoch : base::Epoch(), "it leaks"};
  inbox_.push_back(std::move(event));
  if (leaks) Post(again);
  Later(world_.Micros(5, 200), [this] { Drain(); });
}

void Worker::Drain() {
  if (inbox_.empty()) return;
  const session::Event event = std::move(inbox_.front());
  inbox_.pop_front();
  session::Commands commands = session_.Step(world_.now(), event);
  world_.Trace([&] {
    std::string line = name() + ": " + session::Describe(event);
    for (const session::Command& c : commands) line += "\n             -> " + session::Describe(c);
    return line;
  });
  for (const std::string& sentence : session::Invariants(session_)) {
    world_.Violation(name() + " after " + session::Describe(event) + ": " + sentence);
  }
  MayAbort(event, commands);
  for (const session::Command& command : commands) {
    if (alive_) Obey(command);
  }
}

void Worker::Beat() {
  Later(std::chrono::milliseconds(200), [this] { Beat(); });
  if (!stream_) return;
  // A coordinator that sleeps keeps its streams open: silence is as good as a closed one.
  if (world_.now() - heard_ > kSilence) {
    cluster_.network.Close(*stream_);
    return;
  }
  api::Heartbeat beat = session_.Beat();
  beat.sequence = ++beats_;
  Post(session::BeatSent{beats_});
  cluster_.network.ToCoordinator(*this, {{term_, session_.epoch()}, beat});
}

void Worker::Tick() {
  Later(std::chrono::milliseconds(50), [this] { Tick(); });
  Post(session::Tick{});
}

void Worker::DialAgain() {
  Later(world_.Micros(5000, 100000), [this] { DialAgain(); });
  if (!stream_) cluster_.network.Dial(*this);
}

void Worker::Opened(std::uint64_t stream) {
  stream_ = stream;
  heard_ = world_.now();
  Post(session::StreamUp{});
}

void Worker::Closed(std::uint64_t stream) {
  if (!alive_ || stream_ != stream) return;
  stream_.reset();
  Post(session::StreamDown{});
}

void Worker::Heard(std::uint64_t stream, const api::FromCoordinator& message) {
  if (stream_ != stream) return;
  heard_ = world_.now();
  term_ = std::max(term_, message.envelope.term);
  Post(session::Received{message});
}

void Worker::Kill() {
  if (!alive_) return;
  world_.Trace([&] { return name() + " is killed"; });
  alive_ = false;
  serving_.reset();
  cluster_.rings.Died(*this);
  if (stream_) cluster_.network.Close(*stream_);
  cluster_.Ended(*this);
}

void Worker::Exit(const session::Exit& exit) {
  exit_code_ = static_cast<int>(exit.code);
  // The process waits for its disk lane.
  if (exit.code == api::ExitCode::kSucceeded) cluster_.disk.AppendLines(lines_, lines_due_);
  Kill();
}

void Worker::StopProcess() {
  world_.Trace([&] { return name() + " is stopped"; });
  stopped_ = true;
}

void Worker::ContinueProcess() {
  if (!alive_ || !stopped_) return;
  world_.Trace([&] { return name() + " continues"; });
  stopped_ = false;
  std::vector<std::function<void()>> waited = std::move(frozen_);
  frozen_.clear();
  for (auto& what : waited) Later(world_.Micros(0, 1), what);
}

void Worker::Term(double grace_seconds) { Post(session::TermSignal{grace_seconds}); }

void Worker::CutOff(base::Duration time) {
  cut_off_until_ = world_.now() + time;
  if (stream_) cluster_.network.Close(*stream_);
}

const ModelState* Worker::Serving(base::Epoch epoch) const {
  if (!alive_ || stopped_ || !serving_ || serving_->epoch != epoch || !training_.has_state())
    return nullptr;
  return training_.state().step == serving_->step.value ? &training_.state() : nullptr;
}

// M6: from whoever serves this epoch; a source that dies or goes on under the transfer is given up.
void Worker::Fetch(const api::View& view, std::uint64_t fetch, base::Time began) {
  if (fetch_ != fetch) return;
  std::vector<Worker*> sources;
  for (Worker* w : cluster_.Living()) {
    if (w != this && w->Serving(view.epoch) != nullptr) sources.push_back(w);
  }
  if (sources.empty()) {
    if (world_.now() - began > std::chrono::seconds(6)) {
      fetch_ = 0;
      Post(session::StateFailed{view.epoch, {}, "no source answers"});
      return;
    }
    Later(world_.Micros(2000, 20000), [this, view, fetch, began] { Fetch(view, fetch, began); });
    return;
  }
  Worker* source = sources[world_.Below(sources.size())];
  const ModelState copy = *source->Serving(view.epoch);
  const std::set<std::int64_t> lines = source->lines();
  Later(world_.Micros(5000, 60000), [this, view, fetch, began, source, copy, lines] {
    if (fetch_ != fetch) return;
    const ModelState* still = source->Serving(view.epoch);
    if (still == nullptr || *still != copy) {
      Fetch(view, fetch, began);
      return;
    }
    fetch_ = 0;
    training_.Receive(copy);
    lines_.insert(lines.begin(), lines.end());
    Post(session::StateReceived{view.epoch, base::Step(copy.step), Digest(copy), 0.05,
                                copy.exponents});
  });
}

void Worker::Call(CollectiveKind kind, base::Epoch epoch, const session::Reduce& reduce,
                  base::Step evaluated) {
  Contribution contribution{kind, reduce, evaluated, training_.sum()};
  if (kind == CollectiveKind::kReduce && contribution.sum.tag != reduce.tag) {
    world_.Violation(name() + " reduces a sum with another tag");
  }
  if (kind == CollectiveKind::kReduce && training_.computing()) {
    world_.Violation(name() + " reduces a sum that slots are still added to");
  }
  cluster_.rings.Call(*this, epoch, std::move(contribution));
}

void Worker::Result(const session::Reduced& outcome, const Sum& whole) {
  training_.Confirm(whole, outcome.saturated ? outcome.next_exponents : 0);
  Post(outcome);
}

void Worker::Committed(const ModelState& state) {
  cluster_.Committed(*this, state);
  session::Applied applied;
  applied.step = base::Step(state.step);
  applied.digest = Digest(state);
  applied.loss = 1.0 / static_cast<double>(state.step);
  applied.tokens = 64;
  applied.exponents = state.exponents;
  lines_.insert(state.step);
  Post(applied);
}

}  // namespace muster::sim
