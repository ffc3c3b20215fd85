// Refusals of an API server as status codes, and what they carry; paths and queries.
#include "operator/kube/api_error.h"

#include <gtest/gtest.h>

#include "operator/kube/client.h"
#include "operator/kube/line_splitter.h"
#include "operator/kube/resource.h"

namespace muster::kube {
namespace {

std::string Status(int code, const std::string& reason, const std::string& details = "{}") {
  return R"({"kind":"Status","apiVersion":"v1","status":"Failure","message":"a sentence","reason":")" +
         reason + R"(","details":)" + details + R"(,"code":)" + std::to_string(code) + "}";
}

TEST(ApiErrorTest, EachAnswerHasItsCode) {
  const std::string causes =
      R"({"causes":[{"reason":"FieldValueInvalid","message":"m","field":"f"}]})";
  const struct {
    int code;
    std::string body;
    absl::StatusCode expected;
  } rows[] = {
      {400, Status(400, "BadRequest"), absl::StatusCode::kInvalidArgument},
      {413, Status(413, "RequestEntityTooLarge"), absl::StatusCode::kInvalidArgument},
      {422, Status(422, "Invalid", causes), absl::StatusCode::kInvalidArgument},
      {422, Status(422, "Invalid"), absl::StatusCode::kFailedPrecondition},
      {401, Status(401, "Unauthorized"), absl::StatusCode::kUnauthenticated},
      {403, Status(403, "Forbidden"), absl::StatusCode::kPermissionDenied},
      {404, Status(404, "NotFound"), absl::StatusCode::kNotFound},
      {404, "404 page not found\n", absl::StatusCode::kNotFound},
      {405, "", absl::StatusCode::kUnimplemented},
      {406, "", absl::StatusCode::kUnimplemented},
      {415, "", absl::StatusCode::kUnimplemented},
      {408, "", absl::StatusCode::kDeadlineExceeded},
      {504, Status(504, "Timeout"), absl::StatusCode::kDeadlineExceeded},
      {409, Status(409, "AlreadyExists"), absl::StatusCode::kAlreadyExists},
      {409, Status(409, "Conflict"), absl::StatusCode::kAborted},
      {409, "", absl::StatusCode::kAborted},
      {410, Status(410, "Expired"), absl::StatusCode::kOutOfRange},
      {410, Status(410, "Gone"), absl::StatusCode::kOutOfRange},
      {429, Status(429, "TooManyRequests"), absl::StatusCode::kResourceExhausted},
      {500, Status(500, "InternalError"), absl::StatusCode::kInternal},
      {502, "", absl::StatusCode::kUnavailable},
      {503, "", absl::StatusCode::kUnavailable},
      {599, "", absl::StatusCode::kUnavailable},
      {0, "", absl::StatusCode::kUnavailable},
      {302, "", absl::StatusCode::kUnknown},
      {418, "", absl::StatusCode::kUnknown},
  };
  for (const auto& row : rows) {
    const absl::Status status = ToStatus(MakeApiError(row.code, row.body, std::nullopt), "do it");
    EXPECT_EQ(status.code(), row.expected) << row.code << " " << row.body;
    EXPECT_EQ(base::Message(status).substr(0, 7), "do it: ") << row.code;
  }
}

TEST(ApiErrorTest, AStatusCarriesAllThatTheServerSaid) {
  const ApiError error = MakeApiError(
      422,
      Status(
          422, "Invalid",
          R"({"retryAfterSeconds":3,"causes":[{"reason":"FieldValueInvalid","message":"m","field":"spec.x"},)"
          R"({"reason":"FieldValueRequired","message":"n","field":"spec.y"}]})"),
      std::nullopt);
  EXPECT_EQ(error.code, 422);
  EXPECT_EQ(error.reason, "Invalid");
  EXPECT_EQ(error.message, "a sentence");
  EXPECT_EQ(error.retry_after, std::chrono::seconds(3));
  ASSERT_EQ(error.causes.size(), 2u);
  EXPECT_EQ(error.causes[1], (ErrorCause{"FieldValueRequired", "n", "spec.y"}));
  EXPECT_EQ(ApiErrorOf(ToStatus(error, "apply")), error);
}

TEST(ApiErrorTest, TheHeaderGoesBeforeTheBodysWordOnWhenToComeBack) {
  const ApiError error = MakeApiError(
      429, Status(429, "TooManyRequests", R"({"retryAfterSeconds":9})"), std::chrono::seconds(1));
  EXPECT_EQ(error.retry_after, std::chrono::seconds(1));
}

TEST(ApiErrorTest, AnotherBodyIsQuotedShortenedAndOnOneLine) {
  const ApiError error =
      MakeApiError(502, "<html>\nBad\tGateway" + std::string(1000, 'x'), std::nullopt);
  EXPECT_EQ(error.reason, "");
  EXPECT_EQ(error.message.find('\n'), std::string::npos);
  EXPECT_LT(error.message.size(), 400u);
  EXPECT_EQ(error.message.substr(0, 45), "the server answered 502: <html> Bad Gatewayxx");
}

TEST(ApiErrorTest, AnEventOfAWatchHasTheCodeOfItsStatus) {
  EXPECT_EQ(MakeApiError(500, Status(410, "Expired"), std::nullopt).code, 410);
}

