// Every table against the plain twin, bit for bit, on every class of values, length and alignment.

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "operator/base/rng.h"
#include "worker/exact/fixed_point.h"

namespace muster::exact {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> Edges() {
  return {0.0f,
          -0.0f,
          std::numeric_limits<float>::denorm_min(),
          -std::numeric_limits<float>::denorm_min(),
          0x1.fffffcp-127f,
          std::numeric_limits<float>::min(),
          0x1p-45f,  // half a step: a tie to even 0
          -0x1p-45f,
          0x3p-45f,  // one and a half: a tie to even 2
          0x5p-45f,
          -0x3p-45f,
          0x1.000002p-45f,  // just above a tie
          0x1p-44f,
          0x800001p-45f,  // a tie with 24 bits
          0x1p7f,
          0x1.fffffep6f,
          0x1p12f,
          0x1.fffffep12f,
          0x1p13f,  // the limit at M = 64
          -0x1p13f,
          0x1.000002p13f,
          0x1p18f,
          0x1p19f,
          -0x1p19f,
          0x1p31f,
          std::numeric_limits<float>::max(),
          -std::numeric_limits<float>::max(),
          kInf,
          -kInf,
          kNan,
          -kNan,
          std::bit_cast<float>(0x7f800001u)};  // a signalling NaN
}

enum class Values { kEdges, kFinite, kBits, kSmall };

std::vector<float> Make(Values kind, std::size_t n, std::uint64_t seed) {
  base::SplitMix rng(seed);
  const std::vector<float> edges = Edges();
  std::vector<float> out(n);
  for (float& x : out) {
    const auto bits = static_cast<std::uint32_t>(rng.Next());
    switch (kind) {
      case Values::kEdges:
        x = edges[rng.Below(edges.size())];
        break;
      case Values::kFinite:
        x = std::ldexp(static_cast<float>(rng.Uniform() - 0.5),
                       static_cast<int>(rng.Below(60)) - 50);
        break;
      case Values::kBits:
        x = std::bit_cast<float>(bits);
        break;
      case Values::kSmall:  // near ties: few bits around one step
        x = std::ldexp(static_cast<float>(static_cast<int>(rng.Below(65)) - 32), -47);
        break;
    }
  }
  return out;
}

template <typename T>
std::vector<T> RandomInts(std::size_t n, std::uint64_t seed, int shift) {
  base::SplitMix rng(seed);
  std::vector<T> out(n);
  for (T& x : out) x = static_cast<T>(static_cast<std::int64_t>(rng.Next()) >> shift);
  return out;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(a[i]) != std::bit_cast<std::uint32_t>(b[i])) return false;
  }
  return a.size() == b.size();
}

class VariantsTest : public ::testing::Test {
 protected:
  const Kernels& twin_ = *SupportedKernels().front();

  // Calls check(kernels, values, offset) for every other table, kind, length and alignment.
  template <typename Check>
  void ForAll(Check check) {
    for (const Kernels* kernels : SupportedKernels().subspan(1)) {
      for (Values kind : {Values::kEdges, Values::kFinite, Values::kBits, Values::kSmall}) {
        for (std::size_t n = 0; n <= 70; ++n) {
          const std::size_t offset = (n * 7) % 5;
          const std::vector<float> all = Make(kind, n + offset, n * 31 + offset);
          SCOPED_TRACE(std::string(kernels->name) + " length " + std::to_string(n) + " kind " +
                       std::to_string(static_cast<int>(kind)));
          check(*kernels, std::span(all).subspan(offset), offset);
        }
        const std::vector<float> all = Make(kind, 5003, 99);
        check(*kernels, std::span(all).subspan(3), 3);
      }
    }
  }
};

TEST_F(VariantsTest, QuantiseAdd64) {
  ForAll([&](const Kernels& k, std::span<const float> g, std::size_t offset) {
    for (std::int32_t slots : {1, 2, 3, 64, 1000, 1 << 20}) {
      for (std::uint64_t index : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 9}) {
        std::vector<std::int64_t> a = RandomInts<std::int64_t>(g.size() + offset, 5, 0);
        std::vector<std::int64_t> b = a;
        const auto fa = k.quantise_add64(g, std::span(a).subspan(offset), index, Limit64(slots));
        const auto fb =
            twin_.quantise_add64(g, std::span(b).subspan(offset), index, Limit64(slots));
        ASSERT_EQ(fa, fb) << "slots " << slots;
        ASSERT_EQ(a, b) << "slots " << slots;
      }
    }
  });
}

TEST_F(VariantsTest, QuantiseAdd32) {
  ForAll([&](const Kernels& k, std::span<const float> g, std::size_t offset) {
    for (std::int32_t slots : {1, 2, 64, 100}) {
      for (std::int32_t exponent : {kMinExponent, -14, 0, 13, kMaxExponent}) {
        std::vector<std::int32_t> a = RandomInts<std::int32_t>(g.size() + offset, 6, 34);
        std::vector<std::int32_t> b = a;
        const auto fa = k.quantise_add32(g, std::span(a).subspan(offset), 17, exponent, slots);
        const auto fb = twin_.quantise_add32(g, std::span(b).subspan(offset), 17, exponent, slots);
        ASSERT_EQ(fa, fb) << "slots " << slots << " exponent " << exponent;
        ASSERT_EQ(a, b) << "slots " << slots << " exponent " << exponent;
      }
    }
  });
}

