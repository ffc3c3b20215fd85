// Buckets: few, large, equal, and never with half a slot.
#include "worker/nccl/buckets.h"

#include <gtest/gtest.h>

#include "worker/comm/reduce.h"

namespace muster::nccl {
namespace {

class Vectors {
 public:
  Vectors& Add(comm::ElementType type, std::size_t elements, std::size_t slot) {
    // Addresses that nothing reads.
    const std::size_t bytes = elements * ElementBytes(type);
    comm::Reduction r;
    r.type = type;
    r.in = {reinterpret_cast<const std::byte*>(next_), bytes};
    r.out = {reinterpret_cast<std::byte*>(next_ + (std::uintptr_t{1} << 40)), bytes};
    next_ += bytes + 4096;
    vectors_.push_back({r, slot});
    return *this;
  }
  // Elements of each bucket; what must hold for all is checked.
  std::vector<std::size_t> Cut(const BucketRules& rules) const {
    std::vector<std::size_t> counts;
    const auto pieces = MakeBuckets(vectors_, rules);
    auto piece = pieces.begin();
    for (const auto& v : vectors_) {
      std::size_t bytes = 0;
      for (; bytes < v.reduction.in.size(); ++piece) {
        if (piece == pieces.end()) {
          ADD_FAILURE() << "not all is covered";
          return counts;
        }
        EXPECT_EQ(piece->in, v.reduction.in.data() + bytes);
        EXPECT_EQ(piece->out, v.reduction.out.data() + bytes);
        EXPECT_EQ(piece->type, v.reduction.type);
        EXPECT_EQ(piece->op, v.reduction.op);
        bytes += piece->elements * ElementBytes(piece->type);
        if (bytes < v.reduction.in.size()) {
          EXPECT_EQ(piece->elements % v.slot_elements, 0U);
        }
        counts.push_back(piece->elements);
      }
      EXPECT_EQ(bytes, v.reduction.in.size());
    }
    EXPECT_EQ(piece, pieces.end());
    return counts;
  }

 private:
  std::uintptr_t next_ = 4096;
  std::vector<SumVector> vectors_;
};

using Counts = std::vector<std::size_t>;
constexpr auto k64 = comm::ElementType::kInt64;
constexpr auto k32 = comm::ElementType::kInt32;
constexpr auto kFloat = comm::ElementType::kFloat32;

TEST(BucketsTest, CutsOnlyWhatIsLarge) {
  EXPECT_EQ(Vectors().Cut({800, 8}), Counts{});
  EXPECT_EQ(Vectors().Add(k64, 100, 1).Cut({800, 8}), Counts{100});
  EXPECT_EQ(Vectors().Add(k64, 101, 1).Cut({800, 8}), (Counts{51, 50}));
  EXPECT_EQ(Vectors().Add(k32, 101, 1).Cut({800, 8}), Counts{101});
  EXPECT_EQ(Vectors().Add(k64, 0, 1).Add(kFloat, 7, 1).Add(k64, 90, 1).Cut({800, 8}),
            (Counts{7, 90}));
}

TEST(BucketsTest, CutsBetweenSlots) {
  EXPECT_EQ(Vectors().Add(k64, 100, 30).Cut({480, 8}), (Counts{60, 40}));
  // A slot that is larger than a bucket is whole all the same.
  EXPECT_EQ(Vectors().Add(k64, 100, 30).Cut({8, 8}), (Counts{30, 30, 30, 10}));
  EXPECT_EQ(Vectors().Add(k64, 100, 1000).Cut({8, 8}), Counts{100});
}

TEST(BucketsTest, GrowsThemRatherThanMakingMany) {
  EXPECT_EQ(Vectors().Add(k64, 1000, 1).Cut({8, 4}).size(), 4U);
  EXPECT_EQ(Vectors().Add(k64, 1000, 1).Add(k32, 10, 1).Cut({80, 3}).size(), 3U);
  // Vectors cannot be joined: there are never fewer than they are.
  EXPECT_EQ(Vectors().Add(k64, 9, 1).Add(k32, 9, 1).Add(k64, 9, 1).Cut({8, 1}), (Counts{9, 9, 9}));
}

TEST(BucketsTest, CoversEverySmallShape) {
  for (std::size_t elements = 0; elements <= 40; ++elements) {
    for (std::size_t slot = 1; slot <= 9; ++slot) {
      for (std::size_t bytes = 1; bytes <= 400; bytes += 13) {
        for (std::size_t most = 1; most <= 4; ++most) {
          const auto cut = Vectors().Add(k64, elements, slot).Cut({bytes, most});
          EXPECT_LE(cut.size(), most);
        }
      }
    }
  }
}

}  // namespace
}  // namespace muster::nccl
