#include "operator/rpc/server.h"

#include <chrono>
#include <deque>
#include <map>
#include <utility>

#include "grpcpp/grpcpp.h"
#include "operator/rpc/server_tls.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/mutex.h"
#include "operator/wire/convert.h"
#include "operator/wire/membership.grpc.pb.h"

namespace muster::rpc {
namespace {

namespace v1 = membership::v1;
using runtime::Condition;
using runtime::Mutex;
using runtime::MutexLock;

// What a stream tells the server that holds it.
class StreamOwner {
 public:
  virtual void OnMessage(StreamId id, api::FromMember message) = 0;
  virtual void OnMalformed() = 0;
  virtual void OnDone(StreamId id) = 0;  // the last call of all; the stream is gone when it returns

 protected:
  ~StreamOwner() = default;
};

//            Close()              queue empty
//   open ------------> closing ----------------> finished ---OnDone--> done
//     |  peer half-closed                            ^
//     +------- Cut(), cancelled, write failed -------+   (after the write in flight has come back)
//
// gRPC allows one write at a time and Finish once, with no write in flight: `writing_` and
// `finished_` see to both. All calls into gRPC are made under the lock, so that none comes after
// OnDone.
class Stream final : public grpc::ServerBidiReactor<v1::MemberFrame, v1::CoordinatorFrame> {
 public:
  Stream(StreamId id, std::size_t capacity, grpc::CallbackServerContext* context,
         StreamOwner* owner)
      : id_(id), capacity_(capacity), context_(context), owner_(owner) {}

  void Begin() {
    MutexLock lock(mutex_);
    if (finished_) return;       // by who was told of it
    StartSendInitialMetadata();  // tells the member that the stream is open
    StartRead(&incoming_);
  }

  enum class Sent { kQueued, kGone, kFull };
  Sent Send(v1::CoordinatorFrame frame) {
    MutexLock lock(mutex_);
    if (closing_) return Sent::kGone;
    // The frame at the front is in flight when `writing_`; it does not count.
    if (outgoing_.size() - (writing_ ? 1 : 0) >= capacity_) {
      CutLocked(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "reads too slowly"));
      return Sent::kFull;
    }
    outgoing_.push_back(std::move(frame));
    WriteNext();
    return Sent::kQueued;
  }

  void Close(const grpc::Status& status = grpc::Status::OK) {
    MutexLock lock(mutex_);
    if (!closing_) status_ = status;
    closing_ = true;
    WriteNext();
  }

  void Cut(const grpc::Status& status) {
    MutexLock lock(mutex_);
    CutLocked(status);
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Close();  // the member has said all it will; what is queued may still go
    absl::StatusOr<api::FromMember> message = wire::FromProto(incoming_);
    if (!message.ok()) {
      owner_->OnMalformed();
      return Cut(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, base::Message(message.status())));
    }
    owner_->OnMessage(id_, *std::move(message));
    MutexLock lock(mutex_);
    if (!finished_) StartRead(&incoming_);
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    outgoing_.pop_front();
    if (!ok) return CutLocked(grpc::Status::CANCELLED);
    WriteNext();
  }

  // The connection broke, the member cancelled, or we did.
  void OnCancel() override { Cut(grpc::Status::CANCELLED); }

  void OnDone() override { owner_->OnDone(id_); }

  void WriteNext() MUSTER_REQUIRES(mutex_) {
    if (writing_ || finished_) return;
    if (!outgoing_.empty()) {
      writing_ = true;
      StartWrite(&outgoing_.front());
    } else if (closing_) {
      finished_ = true;
      Finish(status_);
    }
  }

  void CutLocked(const grpc::Status& status) MUSTER_REQUIRES(mutex_) {
    if (finished_) return;
    if (status_.ok()) status_ = status;
    closing_ = true;
    while (outgoing_.size() > (writing_ ? 1u : 0u)) outgoing_.pop_back();
    // A write to a member that does not read never comes back by itself.
    if (writing_) context_->TryCancel();
    WriteNext();
  }

