// One attempt, and the stream that comes of it: gRPC's reactions (client_impl.h).
#include <utility>

#include "operator/wire/convert.h"
#include "worker/rpc/client_impl.h"
#include "worker/rpc/credentials.h"

namespace muster::rpc {

using runtime::MutexLock;

CoordinatorClient::Impl::Attempt::Attempt(const Endpoint& endpoint,
                                          const std::optional<Handshake>& tls, Impl* client)
    : client_(client),
      endpoint_(endpoint),
      begun_(client->clock.Now()),
      shown_(tls && tls->shown != nullptr),
      stub_(v1::Membership::NewStub(MakeChannel(endpoint, tls))) {}

void CoordinatorClient::Impl::Attempt::Begin() {
  stub_->async()->Join(&context_, this);
  AddHold();
  StartCall();
}

bool CoordinatorClient::Impl::Attempt::Enqueue(v1::MemberFrame frame) {
  if (released_ || closing_ || mute_) return false;
  if (outgoing_.size() - (writing_ ? 1 : 0) >= client_->options.send_queue) {
    Cut();
    return false;
  }
  outgoing_.push_back(std::move(frame));
  WriteNext();
  return true;
}

void CoordinatorClient::Impl::Attempt::CloseAfterQueue() {
  closing_ = true;
  WriteNext();
}

void CoordinatorClient::Impl::Attempt::Cut() {
  if (released_) return;
  cut_ = true;
  context_.TryCancel();
  Release();
}

void CoordinatorClient::Impl::Attempt::ReadNext() {
  if (reading_ || released_ || client_->inbox.full()) return;
  reading_ = true;
  StartRead(&incoming_);
}

void CoordinatorClient::Impl::Attempt::OnReadInitialMetadataDone(bool ok) {
  MutexLock lock(client_->mutex);
  if (!ok) return Release();
  if (released_) return;  // cut while it came up
  if (client_->stopping || client_->current != nullptr) return Cut();
  client_->current = this;
  ++client_->counts.connected;
  if (client_->options.credentials != nullptr) client_->options.credentials->OnStream(shown_);
  client_->inbox.BeginStream();
  client_->inbox_changed.NotifyOne();
  client_->dial_changed.NotifyAll();
  ReadNext();
}

void CoordinatorClient::Impl::Attempt::OnReadDone(bool ok) {
  absl::StatusOr<api::FromCoordinator> message = base::Unavailable("the stream has ended");
  if (ok) message = wire::FromProto(incoming_);
  const auto* certificate =
      message.ok() ? std::get_if<api::Certificate>(&message->message) : nullptr;
  if (certificate != nullptr) client_->TakeCertificate(*certificate);
  {
    MutexLock lock(client_->mutex);
    reading_ = false;
    if (!ok) return Release();
    if (!message.ok()) {
      ++client_->counts.malformed;
      return Cut();
    }
    if (certificate == nullptr) {
      client_->inbox.Add(*std::move(message));
      client_->inbox_changed.NotifyOne();
    }
    ReadNext();
  }
  // The coordinator has spoken, so it let us in: the moment to ask. gRPC keeps this attempt until
  // the reaction has returned.
  client_->AskForCertificate();
}

void CoordinatorClient::Impl::Attempt::OnWriteDone(bool ok) {
  MutexLock lock(client_->mutex);
  writing_ = false;
  outgoing_.pop_front();
  // The stream is over, and gRPC says so when the last message has been read: letting go here would
  // lose what came before the end, and the end with it.
  if (!ok) mute_ = true;
  WriteNext();
}

void CoordinatorClient::Impl::Attempt::OnDone(const grpc::Status& status) {
  MutexLock lock(client_->mutex);
  done_ = true;
  if (!status.ok() && !cut_) client_->trouble = endpoint_.target + ": " + status.error_message();
  if (client_->current == this) {
    client_->current = nullptr;
    client_->inbox.EndStream();
    client_->inbox_changed.NotifyOne();
  }
  client_->dial_changed.NotifyAll();  // under the lock: the dial thread may now delete this
}

// gRPC allows one write at a time, also when an answer has overtaken the OnWriteDone of its
// question.
void CoordinatorClient::Impl::Attempt::WriteNext() {
  if (writing_ || released_ || mute_) return;
  if (!outgoing_.empty()) {
    writing_ = true;
    StartWrite(&outgoing_.front());
  } else if (closing_ && !writes_done_) {
    writes_done_ = true;
    StartWritesDone();
  }
}

void CoordinatorClient::Impl::Attempt::Release() {
  if (released_) return;
  released_ = true;
  RemoveHold();
}

}  // namespace muster::rpc
