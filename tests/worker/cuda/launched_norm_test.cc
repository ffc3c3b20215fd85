// LayerNorm as launched, forward and backward: the bits of worker/kernels.
#include "tests/worker/cuda/edges.h"
#include "tests/worker/cuda/launched.h"
#include "worker/kernels/table.h"

namespace muster::cuda {
namespace {

const kernels::Kernels& PlainRows() { return *kernels::SupportedKernels().front(); }

struct Case {
  std::int64_t rows = 0, width = 0;
  bool with_branch = false, edges = false;
};

std::vector<float> Values(std::int64_t count, std::uint64_t seed, bool edges) {
  std::vector<float> values = RandomFloats(static_cast<std::size_t>(count), seed, false);
  const std::vector<float> edge = EdgeFloats();
  for (std::size_t i = 0; edges && i < values.size(); i += 3) {
    values[i] = edge[(i * 7 + seed * 31) % edge.size()];
  }
  return values;
}

// What goes in, and what the CPU's plain kernels make of it.
struct OnCpu {
  explicit OnCpu(const Case& c)
      : stream(Values(c.rows * c.width, 1, c.edges)),
        branch(Values(c.rows * c.width, 2, c.edges)),
        gain(Values(c.width, 3, false)),
        bias(Values(c.width, 4, false)),
        dy(Values(c.rows * c.width, 5, c.edges)),
        dx(Values(c.rows * c.width, 6, c.edges)),
        y(stream.size()),
        mean(static_cast<std::size_t>(c.rows)),
        rstd(mean.size()),
        dgain(gain.size()),
        dbias(gain.size()) {}

  void Forward(const Case& c) {
    for (std::int64_t row = 0; row < c.rows; ++row) {
      float* const x = stream.data() + row * c.width;
      if (c.with_branch) PlainRows().add(branch.data() + row * c.width, x, c.width);
      PlainRows().layer_norm(x, gain.data(), bias.data(), y.data() + row * c.width,
                             mean.data() + row, rstd.data() + row, c.width);
    }
  }
  void Backward(const Case& c) {
    for (std::int64_t row = 0; row < c.rows; ++row) {
      const auto at = static_cast<std::size_t>(row);
      PlainRows().layer_norm_backward(stream.data() + row * c.width, gain.data(),
                                      dy.data() + row * c.width, mean[at], rstd[at],
                                      dx.data() + row * c.width, c.width);
    }
    PlainRows().layer_norm_columns(stream.data(), dy.data(), c.width, mean.data(), rstd.data(),
                                   c.rows, dgain.data(), dbias.data(), c.width);
  }

  std::vector<float> stream, branch, gain, bias, dy, dx, y, mean, rstd, dgain, dbias;
};

class LaunchedNormTest : public LaunchedTest {
 protected:
  void Compare(const Case& c) {
    OnCpu cpu(c);
    const MusterCudaNorm norm = {
        c.rows,       c.width,      Up(cpu.stream), c.with_branch ? Up(cpu.branch) : nullptr,
        Up(cpu.gain), Up(cpu.bias), Up(cpu.y),      Up(cpu.mean),
        Up(cpu.rstd), Up(cpu.dy),   Up(cpu.dx),     Up(cpu.dgain),
        Up(cpu.dbias)};
    cpu.Forward(c);
    ASSERT_EQ(module().norm_forward(context(), &norm, message()), 0) << text();
    ExpectSame(norm.stream, cpu.stream, "stream", c);
    ExpectSame(norm.y, cpu.y, "y", c);
    ExpectSame(norm.mean, cpu.mean, "mean", c);
    ExpectSame(norm.rstd, cpu.rstd, "rstd", c);
    cpu.Backward(c);
    ASSERT_EQ(module().norm_backward(context(), &norm, message()), 0) << text();
    ExpectSame(norm.dx, cpu.dx, "dx", c);
    ExpectSame(norm.dgain, cpu.dgain, "dgain", c);
    ExpectSame(norm.dbias, cpu.dbias, "dbias", c);
    Release();
  }

  void ExpectSame(const float* device, const std::vector<float>& cpu, const char* what,
                  const Case& c) {
    EXPECT_EQ(BitsOf(Down(device, cpu.size())), BitsOf(cpu))
        << what << " of " << c.rows << " rows of " << c.width;
  }
};

// A block does 16 rows, and a block of columns 256.
TEST_F(LaunchedNormTest, RowsOfEveryShapeAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::int64_t rows : {1, 2, 15, 16, 17, 33}) {
      for (const std::int64_t width : {1, 3, 15, 16, 17, 100, 257}) {
        Compare({rows, width, rows % 2 == 0, false});
      }
    }
    for (const std::int64_t width : {1023, 1024, 1025, 2500}) Compare({3, width, true, false});
  }
}

TEST_F(LaunchedNormTest, EdgesAsOnTheCpu) {
  for (const simt::Settings& settings : simt::AllOrders()) {
    simt::Configure(settings);
    for (const std::int64_t width : {1, 2, 100, 1025}) Compare({35, width, true, true});
  }
}

TEST_F(LaunchedNormTest, NoRowsAndNoColumnsAreNothingToDo) {
  const std::int64_t before = simt::CountAll().launches;
  Compare({0, 16, false, false});
  MusterCudaNorm no_columns = {};
  no_columns.rows = 5;
  EXPECT_EQ(module().norm_forward(context(), &no_columns, message()), 0);
  EXPECT_EQ(module().norm_backward(context(), &no_columns, message()), 0);
  EXPECT_EQ(simt::CountAll().launches, before);
}

}  // namespace
}  // namespace muster::cuda
