// Reading: gets, lists, watches, logs; and what is tried again.
#include <gtest/gtest.h>

#include <functional>

#include "operator/runtime/clock.h"
#include "tests/operator/kube/scripted_client.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Rig = ScriptedClient;

TEST(ClientTest, GetsAndFails) {
  Rig rig({Answer(200, "{'a':1}"), Answer(404, Refusal(404, "NotFound"))});
  EXPECT_EQ(*rig.client.Get(kPods, {"ns", "a"}), "{\"a\":1}");
  EXPECT_EQ(rig.Target(), "/api/v1/namespaces/ns/pods/a");
  const auto missing = rig.client.Get(kPods, {"ns", "a"});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(base::Message(missing.status()), "get pods ns/a: m");
}

TEST(ClientTest, ListsAPageWithItsParameters) {
  Rig rig({Answer(
      200, "{'metadata':{'resourceVersion':'7','continue':'more'},'items':[{'a':1},{'a':2}]}")});
  std::vector<std::int64_t> seen;
  const auto keep = [&](const Json& item) {
    seen.push_back(item["a"].get<std::int64_t>());
    return absl::OkStatus();
  };
  const auto page = rig.client.List(kPods, "ns", {"x=1", "spec.nodeName=n", 2, "", "0"}, keep);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page->resource_version, "7");
  EXPECT_EQ(page->continue_token, "more");
  EXPECT_EQ(seen, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(rig.Target(),
            "/api/v1/namespaces/ns/pods?labelSelector=x%3D1&fieldSelector=spec.nodeName%3Dn&limit=2"
            "&resourceVersion=0&resourceVersionMatch=NotOlderThan");
  ASSERT_TRUE(rig.client.List(kPods, "", {"", "", 2, "more", "0"}, keep).ok());
  EXPECT_EQ(rig.Target(), "/api/v1/pods?limit=2&continue=more") << "a token carries its version";
}

TEST(ClientTest, ListsAllPages) {
  Rig rig({Answer(200, "{'metadata':{'continue':'b'},'items':[{'a':1}]}"),
           Answer(200, "{'metadata':{'continue':''},'items':[{'a':2}]}")});
  EXPECT_EQ(*rig.client.ListAll(kNodes, "", {}),
            (std::vector<std::string>{"{\"a\":1}", "{\"a\":2}"}));
  EXPECT_EQ(rig.script.sent.size(), 2u);
}