  const StreamId id_;
  const std::size_t capacity_;
  grpc::CallbackServerContext* const context_;
  StreamOwner* const owner_;
  v1::MemberFrame incoming_;  // gRPC's between StartRead and OnReadDone
  Mutex mutex_;
  std::deque<v1::CoordinatorFrame> outgoing_ MUSTER_GUARDED_BY(mutex_);
  grpc::Status status_ MUSTER_GUARDED_BY(mutex_);
  bool writing_ MUSTER_GUARDED_BY(mutex_) = false;
  bool closing_ MUSTER_GUARDED_BY(mutex_) = false;
  bool finished_ MUSTER_GUARDED_BY(mutex_) = false;
};

// Says no to a stream that is none: the server stops, or its certificate names nobody.
class Refusal final : public grpc::ServerBidiReactor<v1::MemberFrame, v1::CoordinatorFrame> {
 public:
  explicit Refusal(const grpc::Status& why) { Finish(why); }
  void OnDone() override { delete this; }
};

// Whom the peer's certificate speaks for. gRPC has verified it by then, or there is none.
absl::StatusOr<std::optional<api::JobMember>> PeerOf(const grpc::CallbackServerContext& context) {
  const auto shown = context.auth_context()->FindPropertyValues(GRPC_X509_PEM_CERT_PROPERTY_NAME);
  if (shown.empty()) return std::optional<api::JobMember>();
  const std::string pem(shown.front().data(), shown.front().size());
  MUSTER_ASSIGN_OR_RETURN(api::JobMember member, runtime::ReadMember(pem));
  return std::optional(std::move(member));
}

void SetArguments(grpc::ServerBuilder* builder) {
  // A machine that vanished without a reset is noticed by pings: 2 s + 1 s. Hangs are noticed by
  // beats.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 1000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // Members ping as well; without these they would be cut off for "too many pings".
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 500);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 1);
  builder->SetMaxReceiveMessageSize(wire::kMaxFrameBytes);
}

}  // namespace

struct MembershipServer::Impl final : public v1::Membership::CallbackService, public StreamOwner {
  explicit Impl(Options o) : options(std::move(o)) {}

  grpc::ServerBidiReactor<v1::MemberFrame, v1::CoordinatorFrame>* Join(
      grpc::CallbackServerContext* context) override {
    auto peer = PeerOf(*context);
    std::shared_ptr<Stream> stream;
    StreamId id = 0;
    {
      MutexLock lock(mutex);
      if (!peer.ok()) {
        ++counts.nameless;
        return new Refusal({grpc::StatusCode::PERMISSION_DENIED, base::Message(peer.status())});
      }
      if (stopping) return new Refusal({grpc::StatusCode::UNAVAILABLE, "the coordinator stops"});
      id = ++counts.opened;
      stream = std::make_shared<Stream>(id, options.send_queue, context, this);
      streams.emplace(id, stream);
    }
    if (options.on_open) options.on_open(id, *std::move(peer));
    stream->Begin();
    return stream.get();  // `streams` keeps it until OnDone
  }

  void OnMessage(StreamId id, api::FromMember message) override {
    options.on_message(id, std::move(message));
  }

  void OnMalformed() override {
    MutexLock lock(mutex);
    ++counts.cut_malformed;
  }

  void OnDone(StreamId id) override {
    options.on_closed(id);
    std::shared_ptr<Stream> last;  // dies after the lock is let go
    MutexLock lock(mutex);
    ++counts.closed;
    auto node = streams.extract(id);
    last = std::move(node.mapped());
    changed.NotifyAll();
  }

  std::shared_ptr<Stream> Find(StreamId id) {
    MutexLock lock(mutex);
    auto it = streams.find(id);
    return it == streams.end() ? nullptr : it->second;
  }