TEST(ApiErrorTest, OtherStatusesHaveNone) {
  EXPECT_EQ(ApiErrorOf(absl::OkStatus()), std::nullopt);
  EXPECT_EQ(ApiErrorOf(base::NotFound("x")), std::nullopt);
}

TEST(ApiErrorTest, KnowsAQuotaATerminatingNamespaceAndABudget) {
  ApiError quota{403, "Forbidden", "pods \"a\" is forbidden: exceeded quota: small", {}, {}};
  EXPECT_TRUE(IsQuota(quota));
  EXPECT_FALSE(IsQuota({403, "Forbidden", "RBAC", {}, {}}));
  EXPECT_TRUE(
      IsNamespaceTerminating({403, "Forbidden", "m", {}, {{"NamespaceTerminating", "", ""}}}));
  EXPECT_FALSE(IsNamespaceTerminating(quota));
  EXPECT_TRUE(IsBudgetRefusal({429, "TooManyRequests", "m", {}, {{"DisruptionBudget", "", ""}}}));
  EXPECT_FALSE(IsBudgetRefusal({429, "TooManyRequests", "m", {}, {}}));
}

TEST(ResourceTest, PathsOfKindsWithAndWithoutGroupAndNamespace) {
  EXPECT_EQ(CollectionPath(kPods, "a"), "/api/v1/namespaces/a/pods");
  EXPECT_EQ(CollectionPath(kPods, ""), "/api/v1/pods");
  EXPECT_EQ(CollectionPath(kNodes, ""), "/api/v1/nodes");
  EXPECT_EQ(ObjectPath(kTrainingJobs, {"a", "j"}, "status"),
            "/apis/muster.dev/v1alpha1/namespaces/a/trainingjobs/j/status");
  EXPECT_EQ(ObjectPath(kNodes, {"", "n/../x"}), "/api/v1/nodes/n%2F..%2Fx");
  EXPECT_EQ(ApiVersion(kPods), "v1");
  EXPECT_EQ(ApiVersion(kLeases), "coordination.k8s.io/v1");
}

TEST(ResourceTest, QueriesAreEncodedAndEmptyPartsLeftOut) {
  EXPECT_EQ(Target("/p", {}), "/p");
  EXPECT_EQ(Target("/p", {{"a", ""}, {"labelSelector", "x=1,y in (b, c)"}, {"l", "5"}}),
            "/p?labelSelector=x%3D1%2Cy%20in%20%28b%2C%20c%29&l=5");
  EXPECT_EQ(PercentEncoded("a-b.c_d~e\xC3\xA9+"), "a-b.c_d~e%C3%A9%2B");
}

TEST(RetryTest, WaitsDoubleWithinTheirBounds) {
  const RetryPolicy policy{9, std::chrono::milliseconds(100), std::chrono::seconds(1)};
  const std::uint64_t most = ~std::uint64_t{0};
  const int expected[] = {100, 200, 400, 800, 1000, 1000};
  for (int attempt = 2; attempt < 8; ++attempt) {
    const double whole = expected[attempt - 2] / 1000.0;
    EXPECT_NEAR(base::ToSeconds(RetryWait(policy, attempt, {}, most)), whole, 1e-6) << attempt;
    EXPECT_NEAR(base::ToSeconds(RetryWait(policy, attempt, {}, 0)), whole / 2, 1e-6) << attempt;
  }
  EXPECT_NEAR(base::ToSeconds(RetryWait(policy, 2, std::chrono::seconds(5), 0)), 5.05, 1e-6);
}

std::vector<std::string> Split(LineSplitter& splitter, const std::vector<std::string>& pieces) {
  std::vector<std::string> lines;
  for (const std::string& piece : pieces) {
    const auto fed = splitter.Feed(piece, [&](std::string_view line) {
      lines.emplace_back(line);
      return line != "stop";
    });
    EXPECT_TRUE(fed.ok());
    if (fed.ok() && !*fed) break;
  }
  return lines;
}

TEST(LineSplitterTest, AnyCutGivesTheSameLines) {
  const std::string text = "one\ntwo\r\n\nthree and more\nrest";
  for (std::size_t first = 0; first <= text.size(); ++first) {
    for (std::size_t second = first; second <= text.size(); ++second) {
      LineSplitter splitter(20);
      EXPECT_EQ(Split(splitter, {text.substr(0, first), text.substr(first, second - first),
                                 text.substr(second)}),
                (std::vector<std::string>{"one", "two", "three and more"}))
          << first << " " << second;
      EXPECT_EQ(splitter.rest(), "rest");
    }
  }
}

TEST(LineSplitterTest, StopsWhenToldAndRefusesALineThatIsTooLong) {
  LineSplitter splitter(5);
  EXPECT_EQ(Split(splitter, {"a\nstop\nb\n"}), (std::vector<std::string>{"a", "stop"}));
  LineSplitter narrow(5);
  const auto ignore = [](std::string_view) { return true; };
  EXPECT_TRUE(narrow.Feed("12345\n123", ignore).ok());
  EXPECT_EQ(narrow.Feed("456\n", ignore).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace muster::kube