TEST(ClientTest, AListThatIsNoneAndAnItemThatIsRefusedEndIt) {
  Rig rig({Answer(200, "no json"), Answer(200, "{'items':[{},{}]}")});
  int count = 0;
  const auto refuse = [&](const Json&) {
    ++count;
    return base::DataLoss("no");
  };
  EXPECT_FALSE(rig.client.List(kPods, "", {}, refuse).ok());
  EXPECT_EQ(rig.client.List(kPods, "", {}, refuse).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(count, 1);
}

// ---- what is tried again

struct RetryRow {
  std::string name;
  absl::StatusOr<HttpResponse> answer;
  bool read_again;
  bool write_again;
};

TEST(ClientRetryTest, OnlyWhatIsSafeIsTriedAgain) {
  const std::string budget =
      Refusal(429, "TooManyRequests", "{'causes':[{'reason':'DisruptionBudget'}]}");
  const RetryRow rows[] = {
      {"429", Answer(429, Refusal(429, "TooManyRequests"), seconds(0)), true, true},
      {"429 without a time", Answer(429, Refusal(429, "TooManyRequests")), true, true},
      {"429 of a budget", Answer(429, budget), false, false},
      {"503 with a time", Answer(503, "", seconds(0)), true, true},
      {"503", Answer(503, ""), true, false},
      {"500", Answer(500, Refusal(500, "InternalError")), true, false},
      {"502", Answer(502, ""), true, false},
      {"504", Answer(504, ""), true, false},
      {"no answer", base::Unavailable("reset"), true, false},
      {"no answer in time", base::DeadlineExceeded("late"), false, false},
      {"stopped", absl::CancelledError("stopped"), false, false},
      {"400", Answer(400, ""), false, false},
      {"403", Answer(403, ""), false, false},
      {"404", Answer(404, ""), false, false},
      {"409", Answer(409, ""), false, false},
      {"410", Answer(410, ""), false, false},
      {"422", Answer(422, ""), false, false},
  };
  for (const RetryRow& row : rows) {
    Rig read({row.answer});
    EXPECT_FALSE(read.client.Get(kPods, {"ns", "a"}).ok());
    EXPECT_EQ(read.script.sent.size(), row.read_again ? 4u : 1u) << row.name;
    using Write = std::function<bool(const Client&)>;
    const Write writes[] = {
        [](const Client& c) { return c.Create(kPods, "ns", "{}").ok(); },
        [](const Client& c) { return c.Replace(kPods, {"ns", "a"}, "{}").ok(); },
        [](const Client& c) { return c.Delete(kPods, {"ns", "a"}, {}).ok(); },
        [](const Client& c) { return c.Apply(kPods, {"ns", "a"}, "{}", {}).ok(); },
        [](const Client& c) { return c.PatchJson(kPods, {"ns", "a"}, "", {}).ok(); },
        [](const Client& c) { return c.Scale(kTrainingJobs, {"ns", "a"}, 3).ok(); },
        [](const Client& c) { return c.Evict({"ns", "a"}, {}).ok(); },
    };
    for (const Write& write : writes) {
      Rig rig({row.answer});
      EXPECT_FALSE(write(rig.client));
      EXPECT_EQ(rig.script.sent.size(), row.write_again ? 4u : 1u) << row.name;
    }
  }
}

TEST(ClientRetryTest, AnAnswerAfterATryIsTheAnswer) {
  Rig rig({base::Unavailable("x"), Answer(429, "", seconds(0)), Answer(200, "{'ok':1}")});
  EXPECT_EQ(*rig.client.Get(kPods, {"ns", "a"}), "{\"ok\":1}");
  EXPECT_EQ(rig.script.sent.size(), 3u);
}

TEST(ClientRetryTest, ARefusedTokenIsShownAgainOnceForAnyVerb) {
  Rig rig({Answer(401, ""), Answer(201, "{}")});
  EXPECT_TRUE(rig.client.Create(kPods, "ns", "{}").ok());
  EXPECT_EQ(rig.script.sent.size(), 2u);
  Rig never({Answer(401, "")});
  EXPECT_EQ(never.client.Create(kPods, "ns", "{}").status().code(),
            absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(never.script.sent.size(), 2u);
}

TEST(ClientRetryTest, WaitsAsLongAsTheServerSaysAndNotBeyondTheCall) {
  const runtime::RealClock clock;
  Rig rig({Answer(429, "", seconds(1)), Answer(200, "{}")});
  const base::Time begun = clock.Now();
  EXPECT_TRUE(rig.client.Get(kPods, {"ns", "a"}, {seconds(20), {}}).ok());
  EXPECT_GE(clock.Now() - begun, seconds(1));
  Rig late({Answer(429, "", seconds(100))});
  const base::Time again = clock.Now();
  const auto refused = late.client.Get(kPods, {"ns", "a"}, {seconds(20), {}});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ApiErrorOf(refused.status())->retry_after, seconds(100));
  EXPECT_LT(clock.Now() - again, seconds(10)) << "it is said at once, not after the call's time";
}

TEST(ClientRetryTest, AStopEndsAWait) {
  Rig rig({Answer(429, "", seconds(10))});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(rig.client.Get(kPods, {"ns", "a"}, {seconds(60), stop.get_token()}).status().code(),
            absl::StatusCode::kCancelled);
}

// ---- watching

TEST(ClientWatchTest, TellsEachEventAndItsVersion) {
  Rig rig({Answer(200)});
  rig.script.lines = {
      R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}})",
      R"({"type":"MODIFIED","object":{"metadata":{"resourceVersion":"2"}}})",
      R"({"type":"DELETED","object":{"metadata":{"resourceVersion":"3"}}})",
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"4"}}})",
      R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"old"}})"};
  std::string seen;
  std::optional<ApiError> error;
  const WatchOptions options{"x=1", "f=2", "9", seconds(60), seconds(65)};
  const absl::Status over = rig.client.Watch(
      kPods, "ns", options,
      [&](const WatchEvent& event) {
        seen += std::to_string(static_cast<int>(event.type)) + event.resource_version + " ";
        error = event.error;
        return true;
      },
      {});
  EXPECT_TRUE(over.ok());
  EXPECT_EQ(seen, "01 12 23 34 4 ");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, 410);
  EXPECT_EQ(error->reason, "Expired");
  EXPECT_EQ(rig.Target(),
            "/api/v1/namespaces/ns/pods?watch=true&allowWatchBookmarks=true&labelSelector=x%3D1"
            "&fieldSelector=f%3D2&resourceVersion=9&timeoutSeconds=60");
  EXPECT_EQ(rig.script.sent.back().idle_timeout, seconds(65));
}

