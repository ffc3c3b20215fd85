// The door between the streams and whoever runs the jobs: who says that it is member 3.2 of a job
// proves it, by a certificate of ours or by a token that somebody reviews, before a word of it is
// passed on. It also signs certificates and hands out whom to believe (docs/security.md).
//
//   members ==TLS==> MembershipServer --> Admission (one a stream) --Deliver--> jobs
//                                            |  ^
//                                     review |  | Reviewed
//                                            v  |
//                                      a TokenReview, elsewhere
//
// Thread rule: everything is safe from every thread, with one exception: Reviewed delivers what was
// kept, so it is not called on the thread that empties the queue which `deliver` fills. `deliver`
// and `closed` run on gRPC's threads or on that of who called Reviewed, one at a time for one
// stream and several at once for different ones; they may wait for a queue, and may call Send and
// CloseStream, not Reviewed. `review` runs on gRPC's threads, must return quickly, and may call
// Reviewed at once. Invariants: deliver comes in the order of sending; closed exactly once for a
// stream of which anything was delivered, after the last of it, and never for another.
//
// Bounded: messages kept during a review (AdmissionRules; when full the stream is cut and the
// member comes again) and streams that are not admitted yet (`most_strangers`; when full a new one
// is turned away).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "operator/api/messages.h"
#include "operator/rpc/admission.h"
#include "operator/rpc/server.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/clock.h"

namespace muster::rpc {

// What the gate shows, signs with and believes. All of it may be renewed while streams live.
struct GateKeys {
  runtime::Identity server;     // the coordinator's leaf, with the names that members dial
  runtime::Identity authority;  // signs members
  std::string ca_bundle_pem;    // believed by the gate and, through it, by members; has `authority`
  friend bool operator==(const GateKeys&, const GateKeys&) = default;
};

class Gate final {
 public:
  struct Options {
    std::string address = "127.0.0.1:0";  // HOST:PORT; port 0: any free one
    std::size_t send_queue = 1024;        // as MembershipServer's
    // A token and who it is said to belong to; answered by Reviewed, soon and once.
    std::function<void(StreamId, std::string token, std::string job_uid, base::MemberId)> review =
        nullptr;
    std::function<void(StreamId, const std::string& job_uid, api::FromMember)> deliver = nullptr;
    std::function<void(StreamId, const std::string& job_uid)> closed = nullptr;
    std::optional<GateKeys> keys = std::nullopt;
    base::Duration leaf_life = runtime::kLeafLife;
    AdmissionRules rules = {};  // `check` is the gate's own to set
    std::size_t most_strangers = 4096;
    // Sentences for the log: who was turned away and why. May be null.
    std::function<void(const std::string&)> on_refused = nullptr;
    // Plain text, and every Hello is believed until the machine compares its token. Only with an
    // address on the loopback interface, and only without keys and review: nothing is unprotected
    // because something was forgotten.
    bool insecure_for_loopback = false;
  };
  struct Counts {
    std::uint64_t admitted_by_certificate = 0;
    std::uint64_t admitted_by_token = 0;
    std::uint64_t admitted_unchecked = 0;  // on loopback
    std::uint64_t refused = 0;             // for good
    std::uint64_t cut = 0;                 // to come again
    std::uint64_t turned_away = 0;
    std::uint64_t signed_certificates = 0;
  };

  // Listens at once. InvalidArgument: neither keys and review nor insecure_for_loopback, or a mixture;
  // a certificate that cannot be used. Unavailable: the address.
  static absl::StatusOr<std::unique_ptr<Gate>> Create(Options options);
  ~Gate();  // Shutdown with half a second, if it was not called
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  int port() const;

  // The answer to `review`; its code decides whether the member may come again (Admission). Late
  // and repeated answers do nothing.
  void Reviewed(StreamId stream, const absl::Status& verdict);

  // As MembershipServer's.
  bool Send(StreamId stream, const api::FromCoordinator& message);
  void CloseStream(StreamId stream);
  void Shutdown(base::Duration deadline);

  // From now on these are shown, signed with and believed. Streams stay open; when the bundle is
  // another one it is sent to all admitted members. InvalidArgument, and nothing changes: one of
  // them cannot be used, or the gate has none.
  absl::Status RenewKeys(GateKeys keys);

  Counts counts() const;

 private:
  struct Impl;
  explicit Gate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster::rpc
