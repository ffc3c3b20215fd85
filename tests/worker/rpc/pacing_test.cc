// The parts of the client that need no socket: pauses between attempts, and the bounded inbox.
#include "gtest/gtest.h"
#include "worker/rpc/backoff.h"
#include "worker/rpc/inbox.h"

namespace muster::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(BackoffTest, DoublesToItsCapWithChanceInTheUpperHalf) {
  struct Case {
    int failures;
    base::Duration without;
    milliseconds whole;
  };
  const Case cases[] = {
      {0, seconds(0), milliseconds(20)},     {1, seconds(0), milliseconds(40)},
      {3, seconds(9), milliseconds(160)},    {4, seconds(9), milliseconds(200)},
      {1000, seconds(9), milliseconds(200)}, {5, seconds(10), milliseconds(500)},
      {6, seconds(60), milliseconds(500)},   {1000, seconds(60), milliseconds(500)},
  };
  base::SplitMix chance(7);
  for (const Case& c : cases) {
    base::Duration least = base::Duration::max();
    base::Duration most{0};
    for (int i = 0; i < 200; ++i) {
      const base::Duration delay = RetryDelay(c.failures, c.without, &chance);
      least = std::min(least, delay);
      most = std::max(most, delay);
    }
    EXPECT_GE(least, c.whole / 2) << c.failures;
    EXPECT_LT(most, c.whole) << c.failures;
    EXPECT_GT(most - least, c.whole / 4) << "members would come back in step";
  }
}

api::FromCoordinator Message(std::uint64_t n) { return {{}, api::BeatAck{n}}; }

TEST(InboxTest, TellsAStreamInOrder) {
  Inbox inbox(2);
  inbox.BeginStream();
  EXPECT_FALSE(inbox.full());
  inbox.Add(Message(1));
  EXPECT_TRUE(inbox.full());
  EXPECT_TRUE(std::holds_alternative<StreamUp>(*inbox.Take()));
  EXPECT_EQ(std::get<api::FromCoordinator>(*inbox.Take()), Message(1));
  inbox.EndStream();
  EXPECT_TRUE(std::holds_alternative<StreamDown>(*inbox.Take()));
  EXPECT_FALSE(inbox.Take().has_value());
}

TEST(InboxTest, ForgetsStreamsThatCameAndWentUnheard) {
  Inbox inbox(4);
  inbox.BeginStream();
  ASSERT_TRUE(std::holds_alternative<StreamUp>(*inbox.Take()));
  inbox.Add(Message(1));
  inbox.EndStream();
  for (int i = 0; i < 100; ++i) {
    inbox.BeginStream();
    inbox.Add(Message(2));
    inbox.EndStream();
  }
  inbox.BeginStream();
  EXPECT_EQ(std::get<api::FromCoordinator>(*inbox.Take()), Message(1));
  EXPECT_TRUE(std::holds_alternative<StreamDown>(*inbox.Take()));
  EXPECT_TRUE(std::holds_alternative<StreamUp>(*inbox.Take()));
  EXPECT_FALSE(inbox.Take().has_value());
}

}  // namespace
}  // namespace muster::rpc
