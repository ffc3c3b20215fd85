// One stream at the gate, event by event: what is done about it, and nothing else.
#include "operator/rpc/admission.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace muster::rpc {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const api::JobMember kWho{"job-a", {3, 2}};
const base::Time kStart{};

AdmissionRules Rules() {
  AdmissionRules rules;
  rules.admitted_token = "reviewed";
  return rules;
}

api::FromMember Hello(const api::JobMember& who = kWho, const std::string& token = "t") {
  api::Hello hello;
  hello.job_uid = who.job_uid;
  hello.member = who.member;
  hello.token = token;
  return {{}, hello};
}

api::FromMember Beat(std::uint64_t sequence) {
  return {{}, api::Heartbeat{.sequence = sequence, .step = {}}};
}

api::FromMember Request() { return {{}, api::CertificateRequest{"request"}}; }

// What was decided, as text: tables compare it whole.
std::vector<std::string> Told(const AdmissionActions& actions) {
  std::vector<std::string> out;
  for (const AdmissionAction& action : actions) {
    if (const auto* ask = std::get_if<AskReview>(&action)) {
      out.push_back("review '" + ask->token + "' of " + api::ToString(ask->who));
    } else if (const auto* deliver = std::get_if<Deliver>(&action)) {
      const auto* hello = std::get_if<api::Hello>(&deliver->message.message);
      const auto* beat = std::get_if<api::Heartbeat>(&deliver->message.message);
      out.push_back("to " + deliver->job_uid + ": " +
                    (hello != nullptr  ? "Hello with '" + hello->token + "'"
                     : beat != nullptr ? "beat " + std::to_string(beat->sequence)
                                       : "other"));
    } else if (const auto* sign = std::get_if<SignRequest>(&action)) {
      out.push_back("sign '" + sign->request_pem + "' for " + api::ToString(sign->who));
    } else {
      const auto& dismiss = std::get<Dismiss>(action);
      out.push_back((dismiss.final ? "refuse: " : "cut: ") + dismiss.why);
    }
  }
  return out;
}

TEST(AdmissionTest, CertificateThatAgreesNeedsNoReview) {
  Admission stream(kWho, kStart, Rules());
  EXPECT_THAT(Told(stream.OnMessage(Hello(kWho, ""), 0, kStart)),
              ElementsAre("to job-a: Hello with 'reviewed'"));
  EXPECT_EQ(stream.admitted(), kWho);
  EXPECT_THAT(Told(stream.OnMessage(Beat(1), 0, kStart)), ElementsAre("to job-a: beat 1"));
  EXPECT_THAT(Told(stream.OnMessage(Request(), 0, kStart)),
              ElementsAre("sign 'request' for member 3.2 of job job-a"));
  EXPECT_THAT(Told(stream.OnReviewed(base::PermissionDenied("nobody asked"))), IsEmpty());
  EXPECT_THAT(Told(stream.OnTick(kStart + seconds(1000))), IsEmpty());
}

TEST(AdmissionTest, TokenIsReviewedBeforeAnythingIsDelivered) {
  Admission stream(std::nullopt, kStart, Rules());
  EXPECT_THAT(Told(stream.OnMessage(Hello(), 0, kStart)),
              ElementsAre("review 't' of member 3.2 of job job-a"));
  EXPECT_TRUE(stream.reviewing());
  EXPECT_THAT(Told(stream.OnMessage(Beat(1), 10, kStart)), IsEmpty());
  EXPECT_THAT(Told(stream.OnMessage(Request(), 10, kStart)), IsEmpty());
  EXPECT_EQ(stream.admitted(), std::nullopt);
  EXPECT_THAT(Told(stream.OnReviewed(absl::OkStatus())),
              ElementsAre("to job-a: Hello with 'reviewed'", "to job-a: beat 1",
                          "sign 'request' for member 3.2 of job job-a"));
  EXPECT_FALSE(stream.reviewing());
  EXPECT_THAT(Told(stream.OnReviewed(absl::OkStatus())), IsEmpty()) << "a second answer";
  EXPECT_THAT(Told(stream.OnMessage(Beat(2), 10, kStart)), ElementsAre("to job-a: beat 2"));
}

