// Embedding, norms, sums of columns and the head's loss on the emulator, against double.
#include <cuda_runtime.h>

#include "tests/worker/cuda/on_device.h"
#include "worker/cuda/gelu.h"
#include "worker/cuda/kernels_gpt.h"
#include "worker/cuda/token_order.h"

namespace muster::cuda {
namespace {

class CudaGptKernelsTest : public testing::Test {
 protected:
  ~CudaGptKernelsTest() override {
    EXPECT_EQ(simt::TakeBreaches(), std::vector<std::string>());
    simt::Configure({});
  }
};

Dropout SomeDropout() { return MakeDropout(5, 6, 7, 3, 0.25); }

std::vector<float> Dropped(std::vector<float> x, const Dropout& dropout) {
  for (std::size_t i = 0; i < x.size(); i += 4) {
    Drop4(dropout, static_cast<std::int64_t>(i), x.data() + i);
  }
  return x;
}

TEST_F(CudaGptKernelsTest, ElementsAreDoneForEveryCount) {
  for (const std::size_t count : {4, 1024, 1028, 20480}) {
    const std::vector<float> x = RandomNumbers(count, 1, 5), dy = RandomNumbers(count, 2);
    OnDevice<float> from(x);
    OnDevice<Bf16> copy(count), out(count), d(RoundAll(dy));
    const auto n = static_cast<std::int64_t>(count);
    EXPECT_EQ(LaunchToBf16(nullptr, from.data(), copy.data(), n), cudaSuccess);
    EXPECT_EQ(LaunchGelu(nullptr, copy.data(), out.data(), n), cudaSuccess);
    EXPECT_EQ(LaunchGeluBackward(nullptr, copy.data(), d.data(), n), cudaSuccess);
    const std::vector<float> pre = FloatAll(copy.Read()), y = FloatAll(out.Read());
    const std::vector<float> dx = FloatAll(d.Read());
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(pre[i], Rounded(x[i]));
      ASSERT_EQ(y[i], Rounded(Gelu(pre[i])));
      ASSERT_EQ(dx[i], Rounded(GeluBackward(pre[i], Rounded(dy[i]))));
    }
  }
}

TEST_F(CudaGptKernelsTest, ColumnsAreSummedOverAnyNumberOfRows) {
  for (const std::int64_t rows : {1, 63, 64, 65, 200}) {
    const std::int64_t width = 272;
    const std::vector<Bf16> x = RandomBf16(static_cast<std::size_t>(rows * width), 3);
    OnDevice<Bf16> in(x);
    OnDevice<float> scratch(static_cast<std::size_t>(ColumnScratch(rows, width)));
    OnDevice<float> sum(static_cast<std::size_t>(width));
    EXPECT_EQ(LaunchColumnSum(nullptr, in.data(), rows, width, scratch.data(), sum.data()),
              cudaSuccess);
    std::vector<double> expected(static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < x.size(); ++i) {
      expected[i % static_cast<std::size_t>(width)] += static_cast<double>(ToFloat(x[i]));
    }
    ExpectNear(sum.Read(), expected, 1e-6 * static_cast<double>(rows), 0, "sum");
  }
}

struct EmbeddingCase {
  std::int64_t batch = 3, context = 5, width = 48, vocabulary = 7;
  std::vector<std::int32_t> tokens;
};
EmbeddingCase SomeEmbedding() {
  EmbeddingCase c;
  base::SplitMix random(4);
  for (std::int64_t i = 0; i < c.batch * (c.context + 1); ++i) {
    // Token 3 never comes.
    const auto token = static_cast<std::int32_t>(random.Below(6));
    c.tokens.push_back(token < 3 ? token : token + 1);
  }
  return c;
}
std::size_t TokenOf(const EmbeddingCase& c, std::int64_t row) {
  return static_cast<std::size_t>(
      c.tokens[static_cast<std::size_t>(row / c.context * (c.context + 1) + row % c.context)]);
}

TEST_F(CudaGptKernelsTest, EmbedsTokensAndPositionsWithDropout) {
  const EmbeddingCase c = SomeEmbedding();
  const auto width = static_cast<std::size_t>(c.width);
  const std::vector<float> words = RandomNumbers(7 * width, 5),
                           positions = RandomNumbers(5 * width, 6);
  OnDevice<float> at_words(words), at_positions(positions);
  OnDevice<std::int32_t> tokens(c.tokens);
  OnDevice<Bf16> out(15 * width);
  for (const Dropout& dropout : {Dropout(), SomeDropout()}) {
    Embedding e;
    e.batch = c.batch;
    e.context = c.context;
    e.width = c.width;
    e.tokens = tokens.data();
    e.words = at_words.data();
    e.positions = at_positions.data();
    e.dropout = dropout;
    EXPECT_EQ(LaunchEmbed(nullptr, e, out.data()), cudaSuccess);
    std::vector<float> sum;
    for (std::int64_t row = 0; row < 15; ++row) {
      for (std::size_t i = 0; i < width; ++i) {
        sum.push_back(words[TokenOf(c, row) * width + i] +
                      positions[static_cast<std::size_t>(row % 5) * width + i]);
      }
    }
    EXPECT_EQ(BitsOf(out.Read()), BitsOf(RoundAll(Dropped(sum, dropout))));
  }
}

TEST_F(CudaGptKernelsTest, EmbeddingsGradientsAreAddedInTheOrderOfRows) {
  const EmbeddingCase c = SomeEmbedding();
  const auto width = static_cast<std::size_t>(c.width);
  const std::vector<float> d = RandomNumbers(15 * width, 7), before = RandomNumbers(7 * width, 8);
  TokenOrder sorted;
  sorted.Sort(c.tokens.data(), c.batch, c.context);
  for (const simt::Settings& settings : Orders()) {
    simt::Configure(settings);
    OnDevice<float> in(d), words(before), positions(5 * width);
    OnDevice<std::int32_t> rows(sorted.rows()), starts(sorted.starts()), names(sorted.words());
    Embedding e;
    e.batch = c.batch;
    e.context = c.context;
    e.width = c.width;
    e.dropout = SomeDropout();
    // Blocks to spare do nothing.
    OnDevice<std::int32_t> distinct(
        std::vector<std::int32_t>{static_cast<std::int32_t>(sorted.words().size())});
    const TokenRows order{static_cast<std::int64_t>(sorted.words().size()) + 3, distinct.data(),
                          names.data(), starts.data(), rows.data()};
    EXPECT_EQ(LaunchEmbeddingBackward(nullptr, e, order, in.data(), words.data(), positions.data()),
              cudaSuccess);
    const std::vector<float> passed = Dropped(d, e.dropout);
    std::vector<float> d_words = before, d_positions(5 * width);
    for (std::int64_t row = 0; row < 15; ++row) {
      for (std::size_t i = 0; i < width; ++i) {
        const float x = passed[static_cast<std::size_t>(row) * width + i];
        d_words[TokenOf(c, row) * width + i] += x;
        d_positions[static_cast<std::size_t>(row % 5) * width + i] += x;
      }
    }
    EXPECT_EQ(words.Read(), d_words);
    EXPECT_EQ(positions.Read(), d_positions);
  }
}

// A norm and its way back by definition, over a stream as bfloat16 has it.
struct ReferenceNorm {
  std::vector<double> y, mean, rstd, dx, d_gain, d_bias;
};
ReferenceNorm NormOf(std::int64_t rows, std::int64_t width, const std::vector<float>& x,
                     const std::vector<float>& gain, const std::vector<float>& bias,
                     const std::vector<float>& dy) {
  const auto w = static_cast<std::size_t>(width);
  ReferenceNorm n;
  n.d_gain.resize(w);
  n.d_bias.resize(w);
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
    double mean = 0, variance = 0, a = 0, b = 0;
    for (std::size_t i = 0; i < w; ++i) mean += x[r * w + i] / static_cast<double>(w);
    for (std::size_t i = 0; i < w; ++i) {
      variance += (x[r * w + i] - mean) * (x[r * w + i] - mean) / static_cast<double>(w);
    }
    const double rstd = 1 / std::sqrt(variance + 1e-5);
    n.mean.push_back(mean);
    n.rstd.push_back(rstd);
    for (std::size_t i = 0; i < w; ++i) {
      const double normal = (x[r * w + i] - mean) * rstd, d = dy[r * w + i];
      n.y.push_back(normal * gain[i] + bias[i]);
      a += d * gain[i] / static_cast<double>(w);
      b += d * gain[i] * normal / static_cast<double>(w);
      n.d_gain[i] += d * normal;
      n.d_bias[i] += d;
    }
    for (std::size_t i = 0; i < w; ++i) {
      const double normal = (x[r * w + i] - mean) * rstd;
      n.dx.push_back((dy[r * w + i] * static_cast<double>(gain[i]) - a - normal * b) * rstd);
    }
  }
  return n;
}

