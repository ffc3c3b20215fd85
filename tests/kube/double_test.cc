// What the contract cannot see: faults, the log, broken connections, watches that are tampered with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "tests/kube/api_double.h"
#include "tests/kube/http_front.h"
#include "tests/kube/raw_client.h"
#include "tests/kube/transport.h"

namespace muster::kubetest {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

constexpr char kMaps[] = "/api/v1/namespaces/default/configmaps";

Request Asked(const std::string& method, const std::string& target, const Json& body = nullptr) {
  Request request;
  request.method = method;
  SetTarget(request, target);
  request.content_type = "application/json";
  request.user_agent = "muster/1";
  if (!body.is_null()) request.body = body.dump();
  return request;
}

Json Map(const std::string& name) { return {{"metadata", {{"name", name}}}}; }

class DoubleTest : public testing::Test {
 protected:
  ApiDouble::Served Serve(const Request& request) {
    return std::get<ApiDouble::Served>(api_.Serve(request));
  }
  int Create(const std::string& name) { return Serve(Asked("POST", kMaps, Map(name))).answer.code; }
  std::shared_ptr<WatchStream> Watch(const std::string& more = "") {
    return std::get<std::shared_ptr<WatchStream>>(api_.Serve(Asked(
        "GET",
        std::string(kMaps) + "?watch=1&resourceVersion=" + std::to_string(api_.version()) + more)));
  }
  // "ADDED a", "END", "BREAK", "nothing".
  static std::string Next(WatchStream& stream) {
    using What = WatchStream::Item::What;
    const auto item = stream.Next(runtime::RealClock().Now());
    if (item.what == What::kEnd) return "END";
    if (item.what == What::kBreak) return "BREAK";
    if (item.what == What::kNothing) return "nothing";
    const Json event = Json::parse(item.line);
    const std::string name = event["object"].value(Json::json_pointer("/metadata/name"), "");
    return event["type"].get<std::string>() + (name.empty() ? "" : " " + name);
  }