  std::vector<std::shared_ptr<Stream>> BeginStop() {
    MutexLock lock(mutex);
    stopping = true;
    std::vector<std::shared_ptr<Stream>> all;
    for (const auto& [id, stream] : streams) all.push_back(stream);
    return all;
  }

  const Options options;
  std::unique_ptr<HandshakeKeys> keys;  // null without TLS; outlives the server, which asks it
  std::unique_ptr<grpc::Server> server;
  int port = 0;
  Mutex mutex;
  Condition changed;
  std::map<StreamId, std::shared_ptr<Stream>> streams MUSTER_GUARDED_BY(mutex);
  Counts counts MUSTER_GUARDED_BY(mutex);
  bool stopping MUSTER_GUARDED_BY(mutex) = false;
};

absl::StatusOr<std::unique_ptr<MembershipServer>> MembershipServer::Create(Options options) {
  if (!options.on_message || !options.on_closed || options.send_queue == 0) {
    return base::InvalidArgument("a membership server needs both callbacks and a send queue");
  }
  auto impl = std::make_unique<Impl>(std::move(options));
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials();
  if (impl->options.tls) {
    MUSTER_ASSIGN_OR_RETURN(impl->keys, HandshakeKeys::Create(*impl->options.tls));
    credentials = impl->keys->MakeCredentials();
  }
  grpc::ServerBuilder builder;
  SetArguments(&builder);
  builder.AddListeningPort(impl->options.address, credentials, &impl->port);
  builder.RegisterService(impl.get());
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || impl->port == 0) {
    return base::Unavailable(
        "cannot listen on " + impl->options.address +
        " for members: the address is no HOST:PORT of this machine, or another "
        "program listens there");
  }
  return std::unique_ptr<MembershipServer>(new MembershipServer(std::move(impl)));
}

MembershipServer::MembershipServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MembershipServer::~MembershipServer() { Shutdown(std::chrono::milliseconds(500)); }

int MembershipServer::port() const { return impl_->port; }

bool MembershipServer::Send(StreamId stream, const api::FromCoordinator& message) {
  const std::shared_ptr<Stream> to = impl_->Find(stream);
  if (to == nullptr) return false;
  v1::CoordinatorFrame frame;
  wire::ToProto(message, &frame);
  switch (to->Send(std::move(frame))) {
    case Stream::Sent::kQueued:
      return true;
    case Stream::Sent::kGone:
      return false;
    case Stream::Sent::kFull:
      break;
  }
  MutexLock lock(impl_->mutex);
  ++impl_->counts.cut_slow;
  return false;
}

void MembershipServer::CloseStream(StreamId stream) {
  if (const std::shared_ptr<Stream> to = impl_->Find(stream)) to->Close();
}

void MembershipServer::EndStream(StreamId stream, const absl::Status& why) {
  if (const std::shared_ptr<Stream> to = impl_->Find(stream)) {
    to->Close({static_cast<grpc::StatusCode>(why.code()), base::Message(why)});
  }
}

absl::Status MembershipServer::RenewTls(ServerTls tls) {
  if (impl_->keys == nullptr) {
    return base::InvalidArgument("this server speaks plain text; it has no certificates to renew");
  }
  return impl_->keys->Set(std::move(tls));
}

void MembershipServer::Shutdown(base::Duration deadline) {
  for (const auto& stream : impl_->BeginStop()) stream->Close();
  // Stops listening at once, and at the deadline cancels what is left; each stream's OnCancel ends
  // it.
  impl_->server->Shutdown(std::chrono::system_clock::now() +
                          std::chrono::duration_cast<std::chrono::microseconds>(deadline));
  MutexLock lock(impl_->mutex);
  while (!impl_->streams.empty()) impl_->changed.Wait(impl_->mutex);
}

MembershipServer::Counts MembershipServer::counts() const {
  MutexLock lock(impl_->mutex);
  return impl_->counts;
}

}  // namespace muster::rpc