struct NormOnDevice {
  NormOnDevice(std::int64_t rows, std::int64_t width)
      : size(static_cast<std::size_t>(rows * width)),
        residual(RandomBf16(size, 41, 2)),
        branch(RandomBf16(size, 42)),
        stream(size),
        y(size),
        again(size),
        gain(RandomNumbers(static_cast<std::size_t>(width), 43)),
        bias(RandomNumbers(static_cast<std::size_t>(width), 44)),
        mean(static_cast<std::size_t>(rows)),
        rstd(static_cast<std::size_t>(rows)) {
    n.rows = rows;
    n.width = width;
    n.residual = residual.data();
    n.branch = branch.data();
    n.stream = stream.data();
    n.gain = gain.data();
    n.bias = bias.data();
    n.y = y.data();
    n.mean = mean.data();
    n.rstd = rstd.data();
    n.dropout = SomeDropout();
  }
  std::size_t size;
  OnDevice<Bf16> residual, branch, stream, y, again;
  OnDevice<float> gain, bias, mean, rstd;
  FusedNorm n;
};

void CompareNorm(std::int64_t rows, std::int64_t width, bool with_branch) {
  SCOPED_TRACE(testing::Message() << rows << " x " << width << (with_branch ? " branch" : ""));
  NormOnDevice on(rows, width);
  if (!with_branch) on.n.branch = nullptr;
  EXPECT_EQ(LaunchFusedNorm(nullptr, on.n), cudaSuccess);
  std::vector<float> x = FloatAll(on.residual.Read());
  if (with_branch) {
    const std::vector<float> added = Dropped(FloatAll(on.branch.Read()), on.n.dropout);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = Rounded(x[i] + added[i]);
    EXPECT_EQ(FloatAll(on.stream.Read()), x);
  }
  const std::vector<float> dy = FloatAll(RandomBf16(on.size, 45));
  const ReferenceNorm expected = NormOf(rows, width, x, on.gain.Read(), on.bias.Read(), dy);
  ExpectNear(on.mean.Read(), expected.mean, 1e-5, 0, "mean");
  ExpectNear(on.rstd.Read(), expected.rstd, 0, 1e-5, "rstd");
  ExpectNear(FloatAll(on.y.Read()), expected.y, 1e-4, kBf16, "y");

  FusedNorm again = on.n;
  OnDevice<Bf16> kept(RoundAll(x));
  again.residual = kept.data();
  again.branch = nullptr;
  again.y = on.again.data();
  EXPECT_EQ(LaunchNormAgain(nullptr, again), cudaSuccess);
  EXPECT_EQ(BitsOf(on.again.Read()), BitsOf(on.y.Read()));

  for (const bool accumulate : {false, true}) {
    const std::vector<float> before = RandomNumbers(on.size, 46);
    OnDevice<float> d_stream(before), d_gain(static_cast<std::size_t>(width));
    OnDevice<float> d_bias(static_cast<std::size_t>(width));
    OnDevice<float> scratch(static_cast<std::size_t>(2 * ColumnScratch(rows, width)));
    OnDevice<Bf16> d_y(RoundAll(dy)), d_branch(on.size);
    FusedNormBackward back;
    back.rows = rows;
    back.width = width;
    back.x = kept.data();
    back.gain = on.n.gain;
    back.mean = on.n.mean;
    back.rstd = on.n.rstd;
    back.dy = d_y.data();
    back.d_stream = d_stream.data();
    back.accumulate = accumulate;
    back.d_branch = with_branch ? d_branch.data() : nullptr;
    back.dropout = SomeDropout();
    back.d_gain = d_gain.data();
    back.d_bias = d_bias.data();
    back.scratch = scratch.data();
    EXPECT_EQ(LaunchFusedNormBackward(nullptr, back), cudaSuccess);
    std::vector<double> dx = expected.dx;
    for (std::size_t i = 0; accumulate && i < dx.size(); ++i) dx[i] += before[i];
    ExpectNear(d_stream.Read(), dx, 1e-4, 1e-5, "d_stream");
    if (with_branch) {
      EXPECT_EQ(BitsOf(d_branch.Read()), BitsOf(RoundAll(Dropped(d_stream.Read(), back.dropout))));
    }
    ExpectNear(d_gain.Read(), expected.d_gain, 1e-5 * static_cast<double>(rows), 1e-5, "d_gain");
    ExpectNear(d_bias.Read(), expected.d_bias, 1e-5 * static_cast<double>(rows), 1e-5, "d_bias");
  }
}

