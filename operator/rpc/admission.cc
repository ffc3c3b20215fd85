#include "operator/rpc/admission.h"

#include <utility>

namespace muster::rpc {
namespace {

const api::Hello* AsHello(const api::FromMember& message) {
  return std::get_if<api::Hello>(&message.message);
}

api::JobMember ClaimOf(const api::Hello& hello) { return {hello.job_uid, hello.member}; }

// A no for good, rather than nobody could tell.
bool IsVerdict(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kFailedPrecondition:
      return true;
    default:
      return false;
  }
}

}  // namespace

Admission::Admission(std::optional<api::JobMember> certified, base::Time opened,
                     AdmissionRules rules)
    : certified_(std::move(certified)), opened_(opened), rules_(std::move(rules)) {}

AdmissionActions Admission::OnMessage(api::FromMember message, std::size_t bytes, base::Time now) {
  if (std::holds_alternative<Ended>(state_)) return {};
  if (std::holds_alternative<New>(state_)) return OnFirst(std::move(message), now);
  if (auto* reviewing = std::get_if<Reviewing>(&state_)) {
    return Keep(*reviewing, std::move(message), bytes);
  }
  AdmissionActions actions;
  Pass(std::move(message), &actions);
  return actions;
}

AdmissionActions Admission::OnFirst(api::FromMember message, base::Time now) {
  const api::Hello* hello = AsHello(message);
  if (hello == nullptr)
    return End(true, "the first message of a stream is a Hello; this one is not");
  claimed_ = ClaimOf(*hello);
  if (rules_.check && !certified_ && hello->token.empty()) {
    return End(true, api::ToString(claimed_) + " shows neither a certificate nor a token");
  }
  if (rules_.check && !certified_) {
    // It is in the certificate that this would be written.
    if (const auto uri = api::MemberUri(claimed_); !uri.ok()) {
      return End(true, base::Message(uri.status()));
    }
    AdmissionActions actions = {AskReview{hello->token, claimed_}};
    state_ = Reviewing{now, {}, 0};
    std::get<Reviewing>(state_).kept.push_back(std::move(message));
    return actions;
  }
  if (rules_.check && *certified_ != claimed_) {
    return End(true, "the Hello is of " + api::ToString(claimed_) + ", the certificate of " +
                         api::ToString(*certified_));
  }
  admitted_ = claimed_;
  state_ = Admitted{};
  AdmissionActions actions;
  Pass(std::move(message), &actions);
  return actions;
}

AdmissionActions Admission::Keep(Reviewing& reviewing, api::FromMember message, std::size_t bytes) {
  reviewing.bytes += bytes;
  if (reviewing.kept.size() >= rules_.most_messages || reviewing.bytes > rules_.most_bytes) {
    return End(false, api::ToString(claimed_) + " said more than " +
                          std::to_string(rules_.most_messages) + " messages or " +
                          std::to_string(rules_.most_bytes) +
                          " bytes while its token was being reviewed");
  }
  reviewing.kept.push_back(std::move(message));
  return {};
}

// Of an admitted stream.
void Admission::Pass(api::FromMember message, AdmissionActions* actions) {
  if (auto* request = std::get_if<api::CertificateRequest>(&message.message)) {
    actions->push_back(SignRequest{*admitted_, std::move(request->request_pem)});
    return;
  }
  if (auto* hello = std::get_if<api::Hello>(&message.message)) {
    if (ClaimOf(*hello) != *admitted_) {
      const std::string why = "the stream is of " + api::ToString(*admitted_) +
                              ", this Hello on it of " + api::ToString(ClaimOf(*hello));
      for (AdmissionAction& action : End(true, why)) actions->push_back(std::move(action));
      return;
    }
    if (rules_.check) hello->token = rules_.admitted_token;
  }
  actions->push_back(Deliver{admitted_->job_uid, std::move(message)});
}

AdmissionActions Admission::OnReviewed(const absl::Status& verdict) {
  auto* reviewing = std::get_if<Reviewing>(&state_);
  if (reviewing == nullptr) return {};
  if (!verdict.ok()) {
    return End(IsVerdict(verdict),
               "the token of " + api::ToString(claimed_) +
                   (IsVerdict(verdict) ? " is refused: " : " is not reviewed: ") +
                   base::Message(verdict));
  }
  std::deque<api::FromMember> kept = std::move(reviewing->kept);
  admitted_ = claimed_;
  state_ = Admitted{};
  AdmissionActions actions;
  for (api::FromMember& message : kept) {
    if (std::holds_alternative<Ended>(state_)) break;
    Pass(std::move(message), &actions);
  }
  return actions;
}

AdmissionActions Admission::OnTick(base::Time now) {
  if (std::holds_alternative<New>(state_) && now - opened_ >= rules_.hello_within) {
    return End(false, "no Hello came in time");
  }
  const auto* reviewing = std::get_if<Reviewing>(&state_);
  if (reviewing != nullptr && now - reviewing->since >= rules_.review_within) {
    return End(false, "the token of " + api::ToString(claimed_) + " was not reviewed in time");
  }
  return {};
}

AdmissionActions Admission::End(bool final, std::string why) {
  state_ = Ended{};
  return {Dismiss{final, std::move(why)}};
}

}  // namespace muster::rpc
