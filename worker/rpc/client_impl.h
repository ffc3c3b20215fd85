// Inside worker/rpc: what the client's threads share, and one attempt to open a stream.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "operator/base/rng.h"
#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"
#include "operator/wire/membership.grpc.pb.h"
#include "worker/rpc/channel.h"
#include "worker/rpc/client.h"
#include "worker/rpc/inbox.h"
#include "worker/rpc/resolver.h"

namespace muster::rpc {

namespace v1 = membership::v1;

// What the threads share:
//   dial      opens streams, waits for the end of the one that won, reaps those that are done
//   dispatch  runs the application's callbacks from `inbox`
//   beat      asks for a beat and sends it
//   gRPC's    run the attempts' reactions, briefly; take certificates and ask for them
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
  // Dials all addresses that are not being dialled. True when there was a stream: it has ended, or
  // the client stops. Without one the attempts that nobody has answered yet go on.
  bool DialOnce(int failures);
  void BeginAttempts(const std::vector<Endpoint>& endpoints, const std::optional<Handshake>& tls);
  // Waits for the first attempt to come up, while those begun at `begun` or later go on, and for
  // one round at most. Null: none did.
  Attempt* AwaitFirst(base::Time begun) MUSTER_REQUIRES(mutex);
  // Until then, or until an attempt comes up. False: the client stops.
  bool WaitToDial(base::Time until);
  // What this attempt believes and shows; nothing: plain text. Not OK: there is no way to connect.
  absl::StatusOr<std::optional<Handshake>> PrepareHandshake(int failures);
  void CloseCurrent() MUSTER_REQUIRES(mutex);
  // All but `kept` (which may be null) of those begun before `before`.
  void CutOthers(const Attempt* kept, base::Time before) MUSTER_REQUIRES(mutex);
  void Reap();
  bool WaitUnlessStopping(base::Time until);
  bool Stopping();

  // Of a message that has come, without any lock: the certificates are the client's own business.
  void TakeCertificate(const api::Certificate& certificate);
  void AskForCertificate();
  // Tells the application, unless it was what it was told last.
  void TellTrouble(const std::string& sentence);

  const Options options;
  const runtime::RealClock clock;
  Resolver resolver;  // the dial thread's
  runtime::Mutex mutex;
  runtime::Condition dial_changed;      // an attempt came up or is done; stopping
  runtime::Condition inbox_changed;     // inbox has grown; stopping
  runtime::Condition stopping_changed;  // stopping
  std::vector<std::unique_ptr<Attempt>> attempts MUSTER_GUARDED_BY(mutex);
  Attempt* current MUSTER_GUARDED_BY(mutex) = nullptr;  // the stream that is up
  Inbox inbox MUSTER_GUARDED_BY(mutex);
  bool stopping MUSTER_GUARDED_BY(mutex) = false;
  Counts counts MUSTER_GUARDED_BY(mutex);
  std::string trouble MUSTER_GUARDED_BY(mutex);       // why the last attempt failed or ended
  std::string told_trouble MUSTER_GUARDED_BY(mutex);  // what the application knows
  runtime::Mutex stop_mutex;  // two threads may stop the client; one joins, the other waits
  base::SplitMix chance;      // the dial thread's
  std::jthread dial;
  std::jthread dispatch;
  std::jthread beat;
};

// One attempt to open a stream to one address, and the stream that comes of it.
//
//   dialling --initial metadata--> up --CloseAfterQueue--> closing --+
//       |                           +---- a read fails --------------+--> released --OnDone--> done
//       +------------ failed, lost the race, Cut() ------------------+
//
// A hold keeps gRPC from OnDone while other threads may start writes and reads; it is let go once,
// by Release(), and nothing is started after it. All fields are guarded by the client's lock.
class CoordinatorClient::Impl::Attempt final
    : public grpc::ClientBidiReactor<v1::MemberFrame, v1::CoordinatorFrame> {
 public:
  Attempt(const Endpoint& endpoint, const std::optional<Handshake>& tls, Impl* client);

  void Begin();
  const Endpoint& endpoint() const { return endpoint_; }
  base::Time begun() const { return begun_; }

  // The rest is called with the client's lock held.
  bool Enqueue(v1::MemberFrame frame);
  // Says that no more comes once the queue is empty; the coordinator then ends the stream.
  void CloseAfterQueue();
  void Cut();
  // Goes on reading when the inbox has room again.
  void ReadNext() MUSTER_UNCHECKED_LOCKING;

  bool done() const { return done_; }
  bool released() const { return released_; }
  bool greeted() const { return greeted_; }
  void set_greeted() { greeted_ = true; }

 private:
  void OnReadInitialMetadataDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  void WriteNext();
  void Release();

  Impl* const client_;
  const Endpoint endpoint_;
  const base::Time begun_;
  const bool shown_;  // our certificate
  const std::unique_ptr<v1::Membership::Stub> stub_;
  grpc::ClientContext context_;
  v1::CoordinatorFrame incoming_;  // gRPC's between StartRead and OnReadDone
  std::deque<v1::MemberFrame> outgoing_;
  bool writing_ = false;
  bool reading_ = false;
  bool greeted_ = false;
  bool closing_ = false;
  bool writes_done_ = false;
  bool mute_ = false;  // a write has failed: nothing more is taken, what is left is read
  bool cut_ = false;   // by us: its status says nothing
  bool released_ = false;
  bool done_ = false;
};

}  // namespace muster::rpc
