// May this stream speak for this member? The decisions of the gate (gate.h) for one stream, as
// values: no socket, no clock, no lock.
//
//                    certificate agrees with the Hello, or nothing is checked on loopback
//   +-----+---------------------------------------------------------------------+----------+
//   | new |                                                                     | admitted |
//   +-----+--Hello with a token--> reviewing --------review says yes----------> +----------+
//      |                              | messages are kept, bounded                  | Hello of
//      |  anything else, too late     | review says no, too late, too many          | another
//      +------------------------------+--> ended <----------------------------------+
//
// Invariants: nothing is delivered before the stream is admitted; everything that came before is
// delivered then, in order; who is admitted never changes; after `ended` nothing is done any more.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/api/member_uri.h"
#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/base/time.h"

namespace muster::rpc {

struct AdmissionRules {
  bool check =
      true;  // false on loopback: a Hello is believed, and the token is the machine's to see
  // Takes the place of a checked Hello's own token: what was checked here is not checked again.
  std::string admitted_token;
  base::Duration hello_within = std::chrono::seconds(10);
  base::Duration review_within = std::chrono::seconds(30);
  // Kept while a review goes on. A member says little before its Welcome; it reconnects when cut.
  std::size_t most_messages = 256;
  std::size_t most_bytes = 1 << 20;
};

// What the gate shall do, in this order.
struct AskReview {  // answered by OnReviewed
  std::string token;
  api::JobMember who;
};
struct Deliver {
  std::string job_uid;
  api::FromMember message;
};
struct SignRequest {
  api::JobMember who;
  std::string request_pem;
};
// The stream ends. A final one is told to the member as Refused, which makes its process exit; after
// the other kind it comes again.
struct Dismiss {
  bool final = false;
  std::string why;
};
using AdmissionAction = std::variant<AskReview, Deliver, SignRequest, Dismiss>;
using AdmissionActions = std::vector<AdmissionAction>;

class Admission {
 public:
  // `certified`: whom the peer's verified certificate speaks for, if it has one.
  Admission(std::optional<api::JobMember> certified, base::Time opened, AdmissionRules rules);

  // `bytes`: what the message takes; it counts only while `reviewing`.
  AdmissionActions OnMessage(api::FromMember message, std::size_t bytes, base::Time now);
  // Of the token and member in AskReview. The code decides: InvalidArgument, NotFound,
  // PermissionDenied, Unauthenticated and FailedPrecondition are a no for good; any other failure
  // says that nobody could tell, and the member comes again. A no-op unless `reviewing`.
  AdmissionActions OnReviewed(const absl::Status& verdict);
  AdmissionActions OnTick(base::Time now);

  bool reviewing() const { return std::holds_alternative<Reviewing>(state_); }
  // Also after the stream was ended: it was delivered under this name.
  const std::optional<api::JobMember>& admitted() const { return admitted_; }

 private:
  struct New {};
  struct Reviewing {
    base::Time since;
    std::deque<api::FromMember> kept;  // the Hello first
    std::size_t bytes = 0;
  };
  struct Admitted {};
  struct Ended {};

  AdmissionActions OnFirst(api::FromMember message, base::Time now);
  AdmissionActions Keep(Reviewing& reviewing, api::FromMember message, std::size_t bytes);
  void Pass(api::FromMember message, AdmissionActions* actions);
  AdmissionActions End(bool final, std::string why);

  const std::optional<api::JobMember> certified_;
  const base::Time opened_;
  const AdmissionRules rules_;
  std::variant<New, Reviewing, Admitted, Ended> state_;
  api::JobMember claimed_;  // by the first Hello
  std::optional<api::JobMember> admitted_;
};

}  // namespace muster::rpc
