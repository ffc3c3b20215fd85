// The election's shell: threads, the right to write, and the series.
#include "operator/kube/elector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/runtime/mutex.h"

namespace muster::kube {
namespace {

using runtime::BoundedQueue;
using runtime::WhenFull;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

base::Time Soon() { return runtime::RealClock().Now() + seconds(30); }

// One Lease that all stores of a test share.
struct SharedLease {
  runtime::Mutex mutex;
  api::Lease lease MUSTER_GUARDED_BY(mutex);
  int version MUSTER_GUARDED_BY(mutex) = 0;
  bool down MUSTER_GUARDED_BY(mutex) = false;

  void SetDown(bool value) {
    runtime::MutexLock lock(mutex);
    down = value;
  }
  std::string Holder() {
    runtime::MutexLock lock(mutex);
    return lease.holder;
  }
};

class MemoryLeaseStore final : public LeaseStore {
 public:
  explicit MemoryLeaseStore(SharedLease& shared) : shared_(shared) {}
  absl::StatusOr<std::optional<api::Lease>> Read(base::Duration) override {
    runtime::MutexLock lock(shared_.mutex);
    if (shared_.down) return base::Unavailable("down");
    if (shared_.version == 0) return std::optional<api::Lease>();
    return std::optional<api::Lease>(shared_.lease);
  }
  absl::StatusOr<api::Lease> Write(const api::Lease& lease, base::Duration) override {
    runtime::MutexLock lock(shared_.mutex);
    if (shared_.down) return base::Unavailable("down");
    if (lease.resource_version != shared_.lease.resource_version) return base::Aborted("409");
    shared_.lease = lease;
    shared_.lease.resource_version = std::to_string(++shared_.version);
    return shared_.lease;
  }

 private:
  SharedLease& shared_;
};

class ElectorTest : public testing::Test {
 protected:
  // Short times: each wait below ends with an event and has a deadline far behind it.
  std::unique_ptr<Elector> Make(const std::string& identity) {
    Elector::Options options;
    options.config.identity = identity;
    options.config.lease_duration = milliseconds(500);
    options.config.renew_deadline = milliseconds(300);
    options.config.retry_period = milliseconds(50);
    options.config.request_timeout = milliseconds(100);
    options.name = "muster";
    options.on_started = [this, identity] { said_.Push(identity + " starts"); };
    options.on_stopped = [this, identity](const std::string& reason) {
      // What the right to write covers has to be over before the lease is.
      said_.Push(identity + " stops, holder " + shared_.Holder() + ": " + reason);
    };
    return *Elector::Create(std::move(options), std::make_unique<MemoryLeaseStore>(shared_),
                            &metrics_);
  }
  std::string Said() { return said_.PopUntil(Soon()).value_or("nothing"); }

  runtime::Metrics metrics_;
  SharedLease shared_;
  BoundedQueue<std::string> said_{64, WhenFull::kBlock};
};

TEST_F(ElectorTest, OneLeadsAndReleasesWhenItIsStoppedAndTheOtherTakesOver) {
  auto a = Make("a");
  EXPECT_EQ(Said(), "a starts");
  EXPECT_TRUE(a->MayWrite());
  EXPECT_THAT(metrics_.Text(), HasSubstr("leader_election_master_status{name=\"muster\"} 1\n"));
  auto b = Make("b");
  a->Stop();
  EXPECT_EQ(Said(), "a stops, holder a: asked to stop");
  EXPECT_FALSE(a->MayWrite());
  EXPECT_EQ(Said(), "b starts");
  EXPECT_TRUE(b->MayWrite());
  EXPECT_FALSE(a->MayWrite());
  b->Stop();
  EXPECT_EQ(shared_.Holder(), "");
  EXPECT_THAT(metrics_.Text(), HasSubstr("leader_election_master_status{name=\"muster\"} 0\n"));
}

TEST_F(ElectorTest, ALeaderThatCannotRenewLosesTheRightAndGetsItBack) {
  auto a = Make("a");
  EXPECT_EQ(Said(), "a starts");
  shared_.SetDown(true);
  EXPECT_THAT(Said(), HasSubstr("a stops, holder a: the lease was not renewed within 500ms"));
  EXPECT_FALSE(a->MayWrite());
  shared_.SetDown(false);
  EXPECT_EQ(Said(), "a starts");
  EXPECT_TRUE(a->MayWrite());
}

TEST_F(ElectorTest, AWrongOrderOfTimeoutsIsRefused) {
  Elector::Options options;
  options.config.identity = "a";
  options.config.renew_deadline = seconds(9);
  const auto made =
      Elector::Create(std::move(options), std::make_unique<MemoryLeaseStore>(shared_), nullptr);
  EXPECT_THAT(made.status().ToString(), HasSubstr("renewDeadline is 9s"));
}

}  // namespace
}  // namespace muster::kube
