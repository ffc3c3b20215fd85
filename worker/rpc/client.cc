#include "worker/rpc/client.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "operator/runtime/entropy.h"
#include "operator/wire/convert.h"
#include "worker/rpc/backoff.h"
#include "worker/rpc/client_impl.h"
#include "worker/rpc/credentials.h"

namespace muster::rpc {
namespace {

using runtime::MutexLock;
using std::chrono::milliseconds;

// Of attempts in a row that failed, each fourth shows no certificate: one that the coordinator does
// not believe any more (its authority was made anew) ends every handshake, and the token still
// holds.
constexpr int kWithoutCertificate = 4;

// How long those that were just dialled are waited for before others are dialled again.
constexpr base::Duration kRound = milliseconds(500);

}  // namespace

CoordinatorClient::Impl::Impl(Options o)
    : options(std::move(o)),
      resolver(options.addresses, options.names != nullptr ? options.names : MakeNameService()),
      inbox(options.receive_queue),
      chance(runtime::RandomNumber()),
      dial([this] { DialLoop(); }),
      dispatch([this] { DispatchLoop(); }),
      beat([this] { BeatLoop(); }) {}

CoordinatorClient::Impl::~Impl() { Stop(); }

bool CoordinatorClient::Impl::Send(const api::FromMember& message) {
  v1::MemberFrame frame;
  wire::ToProto(message, &frame);
  MutexLock lock(mutex);
  if (current == nullptr || stopping) return false;
  if (std::holds_alternative<api::Hello>(message.message)) {
    current->set_greeted();
  } else if (!current->greeted()) {
    return false;
  }
  return current->Enqueue(std::move(frame));
}

void CoordinatorClient::Impl::Stop() {
  {
    MutexLock lock(mutex);
    stopping = true;
    dial_changed.NotifyAll();
    inbox_changed.NotifyAll();
    stopping_changed.NotifyAll();
  }
  MutexLock lock(stop_mutex);
  for (std::jthread* thread : {&beat, &dial, &dispatch}) {
    if (thread->joinable()) thread->join();
  }
}

bool CoordinatorClient::Impl::Stopping() {
  MutexLock lock(mutex);
  return stopping;
}

bool CoordinatorClient::Impl::WaitUnlessStopping(base::Time until) {
  MutexLock lock(mutex);
  while (!stopping) {
    if (!stopping_changed.WaitUntil(mutex, until)) break;
  }
  return !stopping;
}

void CoordinatorClient::Impl::DialLoop() {
  int failures = 0;
  base::Time good = clock.Now();  // when there was last a stream worth the name
  base::Time next = good;
  while (WaitToDial(next)) {
    const base::Time begun = clock.Now();
    const bool was_up = DialOnce(failures);
    Reap();
    std::string why;
    {
      MutexLock lock(mutex);
      why = std::exchange(trouble, "");
    }
    TellTrouble(why);
    // A coordinator that accepts and hangs up at once must not be dialled without pause.
    if (was_up && clock.Now() - begun > std::chrono::seconds(1)) {
      failures = 0;
      good = clock.Now();
      MutexLock lock(mutex);
      told_trouble.clear();
    }
    next = clock.Now() + RetryDelay(failures++, clock.Now() - good, &chance);
  }
  {
    MutexLock lock(mutex);
    CloseCurrent();
    CutOthers(nullptr, base::Time::max());
    while (!std::ranges::all_of(attempts, &Attempt::done)) dial_changed.Wait(mutex);
  }
  Reap();
}

absl::StatusOr<std::optional<Handshake>> CoordinatorClient::Impl::PrepareHandshake(int failures) {
  const Credentials* const credentials = options.credentials;
  if (credentials == nullptr || !credentials->tls()) return std::optional<Handshake>();
  Handshake handshake;
  MUSTER_ASSIGN_OR_RETURN(handshake.believed_pem, credentials->Believed());
  if (failures % kWithoutCertificate != kWithoutCertificate - 1) {
    handshake.shown = credentials->Current(clock.WallNow());
  }
  return std::optional(std::move(handshake));
}

bool CoordinatorClient::Impl::DialOnce(int failures) {
  std::string unresolved;
  const std::vector<Endpoint> endpoints =
      resolver.Resolve(kRound, [this] { return Stopping(); }, &unresolved);
  const auto handshake = PrepareHandshake(failures);
  const base::Time begun = clock.Now();
  if (handshake.ok()) BeginAttempts(endpoints, *handshake);
  MutexLock lock(mutex);
  if (!handshake.ok()) {
    trouble = base::Message(handshake.status());
  } else if (!unresolved.empty()) {
    trouble = unresolved;
  }
  Attempt* const won = AwaitFirst(begun);
  CutOthers(won, won != nullptr ? base::Time::max() : clock.Now() - options.attempt_timeout);
  if (won == nullptr) return false;
  while (!stopping && current == won) dial_changed.Wait(mutex);
  return true;
}

void CoordinatorClient::Impl::BeginAttempts(const std::vector<Endpoint>& endpoints,
                                            const std::optional<Handshake>& tls) {
  std::vector<Endpoint> idle = endpoints;
  {
    MutexLock lock(mutex);
    if (current != nullptr) return;  // one of before has come up
    for (const auto& attempt : attempts) {
      if (!attempt->released()) std::erase(idle, attempt->endpoint());
    }
  }
  // Not under the lock: making a channel takes its time, and gRPC may react at once.
  std::vector<std::unique_ptr<Attempt>> fresh;
  std::vector<Attempt*> to_begin;
  for (const Endpoint& endpoint : idle) {
    fresh.push_back(std::make_unique<Attempt>(endpoint, tls, this));
    to_begin.push_back(fresh.back().get());
  }
  {
    MutexLock lock(mutex);
    for (auto& attempt : fresh) attempts.push_back(std::move(attempt));
  }
  for (Attempt* attempt : to_begin) attempt->Begin();
}

CoordinatorClient::Impl::Attempt* CoordinatorClient::Impl::AwaitFirst(base::Time begun) {
  const auto waits_for = [](const std::unique_ptr<Attempt>& attempt, base::Time since) {
    return !attempt->done() && attempt->begun() >= since;
  };
  bool in_time = true;
  while (in_time && !stopping && current == nullptr &&
         std::ranges::any_of(attempts, [&](const auto& a) { return waits_for(a, begun); })) {
    in_time = dial_changed.WaitUntil(mutex, begun + kRound);
  }
  const bool silent =
      std::ranges::any_of(attempts, [&](const auto& a) { return waits_for(a, base::Time::min()); });
  if (current == nullptr && silent && trouble.empty()) trouble = "no coordinator answers in time";
  return current;
}

bool CoordinatorClient::Impl::WaitToDial(base::Time until) {
  MutexLock lock(mutex);
  while (!stopping && current == nullptr) {
    if (!dial_changed.WaitUntil(mutex, until)) break;
  }
  return !stopping;
}

void CoordinatorClient::Impl::TakeCertificate(const api::Certificate& certificate) {
  if (options.credentials == nullptr) return;
  const double jitter = static_cast<double>(runtime::RandomNumber() >> 11) * 0x1.0p-53;
  const absl::Status taken = options.credentials->Take(certificate, clock.WallNow(), jitter);
  if (!taken.ok()) return TellTrouble(base::Message(taken));
  MutexLock lock(mutex);
  ++counts.certificates;
}

void CoordinatorClient::Impl::AskForCertificate() {
  const base::WallTime now = clock.WallNow();
  if (options.credentials == nullptr || !options.credentials->BeginAsking(now)) return;
  auto request = options.credentials->Ask(now);
  if (!request.ok()) return TellTrouble(base::Message(request.status()));
  Send({{}, *std::move(request)});
}

void CoordinatorClient::Impl::TellTrouble(const std::string& sentence) {
  if (sentence.empty() || !options.on_trouble) return;
  {
    MutexLock lock(mutex);
    if (stopping || sentence == told_trouble) return;
    told_trouble = sentence;
  }
  options.on_trouble(sentence);
}

void CoordinatorClient::Impl::CloseCurrent() {
  if (current == nullptr) return;
  current->CloseAfterQueue();
  const base::Time deadline = clock.Now() + milliseconds(100);
  while (current != nullptr) {
    if (!dial_changed.WaitUntil(mutex, deadline)) break;
  }
}

void CoordinatorClient::Impl::CutOthers(const Attempt* kept, base::Time before) {
  for (const auto& attempt : attempts) {
    if (attempt.get() != kept && !attempt->done() && attempt->begun() < before) attempt->Cut();
  }
}

// Deletes what is done, outside the lock: a channel's end takes its time.
void CoordinatorClient::Impl::Reap() {
  std::vector<std::unique_ptr<Attempt>> dead;
  MutexLock lock(mutex);
  auto first_dead =
      std::ranges::partition(attempts, [](const auto& a) { return !a->done(); }).begin();
  std::move(first_dead, attempts.end(), std::back_inserter(dead));
  attempts.erase(first_dead, attempts.end());
}

void CoordinatorClient::Impl::DispatchLoop() {
  while (true) {
    std::optional<Incoming> next;
    {
      MutexLock lock(mutex);
      while (!stopping && !(next = inbox.Take())) inbox_changed.Wait(mutex);
      if (stopping) break;
      if (current != nullptr) current->ReadNext();
    }
    if (auto* message = std::get_if<api::FromCoordinator>(&*next)) {
      options.on_message(std::move(*message));
    } else {
      (std::holds_alternative<StreamUp>(*next) ? options.on_up : options.on_down)();
    }
  }
}

void CoordinatorClient::Impl::BeatLoop() {
  if (!options.make_beat) return;
  base::Time next = clock.Now() + options.beat_interval;
  while (WaitUnlessStopping(next)) {
    next = std::max(next, clock.Now() - options.beat_interval) + options.beat_interval;
    {
      MutexLock lock(mutex);
      if (current == nullptr || !current->greeted()) continue;
    }
    const std::optional<api::FromMember> message = options.make_beat();
    if (!message || !Send(*message)) continue;
    MutexLock lock(mutex);
    ++counts.beats;
  }
}

absl::StatusOr<std::unique_ptr<CoordinatorClient>> CoordinatorClient::Create(Options options) {
  if (!options.on_up || !options.on_down || !options.on_message || options.send_queue == 0 ||
      options.receive_queue == 0) {
    return base::InvalidArgument("a coordinator client needs its three callbacks and its queues");
  }
  if (options.addresses.empty()) {
    return base::InvalidArgument("no coordinator address is given; HOST:PORT is needed");
  }
  for (const std::string& address : options.addresses) {
    MUSTER_RETURN_IF_ERROR(CheckAddress(address));
  }
  return std::unique_ptr<CoordinatorClient>(
      new CoordinatorClient(std::make_unique<Impl>(std::move(options))));
}

CoordinatorClient::CoordinatorClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

CoordinatorClient::~CoordinatorClient() = default;

bool CoordinatorClient::Send(const api::FromMember& message) { return impl_->Send(message); }

void CoordinatorClient::Stop() { impl_->Stop(); }

CoordinatorClient::Counts CoordinatorClient::counts() const {
  MutexLock lock(impl_->mutex);
  return impl_->counts;
}

}  // namespace muster::rpc