TEST_F(CudaGptKernelsTest, NormsForwardAndBackForAllShapes) {
  for (const std::int64_t width : {16, 32, 48, 128, 144, 768}) {
    for (const std::int64_t rows : {1, 5, 66}) {
      if (width == 768 && rows == 66) continue;
      CompareNorm(rows, width, true);
    }
    CompareNorm(3, width, false);
  }
}

TEST_F(CudaGptKernelsTest, NormsHaveTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  std::vector<std::vector<std::uint64_t>> bits;
  for (const simt::Settings& settings : Orders()) {
    simt::Configure(settings);
    NormOnDevice on(9, 160);
    EXPECT_EQ(LaunchFusedNorm(nullptr, on.n), cudaSuccess);
    bits.push_back(BitsOf(on.y.Read()));
  }
  EXPECT_EQ(bits[1], bits[0]);
  EXPECT_EQ(bits[2], bits[0]);
}

void CompareHead(std::int64_t vocabulary, float scale) {
  SCOPED_TRACE(testing::Message() << vocabulary << " x " << scale);
  const std::int64_t rows = 6, first = 2, stride = (vocabulary + 15) / 16 * 16;
  std::vector<std::int32_t> tokens;
  base::SplitMix random(51);
  for (int i = 0; i < 2 * 5; ++i) {
    tokens.push_back(
        static_cast<std::int32_t>(random.Below(static_cast<std::uint64_t>(vocabulary))));
  }
  const std::vector<Bf16> logits = RandomBf16(static_cast<std::size_t>(rows * stride), 52, 9);
  OnDevice<Bf16> on(logits);
  OnDevice<std::int32_t> at_tokens(tokens);
  OnDevice<double> losses(8), sum(1);
  HeadLoss h;
  h.first_row = first;
  h.rows = rows;
  h.vocabulary = vocabulary;
  h.stride = stride;
  h.context = 4;
  h.tokens = at_tokens.data();
  h.logits = on.data();
  h.scale = scale;
  h.losses = losses.data();
  EXPECT_EQ(LaunchHeadLoss(nullptr, h), cudaSuccess);
  EXPECT_EQ(LaunchLossSum(nullptr, losses.data(), 8, sum.data()), cudaSuccess);
  const std::vector<double> told = losses.Read();
  const std::vector<float> d = FloatAll(on.Read());
  if (scale == 0) {
    EXPECT_EQ(BitsOf(on.Read()), BitsOf(logits));
  }
  double total = told[0] + told[1];
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t row = first + r;
    const auto target =
        static_cast<std::int64_t>(tokens[static_cast<std::size_t>(row / 4 * 5 + row % 4 + 1)]);
    const auto logit = [&](std::int64_t i) {
      return static_cast<double>(ToFloat(logits[static_cast<std::size_t>(r * stride + i)]));
    };
    double exponentials = 0;
    for (std::int64_t i = 0; i < vocabulary; ++i) exponentials += std::exp(logit(i));
    const auto at = static_cast<std::size_t>(row);
    EXPECT_NEAR(told[at], std::log(exponentials) - logit(target), 1e-5);
    total += told[at];
    for (std::int64_t i = 0; scale != 0 && i < stride; ++i) {
      const double p = i < vocabulary ? std::exp(logit(i)) / exponentials : 0;
      const double expected = static_cast<double>(scale) * (p - (i == target ? 1 : 0));
      EXPECT_NEAR(d[static_cast<std::size_t>(r * stride + i)], expected,
                  std::fabs(expected) * kBf16 + 1e-6 * static_cast<double>(scale));
    }
  }
  EXPECT_EQ(sum.Read()[0], total);
}

TEST_F(CudaGptKernelsTest, LossesAndTheirGradientsForAllVocabularies) {
  for (const std::int64_t vocabulary : {2, 16, 61, 256, 300}) {
    for (const float scale : {0.0f, 0.125f}) CompareHead(vocabulary, scale);
  }
}

TEST_F(CudaGptKernelsTest, LossesAreAddedInTheOrderOfRows) {
  // In another order their sum would be another.
  std::vector<double> losses;
  for (int i = 0; i < 600; ++i)
    losses.push_back((i % 3 == 0 ? 1e16 : 1.25) * (i % 2 == 0 ? 1 : -1));
  OnDevice<double> in(losses), sum(1);
  for (const std::int64_t rows : {0, 1, 255, 256, 257, 600}) {
    EXPECT_EQ(LaunchLossSum(nullptr, in.data(), rows, sum.data()), cudaSuccess);
    double total = 0;
    for (std::int64_t i = 0; i < rows; ++i) total += losses[static_cast<std::size_t>(i)];
    EXPECT_EQ(sum.Read()[0], total) << rows;
  }
}

}  // namespace
}  // namespace muster::cuda
