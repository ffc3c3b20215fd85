#include "worker/rpc/client.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <thread>
#include <utility>

#include "grpcpp/grpcpp.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/entropy.h"
#include "operator/runtime/mutex.h"
#include "operator/wire/convert.h"
#include "operator/wire/membership.grpc.pb.h"
#include "worker/rpc/backoff.h"
#include "worker/rpc/channel.h"
#include "worker/rpc/inbox.h"

namespace muster::rpc {
namespace {

namespace v1 = membership::v1;
using runtime::Condition;
using runtime::Mutex;
using runtime::MutexLock;
using std::chrono::milliseconds;

}  // namespace

// What the threads share:
//   dial      opens streams, waits for the end of the one that won, reaps those that are done
//   dispatch  runs the application's callbacks from `inbox`
//   beat      asks for a beat and sends it
//   gRPC's    run the attempts' reactions, briefly
// One lock guards all of it; no callback of the application runs under it.
struct CoordinatorClient::Impl {
  class Attempt;

  explicit Impl(Options o);
  ~Impl();

  bool Send(const api::FromMember& message);
  void Stop();

  void DialLoop();
  void DispatchLoop();
  void BeatLoop();
  // Dials all addresses. True when there was a stream: it has ended, or the client stops.
  bool DialOnce();
  void CloseCurrent() MUSTER_REQUIRES(mutex);
  void CutAll() MUSTER_REQUIRES(mutex);
  void Reap();
  bool WaitUnlessStopping(base::Time until);

  const Options options;
  const runtime::RealClock clock;
  Mutex mutex;
  Condition dial_changed;      // an attempt came up or is done; stopping
  Condition inbox_changed;     // inbox has grown; stopping
  Condition stopping_changed;  // stopping
  std::vector<std::unique_ptr<Attempt>> attempts MUSTER_GUARDED_BY(mutex);
  Attempt* current MUSTER_GUARDED_BY(mutex) = nullptr;  // the stream that is up
  bool dialing MUSTER_GUARDED_BY(mutex) = false;  // the first attempt to come up becomes current
  Inbox inbox MUSTER_GUARDED_BY(mutex);
  bool stopping MUSTER_GUARDED_BY(mutex) = false;
  Counts counts MUSTER_GUARDED_BY(mutex);
  Mutex stop_mutex;       // two threads may stop the client; one joins, the other waits
  base::SplitMix chance;  // the dial thread's
  std::jthread dial;
  std::jthread dispatch;
  std::jthread beat;
};

// One attempt to open a stream to one address, and the stream that comes of it.
//
//   dialling --initial metadata--> up --CloseAfterQueue--> closing --+--> released --OnDone--> done
//       +------------ failed, lost the race, Cut() ------------------+
//
// A hold keeps gRPC from OnDone while other threads may start writes and reads; it is let go once,
// by Release(), and nothing is started after it. All fields are guarded by the client's lock.
class CoordinatorClient::Impl::Attempt final
    : public grpc::ClientBidiReactor<v1::MemberFrame, v1::CoordinatorFrame> {
 public:
  Attempt(const std::string& address, Impl* client)
      : client_(client), stub_(v1::Membership::NewStub(MakeChannel(address))) {}

  void Begin() {
    stub_->async()->Join(&context_, this);
    AddHold();
    StartCall();
  }

  // The rest is called with the client's lock held.
  bool Enqueue(v1::MemberFrame frame) {
    if (released_ || closing_) return false;
    if (outgoing_.size() - (writing_ ? 1 : 0) >= client_->options.send_queue) {
      Cut();
      return false;
    }
    outgoing_.push_back(std::move(frame));
    WriteNext();
    return true;
  }

  // Says that no more comes once the queue is empty; the coordinator then ends the stream.
  void CloseAfterQueue() {
    closing_ = true;
    WriteNext();
  }

  void Cut() {
    if (released_) return;
    context_.TryCancel();
    Release();
  }

  // Goes on reading when the inbox has room again.
  void ReadNext() MUSTER_UNCHECKED_LOCKING {
    if (reading_ || released_ || client_->inbox.full()) return;
    reading_ = true;
    StartRead(&incoming_);
  }

  bool done() const { return done_; }
  bool greeted() const { return greeted_; }
  void set_greeted() { greeted_ = true; }

 private:
  void OnReadInitialMetadataDone(bool ok) override {
    MutexLock lock(client_->mutex);
    if (!ok) return Release();
    if (!client_->dialing || client_->current != nullptr) return Cut();
    client_->current = this;
    ++client_->counts.connected;
    client_->inbox.BeginStream();
    client_->inbox_changed.NotifyOne();
    client_->dial_changed.NotifyAll();
    ReadNext();
  }

  void OnReadDone(bool ok) override {
    absl::StatusOr<api::FromCoordinator> message = base::Unavailable("the stream has ended");
    if (ok) message = wire::FromProto(incoming_);
    MutexLock lock(client_->mutex);
    reading_ = false;
    if (!ok) return Release();
    if (!message.ok()) {
      ++client_->counts.malformed;
      return Cut();
    }
    client_->inbox.Add(*std::move(message));
    client_->inbox_changed.NotifyOne();
    ReadNext();
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(client_->mutex);
    writing_ = false;
    outgoing_.pop_front();
    if (!ok) return Release();
    WriteNext();
  }

  void OnDone(const grpc::Status&) override {
    MutexLock lock(client_->mutex);
    done_ = true;
    if (client_->current == this) {
      client_->current = nullptr;
      client_->inbox.EndStream();
      client_->inbox_changed.NotifyOne();
    }
    client_->dial_changed.NotifyAll();  // under the lock: the dial thread may now delete this
  }

  // gRPC allows one write at a time, also when an answer has overtaken the OnWriteDone of its
  // question.
  void WriteNext() {
    if (writing_ || released_) return;
    if (!outgoing_.empty()) {
      writing_ = true;
      StartWrite(&outgoing_.front());
    } else if (closing_ && !writes_done_) {
      writes_done_ = true;
      StartWritesDone();
    }
  }

  void Release() {
    if (released_) return;
    released_ = true;
    RemoveHold();
  }

  Impl* const client_;
  const std::unique_ptr<v1::Membership::Stub> stub_;
  grpc::ClientContext context_;
  v1::CoordinatorFrame incoming_;  // gRPC's between StartRead and OnReadDone
  std::deque<v1::MemberFrame> outgoing_;
  bool writing_ = false;
  bool reading_ = false;
  bool greeted_ = false;
  bool closing_ = false;
  bool writes_done_ = false;
  bool released_ = false;
  bool done_ = false;
};

CoordinatorClient::Impl::Impl(Options o)
    : options(std::move(o)),
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
  while (WaitUnlessStopping(next)) {
    const base::Time begun = clock.Now();
    const bool was_up = DialOnce();
    Reap();
    // A coordinator that accepts and hangs up at once must not be dialled without pause.
    if (was_up && clock.Now() - begun > std::chrono::seconds(1)) {
      failures = 0;
      good = clock.Now();
    }
    next = clock.Now() + RetryDelay(failures++, clock.Now() - good, &chance);
  }
  {
    MutexLock lock(mutex);
    CloseCurrent();
    CutAll();
    while (!std::ranges::all_of(attempts, &Attempt::done)) dial_changed.Wait(mutex);
  }
  Reap();
}

