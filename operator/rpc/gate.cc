#include "operator/rpc/gate.h"

#include <atomic>
#include <map>
#include <thread>
#include <utility>

#include "operator/runtime/mutex.h"
#include "operator/wire/convert.h"

namespace muster::rpc {
namespace {

using runtime::Condition;
using runtime::Mutex;
using runtime::MutexLock;

constexpr base::Duration kTick = std::chrono::milliseconds(500);

bool IsLoopback(const std::string& address) {
  return address.starts_with("127.") || address.starts_with("localhost:") ||
         address.starts_with("[::1]:");
}

absl::Status CheckKeys(const GateKeys& keys, base::WallTime now) {
  MUSTER_RETURN_IF_ERROR(
      base::Annotate(runtime::CheckPair(keys.authority), "the authority that signs"));
  // Otherwise members would hold certificates that nobody believes, or believe nobody.
  MUSTER_RETURN_IF_ERROR(
      base::Annotate(runtime::Verify(keys.authority.certificate_pem, keys.ca_bundle_pem,
                                     runtime::Purpose::kAny, now),
                     "the CA bundle does not have the authority that signs"));
  return base::Annotate(runtime::Verify(keys.server.certificate_pem, keys.ca_bundle_pem,
                                        runtime::Purpose::kServer, now),
                        "the coordinator's own certificate");
}

ServerTls TlsOf(const GateKeys& keys) {
  return {keys.server.certificate_pem, keys.server.key_pem, keys.ca_bundle_pem};
}

absl::Status CheckOptions(const Gate::Options& options) {
  if (!options.deliver || !options.closed) {
    return base::InvalidArgument("a gate needs `deliver` and `closed`");
  }
  if (!options.insecure_for_loopback) {
    if (!options.keys || !options.review) {
      return base::InvalidArgument(
          "a gate needs keys and a review; only insecure_for_loopback does without");
    }
    return absl::OkStatus();
  }
  if (options.keys || options.review) {
    return base::InvalidArgument("insecure_for_loopback goes with neither keys nor a review");
  }
  if (!IsLoopback(options.address)) {
    return base::InvalidArgument(
        "insecure_for_loopback listens on 127.x.x.x, localhost or [::1]; " + options.address +
        " is none of them");
  }
  return absl::OkStatus();
}

}  // namespace

struct Gate::Impl {
  // One stream. Its lock is held while its messages are delivered, which keeps them in order and may
  // take as long as a full queue does: nobody takes the gate's lock and then waits for this one, and
  // no call of the gate's user but Reviewed takes it.
  struct Entry {
    Entry(bool has_certificate, Admission a)
        : certified(has_certificate), admission(std::move(a)) {}
    const bool certified;
    Mutex mutex;
    Admission admission MUSTER_GUARDED_BY(mutex);
    std::atomic<bool> admitted = false;  // set before its Hello is delivered
  };

  explicit Impl(Options o) : options(std::move(o)) {}

  void OnOpen(StreamId id, std::optional<api::JobMember> certified);
  void OnMessage(StreamId id, api::FromMember message);
  void OnClosed(StreamId id);
  void OnReviewed(StreamId id, const absl::Status& verdict);
  void TickLoop(std::stop_token stop);

  // Does what was decided, but for the review, which is asked for without any lock.
  std::optional<AskReview> Obey(StreamId id, Entry& entry, AdmissionActions actions)
      MUSTER_REQUIRES(entry.mutex);
  void End(StreamId id, const Dismiss& dismiss);
  void Sign(StreamId id, const SignRequest& request);
  void CountAdmitted(const Entry& entry);

  std::shared_ptr<Entry> Find(StreamId id) {
    MutexLock lock(mutex);
    auto it = entries.find(id);
    return it == entries.end() ? nullptr : it->second;
  }
  std::map<StreamId, std::shared_ptr<Entry>> All() {
    MutexLock lock(mutex);
    return entries;
  }