  runtime::ManualClock clock_;
  ApiDouble api_{{.window = 5}, clock_};
};

TEST_F(DoubleTest, ARuleActsOnItsNthMatchSoOftenAsItSaysAndCounts) {
  const int rule = api_.AddFault({.verb = "create",
                                  .resource = "configmaps",
                                  .nth = 2,
                                  .times = 2,
                                  .action = AnswerWith{429, 3}});
  EXPECT_EQ(Create("a"), 201);
  const Answer refused = Serve(Asked("POST", kMaps, Map("b"))).answer;
  EXPECT_EQ(refused.code, 429);
  EXPECT_EQ(refused.body["reason"], "TooManyRequests");
  EXPECT_EQ(refused.headers.at("Retry-After"), "3");
  EXPECT_EQ(Create("b"), 429);
  EXPECT_EQ(Create("b"), 201);
  EXPECT_EQ(api_.FaultCount(rule), 2);
}

TEST_F(DoubleTest, ARuleForOneNameOrSubresourceLeavesOthersAlone) {
  api_.AddFault({.name = "b", .times = 0, .action = AnswerWith{500, 0}});
  EXPECT_EQ(Create("a"), 201);
  EXPECT_EQ(Create("b"), 500);
  api_.ClearFaults();
  EXPECT_EQ(Create("b"), 201);
  api_.AddFault({.subresource = "eviction", .times = 0, .action = AnswerWith{500, 0}});
  EXPECT_EQ(Create("c"), 201);
}

TEST_F(DoubleTest, ALostRequestIsNotServedAndALostAnswerIs) {
  api_.AddFault({.verb = "create", .action = LoseRequest{}});
  EXPECT_EQ(Serve(Asked("POST", kMaps, Map("a"))).ending, ApiDouble::Served::Ending::kNoAnswer);
  EXPECT_FALSE(api_.Find("configmaps", "default", "a"));
  api_.AddFault({.verb = "create", .action = LoseAnswer{}});
  EXPECT_EQ(Serve(Asked("POST", kMaps, Map("a"))).ending, ApiDouble::Served::Ending::kNoAnswer);
  EXPECT_TRUE(api_.Find("configmaps", "default", "a"));
}

TEST_F(DoubleTest, ADelayedRequestIsServedLater) {
  api_.AddFault({.verb = "create", .action = Delay{milliseconds(30)}});
  const auto before = runtime::RealClock().Now();
  EXPECT_EQ(Create("a"), 201);
  EXPECT_GE(runtime::RealClock().Now() - before, milliseconds(30));
}

TEST_F(DoubleTest, TheLogHasEveryWriteAndItsOutcomeAndNoRead) {
  std::vector<std::string> seen;
  api_.SetAfterWrite([&seen](const WriteRecord& write) { seen.push_back(ToString(write)); });
  Create("a");
  Create("a");
  Serve(Asked("GET", std::string(kMaps) + "/a"));
  Serve(Asked("DELETE", std::string(kMaps) + "/a?fieldManager=someone"));
  const std::vector<std::string> wanted = {
      "1 create configmaps default/a by muster: 201",
      "2 create configmaps default/a by muster: 409, nothing changed",
      "3 delete configmaps default/a by someone: 200"};
  EXPECT_EQ(seen, wanted);
  EXPECT_EQ(api_.Writes().size(), 3u);
}

TEST_F(DoubleTest, EventsAreDroppedRepeatedAndReordered) {
  const auto stream = Watch();
  api_.AddFault({.verb = "event", .name = "dropped", .action = DropEvent{}});
  api_.AddFault({.verb = "event", .name = "twice", .action = RepeatEvent{}});
  api_.AddFault({.verb = "event", .name = "late", .action = HoldEvent{}});
  for (const char* name : {"dropped", "twice", "late", "early"}) Create(name);
  EXPECT_EQ(Next(*stream), "ADDED twice");
  EXPECT_EQ(Next(*stream), "ADDED twice");
  EXPECT_EQ(Next(*stream), "ADDED early");
  EXPECT_EQ(Next(*stream), "ADDED late");
  EXPECT_EQ(Next(*stream), "nothing");
}

TEST_F(DoubleTest, AStreamEndsBreaksOrExpiresByRule) {
  const auto ends = Watch();
  const auto breaks = Watch();
  const auto expires = Watch();
  Create("a");
  api_.AddFault({.verb = "event", .action = EndWatch{}});
  EXPECT_EQ(Next(*ends), "END");
  api_.AddFault({.verb = "event", .action = BreakWatch{}});
  EXPECT_EQ(Next(*breaks), "BREAK");
  api_.AddFault({.verb = "event", .action = ExpireWatch{}});
  EXPECT_EQ(Next(*expires), "ERROR");
  EXPECT_EQ(Next(*expires), "END");
}

TEST_F(DoubleTest, AWatchFromBeforeTheWindowIsToldThatItsVersionIsTooOld) {
  const auto stream = Watch();
  for (int i = 0; i < 8; ++i) Create("m" + std::to_string(i));  // the window holds 5
  const auto item = stream->Next(runtime::RealClock().Now());
  const Json event = Json::parse(item.line);
  EXPECT_EQ(event["type"], "ERROR");
  EXPECT_EQ(event["object"]["code"], 410);
  EXPECT_EQ(Next(*stream), "END");
}

TEST_F(DoubleTest, APageOfAListThatWasCompactedIsGone) {
  for (const char* name : {"a", "b", "c"}) Create(name);
  const auto first = Serve(Asked("GET", std::string(kMaps) + "?limit=1")).answer;
  const std::string next = std::string(kMaps) + "?limit=1&continue=" +
                           first.body["metadata"]["continue"].get<std::string>();
  EXPECT_EQ(Serve(Asked("GET", next)).answer.code, 200);
  api_.Compact();
  EXPECT_EQ(Serve(Asked("GET", next)).answer.code, 410);
}

TEST_F(DoubleTest, BookmarksComeWhereTheyAreAllowed) {
  const auto with = Watch("&allowWatchBookmarks=true");
  const auto without = Watch();
  api_.SendBookmarks();
  EXPECT_EQ(Next(*with), "BOOKMARK");
  EXPECT_EQ(Next(*with), "nothing");
  EXPECT_EQ(Next(*without), "nothing");
}

// ---- over a socket

class FrontTest : public DoubleTest {
 protected:
  static std::string Get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  std::unique_ptr<HttpFront> front_ = *HttpFront::Listen(api_);
};

TEST_F(FrontTest, OneConnectionServesManyRequestsAndChunkedBodies) {
  RawClient client(front_->port());
  client.Send(std::string("POST ") + kMaps +
              " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
              "5\r\n{\"met\r\n18\r\nadata\":{\"name\":\"in-two\"}\r\n1\r\n}\r\n0\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("\"uid\""), HasSubstr("HTTP/1.1 201 OK\r\n"));
  client.Send(Get("/version"));
  EXPECT_THAT(client.ReadUntil("gitVersion"), HasSubstr("200 OK"));
  EXPECT_FALSE(client.closed());
}

