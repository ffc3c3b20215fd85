#include "worker/app/lane.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace muster::app {
namespace {

using std::chrono::milliseconds;

// Found as sums with a received state in them: a reduction overtook the order to empty them.
TEST(LaneTest, ATaskBehindAnotherLaneDoesNotOvertakeWhatThatOneWasGiven) {
  Lane communicator("communicator"), training("training");
  std::promise<void> go;
  std::atomic<bool> emptied{false}, seen{false};
  training.Post([&, may = go.get_future().share()] {
    may.wait();
    emptied = true;
  });
  PostBehind(training, communicator, [&] { seen = emptied.load(); });
  EXPECT_TRUE(communicator.WaitIdle(milliseconds(5000)));
  EXPECT_FALSE(seen) << "the communicator was free, and waits all the same";
  go.set_value();
  EXPECT_TRUE(training.WaitIdle(milliseconds(5000)));
  EXPECT_TRUE(communicator.WaitIdle(milliseconds(5000)));
  EXPECT_TRUE(seen);
}

TEST(LaneTest, WhoRunsSomethingOnAnotherLaneWaitsUntilItHasRunOrNeverWill) {
  Lane communicator("communicator"), training("training");
  int ran = 0;
  std::promise<void> done;
  training.Post([&] {
    RunOn(communicator, [&] { ++ran; });
    done.set_value();
  });
  done.get_future().wait();
  EXPECT_EQ(ran, 1);
  // Behind a task that goes on, on a lane that stops.
  std::promise<void> go, begun, dropped;
  communicator.Post([&, may = go.get_future().share()] {
    begun.set_value();
    may.wait();
  });
  begun.get_future().wait();
  training.Post([&] {
    RunOn(communicator, [&] { ++ran; });
    dropped.set_value();
  });
  std::thread stop([&] { communicator.Stop(); });
  const auto told = dropped.get_future();
  // Whichever comes first, the task or the stop, it is dropped.
  EXPECT_EQ(told.wait_for(milliseconds(5000)), std::future_status::ready);
  go.set_value();
  stop.join();
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace muster::app
