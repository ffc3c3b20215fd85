// A reign and the audit file that it shares with whoever takes over.
#include <gtest/gtest.h>

#include <fstream>

#include "tests/operator/app/played_reign.h"
#include "tests/operator/local/scratch.h"

namespace muster::app {
namespace {

using std::chrono::milliseconds;

class ReignAuditTest : public PlayedReign {
 protected:
  ReignAuditTest() {
    job_.spec.workers.replicas = job_.spec.workers.max_replicas = 1;
    auto audit = AuditLog::Open(path_);
    EXPECT_TRUE(audit.ok());
    audit_ = std::move(*audit);
    reign_ = MakeListening();
    for (const job::CreatePod& created : std::vector(environment_.creates)) {
      reign_->Take(Running(created));
    }
  }

  void Say(api::MemberMessage message) {
    reign_->Take(Input(membership::Event(membership::Received{1, {{}, std::move(message)}})));
  }
  template <typename Message>
  const Message* LastSent() const {
    const Message* last = nullptr;
    for (const api::FromCoordinator& sent : environment_.sent) {
      if (const auto* message = std::get_if<Message>(&sent.message)) last = message;
    }
    return last;
  }
  // The one member comes, and its view is in force.
  void Join() {
    api::Hello hello;
    hello.job_uid = job_.uid;
    hello.token = "token";
    hello.member = {0, 0};
    hello.kernel_families = {"Haswell"};
    Say(hello);
    Say(api::Warm{"host:7000", "Haswell", "data", 10, 2.1});
    std::size_t answered = 1;
    for (int i = 0; i < 100 && LastSent<api::InstallView>() == nullptr; ++i) {
      clock_.Advance(milliseconds(20));
      reign_->Turn();
      for (; answered < environment_.persists.size(); ++answered) {
        reign_->Take(Answer(api::PersistOutcome::kOk));
      }
    }
    ASSERT_NE(LastSent<api::InstallView>(), nullptr);
    Say(api::Installed{Epoch(), base::Step(1), 0, 0.01, 0.02});
  }
  void Commit(std::int64_t step) {
    api::Committed committed;
    committed.epoch = Epoch();
    committed.step = base::Step(step);
    committed.tokens = 128;
    committed.slots_computed = 16;
    Say(committed);
    clock_.Advance(milliseconds(20));
    reign_->Turn();
  }
  base::Epoch Epoch() const { return LastSent<api::InstallView>()->view.epoch; }
  base::Step Acknowledged() const {
    const auto* ack = LastSent<api::CommitAck>();
    return ack == nullptr ? base::Step() : ack->step;
  }

  const local::Scratch scratch_;
  const std::string path_ = scratch_.path() + "/audit.jsonl";
  std::unique_ptr<Reign> reign_;
};

// A coordinator that was frozen and has a successor must acknowledge nothing that is not in the audit.
TEST_F(ReignAuditTest, WhoeverFindsAnothersLinesReignsNoLongerAndAcknowledgesNothing) {
  Join();
  Commit(1);
  ASSERT_EQ(Acknowledged(), base::Step(1));
  ASSERT_FALSE(reign_->ended());
  std::ofstream(path_, std::ios::app) << "{\"step\":2}\n";  // the successor's
  Commit(2);
  ASSERT_TRUE(reign_->ended());
  EXPECT_TRUE(absl::IsAborted(*reign_->ended()));
  EXPECT_EQ(Acknowledged(), base::Step(1));
}

}  // namespace
}  // namespace muster::app
