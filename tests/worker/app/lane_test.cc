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

}  // namespace
}  // namespace muster::app