  const Options options;
  const runtime::RealClock clock;
  mutable Mutex mutex;
  std::map<StreamId, std::shared_ptr<Entry>> entries MUSTER_GUARDED_BY(mutex);
  std::size_t strangers MUSTER_GUARDED_BY(mutex) = 0;  // entries that are not admitted
  std::optional<GateKeys> keys MUSTER_GUARDED_BY(mutex);
  Counts counts MUSTER_GUARDED_BY(mutex);
  Mutex starting;  // held until `server` is there
  Mutex renewing;  // one renewal at a time: the last one is what holds everywhere
  std::unique_ptr<MembershipServer> server;
  Mutex tick_mutex;
  Condition tick_changed;
  bool stopping MUSTER_GUARDED_BY(tick_mutex) = false;
  std::jthread tick;
};

void Gate::Impl::OnOpen(StreamId id, std::optional<api::JobMember> certified) {
  const bool has_certificate = certified.has_value();
  auto entry = std::make_shared<Entry>(has_certificate,
                                       Admission(std::move(certified), clock.Now(), options.rules));
  bool room = true;
  {
    MutexLock lock(mutex);
    room = strangers < options.most_strangers;
    if (room) {
      ++strangers;
      entries.emplace(id, std::move(entry));
    } else {
      ++counts.turned_away;
    }
  }
  if (!room) {
    server->EndStream(id, base::ResourceExhausted("too many streams wait to be admitted"));
  }
}

void Gate::Impl::OnMessage(StreamId id, api::FromMember message) {
  const std::shared_ptr<Entry> entry = Find(id);
  if (entry == nullptr) return;
  std::optional<AskReview> ask;
  {
    MutexLock lock(entry->mutex);
    const std::size_t bytes = entry->admission.reviewing() ? wire::FrameBytes(message) : 0;
    ask = Obey(id, *entry, entry->admission.OnMessage(std::move(message), bytes, clock.Now()));
  }
  if (ask) options.review(id, std::move(ask->token), std::move(ask->who.job_uid), ask->who.member);
}

void Gate::Impl::OnReviewed(StreamId id, const absl::Status& verdict) {
  const std::shared_ptr<Entry> entry = Find(id);
  if (entry == nullptr) return;
  MutexLock lock(entry->mutex);
  Obey(id, *entry, entry->admission.OnReviewed(verdict));
}

void Gate::Impl::OnClosed(StreamId id) {
  std::shared_ptr<Entry> entry;
  {
    MutexLock lock(mutex);
    auto node = entries.extract(id);
    if (node.empty()) return;
    entry = std::move(node.mapped());
  }
  // A review that is being obeyed right now is finished first; a later one finds no entry.
  MutexLock lock(entry->mutex);
  if (entry->admission.admitted()) {
    options.closed(id, entry->admission.admitted()->job_uid);
  } else {
    MutexLock gate(mutex);
    --strangers;
  }
}

std::optional<AskReview> Gate::Impl::Obey(StreamId id, Entry& entry, AdmissionActions actions) {
  std::optional<AskReview> ask;
  for (AdmissionAction& action : actions) {
    if (auto* review = std::get_if<AskReview>(&action)) {
      ask = std::move(*review);
    } else if (auto* message = std::get_if<Deliver>(&action)) {
      if (!entry.admitted.exchange(true)) CountAdmitted(entry);
      options.deliver(id, message->job_uid, std::move(message->message));
    } else if (const auto* request = std::get_if<SignRequest>(&action)) {
      Sign(id, *request);
    } else {
      End(id, std::get<Dismiss>(action));
    }
  }
  return ask;
}

void Gate::Impl::CountAdmitted(const Entry& entry) {
  MutexLock lock(mutex);
  --strangers;
  ++(entry.certified       ? counts.admitted_by_certificate
     : options.rules.check ? counts.admitted_by_token
                           : counts.admitted_unchecked);
}

void Gate::Impl::End(StreamId id, const Dismiss& dismiss) {
  {
    MutexLock lock(mutex);
    ++(dismiss.final ? counts.refused : counts.cut);
  }
  if (options.on_refused) options.on_refused(dismiss.why);
  if (dismiss.final) server->Send(id, {{}, api::Refused{dismiss.why}});
  server->EndStream(
      id, dismiss.final ? base::PermissionDenied(dismiss.why) : base::Unavailable(dismiss.why));
}

void Gate::Impl::Sign(StreamId id, const SignRequest& request) {
  std::optional<GateKeys> with;
  {
    MutexLock lock(mutex);
    with = keys;
  }
  if (!with) return End(id, {false, "certificates are signed where streams are encrypted"});
  const auto leaf = runtime::SignMember(with->authority, request.request_pem, request.who,
                                        runtime::ValidFor(clock.WallNow(), options.leaf_life));
  if (!leaf.ok()) {
    return End(id, {false, api::ToString(request.who) +
                               " asks for a certificate: " + base::Message(leaf.status())});
  }
  server->Send(id, {{}, api::Certificate{*leaf, with->ca_bundle_pem}});
  std::string bundle;
  {
    MutexLock lock(mutex);
    ++counts.signed_certificates;
    bundle = keys->ca_bundle_pem;
  }
  // A renewal may have sent the new bundle before the old one left here: the last word is the new.
  if (bundle != with->ca_bundle_pem) server->Send(id, {{}, api::Certificate{"", bundle}});
}

// Who says nothing, and whose review never comes back, makes room for others.
void Gate::Impl::TickLoop(std::stop_token stop) {
  while (!stop.stop_requested()) {
    {
      MutexLock lock(tick_mutex);
      if (!stopping) tick_changed.WaitUntil(tick_mutex, clock.Now() + kTick);
      if (stopping) return;
    }
    for (const auto& [id, entry] : All()) {
      if (entry->admitted.load()) continue;
      MutexLock lock(entry->mutex);
      Obey(id, *entry, entry->admission.OnTick(clock.Now()));
    }
  }
}

absl::StatusOr<std::unique_ptr<Gate>> Gate::Create(Options options) {
  MUSTER_RETURN_IF_ERROR(CheckOptions(options));
  options.rules.check = !options.insecure_for_loopback;
  auto impl = std::make_unique<Impl>(std::move(options));
  MembershipServer::Options serve;
  serve.address = impl->options.address;
  serve.send_queue = impl->options.send_queue;
  if (impl->options.keys) {
    MUSTER_RETURN_IF_ERROR(CheckKeys(*impl->options.keys, impl->clock.WallNow()));
    serve.tls = TlsOf(*impl->options.keys);
    MutexLock lock(impl->mutex);
    impl->keys = impl->options.keys;
  }
  Impl* const self = impl.get();
  // A member may come before Create has returned; it waits until the server is there.
  MutexLock starting(self->starting);
  serve.on_open = [self](StreamId id, std::optional<api::JobMember> certified) {
    {
      MutexLock started(self->starting);
    }
    self->OnOpen(id, std::move(certified));
  };
  serve.on_message = [self](StreamId id, api::FromMember message) {
    self->OnMessage(id, std::move(message));
  };
  serve.on_closed = [self](StreamId id) { self->OnClosed(id); };
  MUSTER_ASSIGN_OR_RETURN(self->server, MembershipServer::Create(std::move(serve)));
  self->tick = std::jthread([self](std::stop_token stop) { self->TickLoop(stop); });
  return std::unique_ptr<Gate>(new Gate(std::move(impl)));
}

Gate::Gate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Gate::~Gate() { Shutdown(std::chrono::milliseconds(500)); }

int Gate::port() const { return impl_->server->port(); }

void Gate::Reviewed(StreamId stream, const absl::Status& verdict) {
  impl_->OnReviewed(stream, verdict);
}

bool Gate::Send(StreamId stream, const api::FromCoordinator& message) {
  return impl_->server->Send(stream, message);
}

void Gate::CloseStream(StreamId stream) { impl_->server->CloseStream(stream); }

void Gate::Shutdown(base::Duration deadline) {
  {
    MutexLock lock(impl_->tick_mutex);
    impl_->stopping = true;
    impl_->tick_changed.NotifyAll();
  }
  impl_->server->Shutdown(deadline);
}

absl::Status Gate::RenewKeys(GateKeys keys) {
  MutexLock one(impl_->renewing);
  {
    MutexLock lock(impl_->mutex);
    if (!impl_->keys) return base::InvalidArgument("this gate speaks plain text; it has no keys");
  }
  MUSTER_RETURN_IF_ERROR(CheckKeys(keys, impl_->clock.WallNow()));
  MUSTER_RETURN_IF_ERROR(impl_->server->RenewTls(TlsOf(keys)));
  const std::string bundle = keys.ca_bundle_pem;
  bool another = false;
  {
    MutexLock lock(impl_->mutex);
    another = impl_->keys->ca_bundle_pem != bundle;
    impl_->keys = std::move(keys);
  }
  if (!another) return absl::OkStatus();
  for (const auto& [id, entry] : impl_->All()) {
    if (entry->admitted.load()) impl_->server->Send(id, {{}, api::Certificate{"", bundle}});
  }
  return absl::OkStatus();
}

Gate::Counts Gate::counts() const {
  MutexLock lock(impl_->mutex);
  return impl_->counts;
}

}  // namespace muster::rpc