struct Opening {
  const char* what;
  std::optional<api::JobMember> certified;
  api::FromMember first;
  const char* told;
};

TEST(AdmissionTest, WhoDoesNotAgreeIsRefusedWithTheDifference) {
  const Opening cases[] = {
      {"another member", api::JobMember{"job-a", {1, 0}}, Hello(),
       "refuse: the Hello is of member 3.2 of job job-a, the certificate of member 1.0 of job "
       "job-a"},
      {"another incarnation", api::JobMember{"job-a", {3, 1}}, Hello(),
       "refuse: the Hello is of member 3.2 of job job-a, the certificate of member 3.1 of job "
       "job-a"},
      {"another job", api::JobMember{"job-b", {3, 2}}, Hello(),
       "refuse: the Hello is of member 3.2 of job job-a, the certificate of member 3.2 of job "
       "job-b"},
      {"nothing to show", std::nullopt, Hello(kWho, ""),
       "refuse: member 3.2 of job job-a shows neither a certificate nor a token"},
      {"a uid that is none", std::nullopt, Hello({"a/member/1.0", {}}),
       "refuse: job uid 'a/member/1.0' is not 1 to 128 letters, digits, '-', '_' or '.'"},
      {"no Hello", std::nullopt, Beat(1),
       "refuse: the first message of a stream is a Hello; this one is not"},
      {"no Hello, though certified", kWho, Request(),
       "refuse: the first message of a stream is a Hello; this one is not"},
  };
  for (const Opening& c : cases) {
    Admission stream(c.certified, kStart, Rules());
    EXPECT_THAT(Told(stream.OnMessage(c.first, 0, kStart)), ElementsAre(c.told)) << c.what;
    EXPECT_EQ(stream.admitted(), std::nullopt) << c.what;
    EXPECT_THAT(Told(stream.OnMessage(Hello(), 0, kStart)), IsEmpty()) << c.what;
    EXPECT_THAT(Told(stream.OnReviewed(absl::OkStatus())), IsEmpty()) << c.what;
    EXPECT_THAT(Told(stream.OnTick(kStart + seconds(1000))), IsEmpty()) << c.what;
  }
}

TEST(AdmissionTest, ReviewsCodeSaysWhetherToComeAgain) {
  struct Case {
    absl::Status verdict;
    const char* told;
  };
  const Case cases[] = {
      {base::PermissionDenied("its pod is member 4.0"),
       "refuse: the token of member 3.2 of job job-a is refused: its pod is member 4.0"},
      {absl::UnauthenticatedError("expired"),
       "refuse: the token of member 3.2 of job job-a is refused: expired"},
      {base::NotFound("no such pod"),
       "refuse: the token of member 3.2 of job job-a is refused: no such pod"},
      {base::InvalidArgument("no token"),
       "refuse: the token of member 3.2 of job job-a is refused: no token"},
      {base::FailedPrecondition("another cluster"),
       "refuse: the token of member 3.2 of job job-a is refused: another cluster"},
      {base::Unavailable("the API server is away"),
       "cut: the token of member 3.2 of job job-a is not reviewed: the API server is away"},
      {base::DeadlineExceeded("30 s"),
       "cut: the token of member 3.2 of job job-a is not reviewed: 30 s"},
      {base::ResourceExhausted("429"),
       "cut: the token of member 3.2 of job job-a is not reviewed: 429"},
      {base::Internal("?"), "cut: the token of member 3.2 of job job-a is not reviewed: ?"},
  };
  for (const Case& c : cases) {
    Admission stream(std::nullopt, kStart, Rules());
    stream.OnMessage(Hello(), 0, kStart);
    stream.OnMessage(Beat(1), 0, kStart);
    EXPECT_THAT(Told(stream.OnReviewed(c.verdict)), ElementsAre(c.told));
    EXPECT_THAT(Told(stream.OnReviewed(absl::OkStatus())), IsEmpty()) << "it is over";
    EXPECT_THAT(Told(stream.OnMessage(Beat(2), 0, kStart)), IsEmpty());
  }
}