TEST_F(FrontTest, ALostAnswerClosesAndABrokenOneStopsInTheMiddle) {
  Create("a");
  api_.AddFault({.verb = "get", .action = LoseAnswer{}});
  RawClient lost(front_->port());
  lost.Send(Get(std::string(kMaps) + "/a"));
  EXPECT_EQ(lost.ReadUntil(""), "");
  EXPECT_TRUE(lost.closed());
  api_.AddFault({.verb = "get", .action = CloseInBody{}});
  RawClient broken(front_->port());
  broken.Send(Get(std::string(kMaps) + "/a"));
  const std::string part = broken.ReadUntil("");
  EXPECT_THAT(part, HasSubstr("Content-Length: "));
  EXPECT_THAT(part, HasSubstr("\r\n\r\n{"));
  EXPECT_FALSE(part.ends_with("}"));
  EXPECT_TRUE(broken.closed());
}

TEST_F(FrontTest, AWatchStreamsInChunksAndBreaksInTheMiddleOfALine) {
  RawClient client(front_->port());
  client.Send(
      Get(std::string(kMaps) + "?watch=1&resourceVersion=" + std::to_string(api_.version())));
  EXPECT_THAT(client.ReadUntil("chunked\r\n\r\n"), HasSubstr("200 OK"));
  Create("a");
  EXPECT_THAT(client.ReadUntil("}\n\r\n"), HasSubstr("\"type\":\"ADDED\""));
  api_.AddFault({.verb = "event", .name = "b", .action = BreakWatch{}});
  Create("b");
  EXPECT_THAT(client.ReadUntil(""), Not(HasSubstr("}\n")));
  EXPECT_TRUE(client.closed());
}

TEST_F(FrontTest, AnApiServerThatIsAwayCutsAndRefuses) {
  RawClient before(front_->port());
  before.Send(Get("/version"));
  before.ReadUntil("gitVersion");
  front_->SetAway(true);
  before.ReadUntil("");
  EXPECT_TRUE(before.closed());
  RawClient during(front_->port());
  during.Send(Get("/version"));
  EXPECT_EQ(during.ReadUntil("gitVersion"), "");
  front_->SetAway(false);
  RawClient after(front_->port());
  after.Send(Get("/version"));
  EXPECT_THAT(after.ReadUntil("gitVersion"), HasSubstr("200 OK"));
}

TEST_F(DoubleTest, TheTransportWithoutSocketsBreaksWhereTheFrontDoes) {
  DoubleTransport transport(api_);
  kube::HttpRequest get;
  get.target = std::string(kMaps) + "/a";
  Create("a");
  EXPECT_EQ(transport.Send(get, {})->code, 200);
  api_.AddFault({.verb = "get", .action = CloseInBody{}});
  EXPECT_EQ(transport.Send(get, {}).status().code(), absl::StatusCode::kUnavailable);

  kube::HttpRequest watch;
  watch.target = std::string(kMaps) + "?watch=1";
  watch.idle_timeout = milliseconds(20);
  int lines = 0;
  const auto count = [&lines](std::string_view) { return ++lines > 0; };
  EXPECT_EQ(transport.Stream(watch, count, {}).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(lines, 1);
  api_.AddFault({.verb = "event", .action = BreakWatch{}});
  EXPECT_EQ(transport.Stream(watch, count, {}).status().code(), absl::StatusCode::kUnavailable);
  api_.AddFault({.verb = "event", .action = EndWatch{}});
  EXPECT_EQ(transport.Stream(watch, count, {})->code, 200);
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(transport.Stream(watch, count, stopped.get_token()).status().code(),
            absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace muster::kubetest
