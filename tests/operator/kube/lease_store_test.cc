// The Lease on an API server: the double.
#include "operator/kube/lease_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/kube/api_double.h"
#include "tests/kube/transport.h"

namespace muster::kube {
namespace {

using kubetest::ApiDouble;
using runtime::BoundedQueue;
using runtime::WhenFull;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LeaseStoreTest : public testing::Test {
 protected:
  LeaseStoreTest() {
    Client::Options options;
    options.retry.attempts = 1;
    client_ = std::make_unique<Client>(transport_, options);
  }
  KubeLeaseStore Store() { return {*client_, {"default", "muster"}}; }

  runtime::RealClock clock_;
  ApiDouble api_{{}, clock_};
  kubetest::DoubleTransport transport_{api_};
  std::unique_ptr<Client> client_;
};

TEST_F(LeaseStoreTest, IsCreatedThenReplacedByVersion) {
  KubeLeaseStore store = Store();
  EXPECT_EQ(*store.Read(seconds(5)), std::nullopt);
  api::Lease lease{"me", "", 5, 0};
  auto made = store.Write(lease, seconds(5));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_NE(made->resource_version, "");
  EXPECT_EQ(store.Write(lease, seconds(5)).status().code(), absl::StatusCode::kAlreadyExists);
  api::Lease yours = *made;
  yours.holder = "you";
  ASSERT_TRUE(store.Write(yours, seconds(5)).ok());
  EXPECT_EQ(store.Write(*made, seconds(5)).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ((*store.Read(seconds(5)))->holder, "you");
}

TEST_F(LeaseStoreTest, ADeletedLeaseIsAConflictForItsOldVersion) {
  KubeLeaseStore store = Store();
  auto made = store.Write({"me", "", 5, 0}, seconds(5));
  ASSERT_TRUE(made.ok()) << made.status();
  api_.Remove("leases", "default", "muster");
  const absl::StatusCode code = store.Write(*made, seconds(5)).status().code();
  EXPECT_TRUE(code == absl::StatusCode::kAborted || code == absl::StatusCode::kNotFound) << code;
  EXPECT_FALSE(api_.Find("leases", "default", "muster"));
}

// Two electors, an API server that loses answers and refuses, and a leader that is told to stop.
TEST_F(LeaseStoreTest, TwoElectorsHandOverThroughIt) {
  BoundedQueue<std::string> said(64, WhenFull::kBlock);
  const auto make = [&](const std::string& identity) {
    Elector::Options options;
    options.config.identity = identity;
    options.config.lease_duration = seconds(10);
    options.config.renew_deadline = seconds(8);
    options.config.retry_period = milliseconds(50);
    options.config.request_timeout = milliseconds(500);
    options.name = "muster";
    options.on_started = [&said, identity] { said.Push(identity + " starts"); };
    options.on_stopped = [&said, identity](const std::string&) { said.Push(identity + " stops"); };
    return *Elector::Create(
        std::move(options),
        std::make_unique<KubeLeaseStore>(*client_, ObjectKey{"default", "muster"}), nullptr);
  };
  const auto heard = [&said] {
    return said.PopUntil(runtime::RealClock().Now() + seconds(30)).value_or("nothing");
  };
  auto a = make("a");
  EXPECT_EQ(heard(), "a starts");
  auto b = make("b");
  const int lost = api_.AddFault({.verb = "update", .times = 2, .action = kubetest::LoseAnswer{}});
  while (api_.FaultCount(lost) < 2) std::this_thread::yield();
  EXPECT_TRUE(a->MayWrite()) << "two lost answers cost no leadership";
  a->Stop();
  EXPECT_EQ(heard(), "a stops");
  EXPECT_EQ(heard(), "b starts");
  EXPECT_FALSE(a->MayWrite());
  EXPECT_TRUE(b->MayWrite());
  const auto lease = api_.Find("leases", "default", "muster");
  EXPECT_EQ((*lease)["spec"]["holderIdentity"], "b");
  EXPECT_EQ((*lease)["spec"]["leaseTransitions"], 1);
}

}  // namespace
}  // namespace muster::kube