// Blocks without anything special take another way than the others: one element decides.
TEST_F(VariantsTest, OneElementChangesTheWayOfItsBlock) {
  constexpr std::size_t kSize = 6151;
  for (const Kernels* k : SupportedKernels().subspan(1)) {
    for (float special : Edges()) {
      for (std::size_t at : {0, 2047, 2048, 4095, 6143, 6150}) {
        SCOPED_TRACE(std::string(k->name) + " " + std::to_string(special) + " at " +
                     std::to_string(at));
        std::vector<float> g = Make(Values::kSmall, kSize, at);
        g[at] = special;
        std::vector<std::int64_t> a64(kSize, 5), b64 = a64;
        ASSERT_EQ(k->quantise_add64(g, a64, 11, Limit64(64)),
                  twin_.quantise_add64(g, b64, 11, Limit64(64)));
        ASSERT_EQ(a64, b64);
        std::vector<std::int32_t> a32(kSize, -5), b32 = a32;
        ASSERT_EQ(k->quantise_add32(g, a32, 11, -6, 100),
                  twin_.quantise_add32(g, b32, 11, -6, 100));
        ASSERT_EQ(a32, b32);
      }
    }
  }
}

TEST_F(VariantsTest, Squares) {
  for (const Kernels* k : SupportedKernels().subspan(1)) {
    for (std::size_t n : {0, 1, 15, 16, 17, 31, 70, 4096}) {
      const std::vector<std::int64_t> q64 = RandomInts<std::int64_t>(n, n + 1, 3);
      const std::vector<std::int32_t> q32 = RandomInts<std::int32_t>(n, n + 2, 34);
      const std::vector<float> g = Make(Values::kFinite, n, n + 3);
      std::array<double, kNormLanes> a{0.1}, b{0.1};
      k->squares64(q64, Factor64(3), a);
      twin_.squares64(q64, Factor64(3), b);
      ASSERT_EQ(a, b) << k->name << " " << n;
      k->squares32(q32, Factor32(-3, 3), a);
      twin_.squares32(q32, Factor32(-3, 3), b);
      ASSERT_EQ(a, b) << k->name << " " << n;
      k->squares_float(g, 1.0 / 3, a);
      twin_.squares_float(g, 1.0 / 3, b);
      ASSERT_EQ(a, b) << k->name << " " << n;
    }
  }
}

TEST_F(VariantsTest, MaxAbsAndDigest) {
  ForAll([&](const Kernels& k, std::span<const float> g, std::size_t) {
    ASSERT_EQ(MaxAbsBits(k.max_abs(g)), MaxAbsBits(twin_.max_abs(g)));
    for (std::uint64_t index :
         {std::uint64_t{0}, (std::uint64_t{1} << 32) - 9, std::uint64_t{1} << 40}) {
      ASSERT_EQ(k.digest_fold(g, index, 2), twin_.digest_fold(g, index, 2)) << index;
    }
  });
}

TEST_F(VariantsTest, FloatSumsAndScaling) {
  ForAll([&](const Kernels& k, std::span<const float> g, std::size_t) {
    std::vector<float> finite(g.begin(), g.end());
    // Which NaN comes out of NaN + NaN is the instruction's choice; sums of others are not.
    std::vector<float> a = Make(Values::kFinite, g.size(), 3);
    std::vector<float> b = a;
    ASSERT_EQ(k.add_float(finite, a), twin_.add_float(finite, b));
    ASSERT_TRUE(SameBits(a, b));
    std::vector<float> c(g.size());
    std::vector<float> d(g.size());
    k.scale_float(finite, 1.0f / 3, c);
    twin_.scale_float(finite, 1.0f / 3, d);
    ASSERT_TRUE(SameBits(c, d));
  });
}

TEST_F(VariantsTest, ChecksumsAndDequantisation) {
  for (const Kernels* k : SupportedKernels().subspan(1)) {
    for (std::size_t n = 0; n <= 70; ++n) {
      for (int shift : {0, 5, 12, 33, 63}) {
        std::vector<std::int64_t> q64 = RandomInts<std::int64_t>(n, n + 1, shift);
        const std::vector<std::int32_t> q32 = RandomInts<std::int32_t>(n, n + 2, shift);
        if (n > 3) {
          q64[0] = std::numeric_limits<std::int64_t>::min();
          q64[1] = std::numeric_limits<std::int64_t>::max();
          q64[2] = -1;
          q64[3] = (std::int64_t{1} << 53) + 1;  // a tie of the conversion to double
        }
        ASSERT_EQ(k->checksum64(q64, 5), twin_.checksum64(q64, 5));
        ASSERT_EQ(k->checksum32(q32, 5), twin_.checksum32(q32, 5));
        std::vector<float> a(n), b(n);
        k->dequantise64(q64, Factor64(48), a);
        twin_.dequantise64(q64, Factor64(48), b);
        ASSERT_TRUE(SameBits(a, b)) << k->name << " " << n << " " << shift;
        k->dequantise32(q32, Factor32(-3, 48), a);
        twin_.dequantise32(q32, Factor32(-3, 48), b);
        ASSERT_TRUE(SameBits(a, b)) << k->name << " " << n << " " << shift;
      }
    }
  }
}

}  // namespace
}  // namespace muster::exact