TEST(ClientWatchTest, ARefusalALineThatIsNoEventAndEnough) {
  Rig rig({Answer(410, Refusal(410, "Expired")), Answer(200)});
  const auto all = [](const WatchEvent&) { return true; };
  const absl::Status refused = rig.client.Watch(kPods, "", {}, all, {});
  EXPECT_EQ(refused.code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ApiErrorOf(refused)->reason, "Expired");
  rig.script.lines = {"not json"};
  EXPECT_EQ(rig.client.Watch(kPods, "", {}, all, {}).code(), absl::StatusCode::kDataLoss);
  rig.script.lines = {R"({"type":"ADDED","object":{}})", "not json"};
  int count = 0;
  EXPECT_TRUE(
      rig.client.Watch(kPods, "", {}, [&](const WatchEvent&) { return ++count < 1; }, {}).ok());
}

// ---- the rest

TEST(ClientTest, AsksWhatTheServerServes) {
  const std::string list = "{'resources':[{'name':'trainingjobs'},{'name':'trainingjobs/status'}]}";
  Rig rig({Answer(200, list), Answer(200, "{'resources':[]}"), Answer(404, "404 page not found"),
           Answer(403, "")});
  EXPECT_EQ(*rig.client.Serves(kTrainingJobs), true);
  EXPECT_EQ(rig.Target(), "/apis/muster.dev/v1alpha1");
  EXPECT_EQ(*rig.client.Serves(kTrainingJobs), false);
  EXPECT_EQ(*rig.client.Serves(kTrainingJobs), false);
  EXPECT_EQ(rig.client.Serves(kPods).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(rig.Target(), "/api/v1");
}

TEST(ClientTest, ReadsAndFollowsLogs) {
  Rig rig({Answer(200, "one\ntwo\n"), Answer(200)});
  EXPECT_EQ(*rig.client.Logs({"ns", "p"}, {"worker", 50, 1000, 60, true, true}), "one\ntwo\n");
  EXPECT_EQ(rig.Target(),
            "/api/v1/namespaces/ns/pods/p/log?container=worker&limitBytes=1000&previous=true"
            "&sinceSeconds=60&tailLines=50&timestamps=true");
  rig.script.lines = {"three", "four"};
  std::vector<std::string> lines;
  EXPECT_TRUE(rig.client
                  .FollowLogs({"ns", "p"}, {},
                              [&](std::string_view line) {
                                lines.emplace_back(line);
                                return true;
                              },
                              {})
                  .ok());
  EXPECT_EQ(rig.Target(), "/api/v1/namespaces/ns/pods/p/log?follow=true");
  EXPECT_EQ(lines, (std::vector<std::string>{"three", "four"}));
}

}  // namespace
}  // namespace muster::kube
