// Tiled products against loops in double, for all transpositions, and equal bits for 1 and 3
// threads.
#include "worker/kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "operator/base/rng.h"

namespace muster::kernels {
namespace {

struct Shape {
  std::int64_t m, n, k;
};

class GemmTest : public testing::TestWithParam<Shape> {};

TEST_P(GemmTest, AgreesWithLoopsAndDoesNotDependOnThreads) {
  const auto [m, n, k] = GetParam();
  base::SplitMix random(static_cast<std::uint64_t>(m * n + k));
  const auto matrix = [&](std::int64_t size) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (float& v : values) v = static_cast<float>(2 * random.Uniform() - 1);
    return values;
  };
  const std::vector<float> a = matrix(m * k), b = matrix(k * n), before = matrix(m * n);
  for (int form = 0; form < 8; ++form) {
    const bool ta = form & 1, tb = form & 2, accumulate = form & 4;
    const auto run = [&](int threads) {
      Pool pool(threads);
      std::vector<float> c = before;
      Gemm(pool, {.m = m,
                  .n = n,
                  .k = k,
                  .a = {a.data(), ta ? m : k, ta ? Transpose::kYes : Transpose::kNo},
                  .b = {b.data(), tb ? k : n, tb ? Transpose::kYes : Transpose::kNo},
                  .c = c.data(),
                  .stride = n,
                  .accumulate = accumulate});
      return c;
    };
    const std::vector<float> c = run(1);
    EXPECT_EQ(c, run(3));
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < n; j += 3) {
        double sum = accumulate ? before[i * n + j] : 0.0;
        for (std::int64_t l = 0; l < k; ++l) {
          sum += static_cast<double>(a[ta ? l * m + i : i * k + l]) * b[tb ? j * k + l : l * n + j];
        }
        ASSERT_NEAR(c[i * n + j], sum, 1e-6 * static_cast<double>(k + 4)) << form;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, GemmTest,
                         testing::Values(Shape{1, 1, 1}, Shape{5, 3, 2}, Shape{64, 64, 64},
                                         Shape{769, 17, 33}, Shape{20, 1537, 10},
                                         Shape{390, 600, 19}));

TEST(GemmTest, TheGridCoversTheResultOnce) {
  for (const auto& [m, n] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {384, 384}, {770, 2304}, {3, 513}}) {
    const Grid grid = MakeGrid(m, n);
    std::vector<int> seen(static_cast<std::size_t>(m * n), 0);
    for (std::int64_t i = 0; i < grid.count(); ++i) {
      const Tile t = grid.at(i);
      for (std::int64_t r = t.row; r < t.row + t.rows; ++r) {
        for (std::int64_t c = t.column; c < t.column + t.columns; ++c) ++seen[r * n + c];
      }
    }
    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
  }
}

}  // namespace
}  // namespace muster::kernels
