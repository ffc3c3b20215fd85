#include "worker/kernels/parallel.h"

#include <gtest/gtest.h>

namespace muster::kernels {
namespace {

TEST(ParallelTest, RunsEachTileOnceForEveryCountOfThreads) {
  for (int threads : {1, 2, 5}) {
    Pool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (std::int64_t tiles : {0, 1, 2, 3, 100}) {
      for (int again = 0; again < 200; ++again) {
        std::vector<std::int64_t> runs(static_cast<std::size_t>(tiles), 0);
        pool.For(tiles, [&](std::int64_t i) { runs[static_cast<std::size_t>(i)] += i + 1; });
        for (std::int64_t i = 0; i < tiles; ++i) {
          ASSERT_EQ(runs[static_cast<std::size_t>(i)], i + 1);
        }
      }
    }
  }
}

TEST(ParallelTest, APoolThatNeverWorkedEnds) {
  for (int i = 0; i < 100; ++i) Pool pool(3);
}

}  // namespace
}  // namespace muster::kernels
