// Writing: each verb as the server wants it, and what its refusals mean.
#include <gtest/gtest.h>

#include "tests/operator/kube/scripted_client.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using Rig = ScriptedClient;

TEST(ClientWriteTest, EachVerbAsTheServerWantsIt) {
  Rig rig({Answer(200)});
  const auto& sent = rig.script.sent;
  ASSERT_TRUE(rig.client.Create(kPods, "ns", "{\"a\":1}").ok());
  EXPECT_EQ(sent.back().method, Method::kPost);
  EXPECT_EQ(rig.Target(), "/api/v1/namespaces/ns/pods?fieldManager=muster");
  EXPECT_EQ(sent.back().body, "{\"a\":1}");
  EXPECT_EQ(sent.back().content_type, "application/json");
  ASSERT_TRUE(rig.client.Create(kPods, "ns", "{}", true).ok());
  EXPECT_EQ(rig.Target(),
            "/api/v1/namespaces/ns/pods?fieldManager=muster&dryRun=All&fieldValidation=Strict");
  ASSERT_TRUE(rig.client.Replace(kLeases, {"ns", "l"}, "{}").ok());
  EXPECT_EQ(sent.back().method, Method::kPut);
  ASSERT_TRUE(
      rig.client.Apply(kTrainingJobs, {"ns", "j"}, "{}", {"muster-status", true, "status", false})
          .ok());
  EXPECT_EQ(sent.back().method, Method::kPatch);
  EXPECT_EQ(sent.back().content_type, "application/apply-patch+yaml");
  EXPECT_EQ(
      rig.Target(),
      "/apis/muster.dev/v1alpha1/namespaces/ns/trainingjobs/j/status?fieldManager=muster-status"
      "&force=true");
  ASSERT_TRUE(rig.client.Apply(kServices, {"ns", "s"}, "{}", {"", false, "", true}).ok());
  EXPECT_EQ(rig.Target(), "/api/v1/namespaces/ns/services/s?fieldManager=muster&dryRun=All");
  ASSERT_TRUE(rig.client.PatchMerge(kPods, {"ns", "p"}, "", "{}").ok());
  EXPECT_EQ(sent.back().content_type, "application/merge-patch+json");
  ASSERT_TRUE(rig.client.Scale(kTrainingJobs, {"ns", "j"}, 5).ok());
  EXPECT_EQ(rig.Target(),
            "/apis/muster.dev/v1alpha1/namespaces/ns/trainingjobs/j/scale?fieldManager=muster");
  EXPECT_EQ(rig.Sent(), Object("{'spec':{'replicas':5}}"));
}