bool CoordinatorClient::Impl::DialOnce() {
  std::vector<std::unique_ptr<Attempt>> fresh;
  for (const std::string& address : options.addresses) {
    fresh.push_back(std::make_unique<Attempt>(address, this));
  }
  std::vector<Attempt*> mine;
  for (const auto& attempt : fresh) mine.push_back(attempt.get());
  {
    MutexLock lock(mutex);
    dialing = true;
    for (auto& attempt : fresh) attempts.push_back(std::move(attempt));
  }
  for (Attempt* attempt : mine) attempt->Begin();

  const base::Time deadline = clock.Now() + options.attempt_timeout;
  MutexLock lock(mutex);
  while (!stopping && current == nullptr && !std::ranges::all_of(mine, &Attempt::done)) {
    if (!dial_changed.WaitUntil(mutex, deadline)) break;
  }
  dialing = false;
  Attempt* const won = current;
  for (Attempt* attempt : mine) {
    if (attempt != won && !attempt->done()) attempt->Cut();
  }
  if (won == nullptr) return false;
  while (!stopping && current == won) dial_changed.Wait(mutex);
  return true;
}

void CoordinatorClient::Impl::CloseCurrent() {
  if (current == nullptr) return;
  current->CloseAfterQueue();
  const base::Time deadline = clock.Now() + milliseconds(100);
  while (current != nullptr) {
    if (!dial_changed.WaitUntil(mutex, deadline)) break;
  }
}

void CoordinatorClient::Impl::CutAll() {
  for (const auto& attempt : attempts) {
    if (!attempt->done()) attempt->Cut();
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