TEST(AdmissionTest, WhatIsKeptIsBounded) {
  AdmissionRules rules = Rules();
  rules.most_messages = 3;
  rules.most_bytes = 100;
  const std::string told =
      "cut: member 3.2 of job job-a said more than 3 messages or 100 bytes while its token was "
      "being reviewed";
  Admission many(std::nullopt, kStart, rules);
  many.OnMessage(Hello(), 0, kStart);
  EXPECT_THAT(Told(many.OnMessage(Beat(1), 1, kStart)), IsEmpty());
  EXPECT_THAT(Told(many.OnMessage(Beat(2), 1, kStart)), IsEmpty());
  EXPECT_THAT(Told(many.OnMessage(Beat(3), 1, kStart)), ElementsAre(told));
  EXPECT_THAT(Told(many.OnReviewed(absl::OkStatus())), IsEmpty());

  Admission large(std::nullopt, kStart, rules);
  large.OnMessage(Hello(), 0, kStart);
  EXPECT_THAT(Told(large.OnMessage(Beat(1), 100, kStart)), IsEmpty());
  EXPECT_THAT(Told(large.OnMessage(Beat(2), 1, kStart)), ElementsAre(told));
}

TEST(AdmissionTest, SilenceAndSlowReviewsEnd) {
  Admission silent(std::nullopt, kStart, Rules());
  EXPECT_THAT(Told(silent.OnTick(kStart + seconds(9))), IsEmpty());
  EXPECT_THAT(Told(silent.OnTick(kStart + seconds(10))), ElementsAre("cut: no Hello came in time"));
  EXPECT_THAT(Told(silent.OnTick(kStart + seconds(11))), IsEmpty());

  Admission slow(std::nullopt, kStart, Rules());
  slow.OnMessage(Hello(), 0, kStart + seconds(9));
  EXPECT_THAT(Told(slow.OnTick(kStart + seconds(38))), IsEmpty());
  EXPECT_THAT(Told(slow.OnTick(kStart + seconds(39))),
              ElementsAre("cut: the token of member 3.2 of job job-a was not reviewed in time"));
  EXPECT_THAT(Told(slow.OnReviewed(absl::OkStatus())), IsEmpty());
}

TEST(AdmissionTest, SecondHelloIsOfTheSameMember) {
  Admission stream(kWho, kStart, Rules());
  stream.OnMessage(Hello(), 0, kStart);
  EXPECT_THAT(Told(stream.OnMessage(Hello(), 0, kStart)),
              ElementsAre("to job-a: Hello with 'reviewed'"));
  EXPECT_THAT(Told(stream.OnMessage(Hello({"job-b", {3, 2}}), 0, kStart)),
              ElementsAre("refuse: the stream is of member 3.2 of job job-a, this Hello on it of "
                          "member 3.2 of job job-b"));
  EXPECT_EQ(stream.admitted(), kWho) << "what was delivered was delivered under this name";
  EXPECT_THAT(Told(stream.OnMessage(Beat(1), 0, kStart)), IsEmpty());
}

TEST(AdmissionTest, KeptHelloOfAnotherMemberEndsTheStreamWhereItStands) {
  Admission stream(std::nullopt, kStart, Rules());
  stream.OnMessage(Hello(), 0, kStart);
  stream.OnMessage(Beat(1), 0, kStart);
  stream.OnMessage(Hello({"job-a", {9, 9}}), 0, kStart);
  stream.OnMessage(Beat(2), 0, kStart);
  EXPECT_THAT(Told(stream.OnReviewed(absl::OkStatus())),
              ElementsAre("to job-a: Hello with 'reviewed'", "to job-a: beat 1",
                          "refuse: the stream is of member 3.2 of job job-a, this Hello on it of "
                          "member 9.9 of job job-a"));
}

TEST(AdmissionTest, OnLoopbackAHelloIsBelievedAndItsTokenLeftToTheMachine) {
  AdmissionRules rules = Rules();
  rules.check = false;
  Admission stream(std::nullopt, kStart, rules);
  EXPECT_THAT(Told(stream.OnMessage(Hello(), 0, kStart)), ElementsAre("to job-a: Hello with 't'"));
  EXPECT_THAT(Told(stream.OnMessage(Hello({"job-b", {}}), 0, kStart)),
              ElementsAre("refuse: the stream is of member 3.2 of job job-a, this Hello on it of "
                          "member 0.0 of job job-b"));
}

}  // namespace
}  // namespace muster::rpc