TEST(ClientWriteTest, DeletesWithItsConditions) {
  Rig rig({Answer(200), Answer(409, Refusal(409, "Conflict"))});
  ASSERT_TRUE(rig.client.Delete(kPods, {"ns", "a"}, {"u", 0, Propagation::kForeground}).ok());
  EXPECT_EQ(rig.script.sent.back().method, Method::kDelete);
  EXPECT_EQ(rig.Sent(),
            Object("{'apiVersion':'v1','kind':'DeleteOptions','preconditions':{'uid':'u'},"
                   "'gracePeriodSeconds':0,'propagationPolicy':'Foreground'}"));
  EXPECT_EQ(rig.client.Delete(kPods, {"ns", "a"}, {}).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(rig.Sent(), Object("{'apiVersion':'v1','kind':'DeleteOptions'}"));
}

TEST(ClientWriteTest, APatchWhoseTestFailsIsToldFromAConflictAndFromABadObject) {
  Rig rig({Answer(422, Refusal(422, "Invalid")), Answer(409, Refusal(409, "Conflict")),
           Answer(422, Refusal(422, "Invalid", "{'causes':[{'field':'status.x'}]}"))});
  const std::vector<PatchOperation> patch = {{"test", "/metadata/uid", "\"u\""},
                                             {"replace", "/status/membership", "{\"term\":\"3\"}"},
                                             {"remove", "/status/old", ""}};
  const auto ask = [&] {
    return rig.client.PatchJson(kTrainingJobs, {"ns", "j"}, "status", patch).status().code();
  };
  EXPECT_EQ(ask(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(rig.script.sent.back().content_type, "application/json-patch+json");
  EXPECT_EQ(
      rig.Sent(),
      Object("[{'op':'test','path':'/metadata/uid','value':'u'},{'op':'replace','path':"
             "'/status/membership','value':{'term':'3'}},{'op':'remove','path':'/status/old'}]"));
  EXPECT_EQ(ask(), absl::StatusCode::kAborted);
  EXPECT_EQ(ask(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.client.PatchJson(kPods, {"ns", "a"}, "", {{"add", "/x", "{"}}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.script.sent.size(), 3u) << "a value that is no JSON is not sent";
}

TEST(ClientWriteTest, EvictsAndTellsABudget) {
  Rig rig({Answer(201), Answer(429, Refusal(429, "TooManyRequests",
                                            "{'causes':[{'reason':'DisruptionBudget'}]}"))});
  ASSERT_TRUE(rig.client.Evict({"ns", "p"}, {"u", 5, Propagation::kDefault}).ok());
  EXPECT_EQ(rig.Target(), "/api/v1/namespaces/ns/pods/p/eviction");
  EXPECT_EQ(rig.Sent()["deleteOptions"]["preconditions"]["uid"], "u");
  EXPECT_EQ(rig.Sent()["apiVersion"], "policy/v1");
  const absl::Status refused = rig.client.Evict({"ns", "p"}, {});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(IsBudgetRefusal(*ApiErrorOf(refused)));
}

TEST(ClientWriteTest, ReviewsATokenAndNeverShowsIt) {
  Rig rig({Answer(201,
                  "{'status':{'authenticated':true,'audiences':['muster'],'user':{'username':'n',"
                  "'uid':'u','extra':{'authentication.kubernetes.io/pod-uid':['pu']}}}}"),
           Answer(201, "{'status':{'error':'expired'}}"), Answer(403, Refusal(403, "Forbidden"))});
  const auto good = rig.client.ReviewToken("hush", {"muster"});
  ASSERT_TRUE(good.ok());
  EXPECT_TRUE(good->authenticated);
  EXPECT_EQ(good->username, "n");
  EXPECT_EQ(good->uid, "u");
  EXPECT_EQ(good->audiences, std::vector<std::string>{"muster"});
  EXPECT_EQ(good->extra.at("authentication.kubernetes.io/pod-uid"), std::vector<std::string>{"pu"});
  EXPECT_EQ(rig.Sent()["spec"], Object("{'token':'hush','audiences':['muster']}"));
  const auto bad = rig.client.ReviewToken("hush", {});
  EXPECT_FALSE(bad->authenticated);
  EXPECT_EQ(bad->error, "expired");
  const auto refused = rig.client.ReviewToken("hush", {});
  EXPECT_EQ(base::Message(refused.status()).find("hush"), std::string::npos);
}

TEST(ClientWriteTest, AnEventIsCutAtAKilobyteAndPostedOnce) {
  EventNote note;
  note.ns = "ns";
  note.name = "j.1";
  note.type = "Warning";
  note.reason = "Evicted";
  note.action = "Evict";
  for (int i = 0; i < 1000; ++i) note.note += "\xC3\xA9";
  note.reporting_controller = "muster.dev/operator";
  note.reporting_instance = "pod-a";
  note.time = base::WallTime(milliseconds(1500));
  note.regarding = {"muster.dev/v1alpha1", "TrainingJob", {"ns", "j"}, "ju"};
  const Json body = Json::parse(EventBody(note));
  EXPECT_LE(body["note"].get<std::string>().size(), 1024u);
  EXPECT_GE(body["note"].get<std::string>().size(), 1020u);
  EXPECT_EQ(body["eventTime"], "1970-01-01T00:00:01.500000Z");
  EXPECT_EQ(body["regarding"], Object("{'apiVersion':'muster.dev/v1alpha1','kind':'TrainingJob',"
                                      "'namespace':'ns','name':'j','uid':'ju'}"));
  EXPECT_EQ(body["metadata"], Object("{'name':'j.1','namespace':'ns'}"));
  EXPECT_EQ(body["reportingInstance"], "pod-a");
  Rig rig({Answer(409, Refusal(409, "AlreadyExists")), Answer(403, Refusal(403, "Forbidden"))});
  EXPECT_TRUE(rig.client.PostEvent(note).ok());
  EXPECT_EQ(rig.Target(), "/apis/events.k8s.io/v1/namespaces/ns/events?fieldManager=muster");
  EXPECT_EQ(rig.client.PostEvent(note).code(), absl::StatusCode::kPermissionDenied);
}

}  // namespace
}  // namespace muster::kube
