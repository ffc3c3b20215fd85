// Parts of the sums: from the end, large, whole tensors, and complete in their order.
#include "worker/train/sum_parts.h"

#include <gtest/gtest.h>

#include <random>

namespace muster::train {
namespace {

model::Layout LayoutOf(const std::vector<std::int64_t>& sizes) {
  model::Layout layout;
  for (const std::int64_t size : sizes) {
    layout.tensors.push_back({"t", {size}, layout.parameters, size, true});
    layout.parameters += size;
  }
  return layout;
}

TEST(SumPartsTest, CutsFromTheEndAndNeverATensor) {
  using Parts = std::vector<SumPart>;
  EXPECT_EQ(CutSums(LayoutOf({100}), 8), (Parts{{0, 1, 0, 100}}));
  // A GPT's: the tied embedding comes first, and is finished last.
  EXPECT_EQ(CutSums(LayoutOf({300, 10, 50, 50, 50, 50, 5}), 8),
            (Parts{{4, 3, 410, 105}, {2, 2, 310, 100}, {0, 2, 0, 310}}))
      << "at least 65 elements each";
}

TEST(SumPartsTest, CoverEachElementOnceInAtMostSoMany) {
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    std::vector<std::int64_t> sizes(1 + random() % 40);
    for (std::int64_t& size : sizes) size = 1 + random() % (random() % 4 == 0 ? 10000 : 50);
    const std::size_t most = 1 + random() % 9;
    const model::Layout layout = LayoutOf(sizes);
    const std::vector<SumPart> parts = CutSums(layout, most);
    EXPECT_LE(parts.size(), most);
    std::size_t tensor = sizes.size();
    std::int64_t element = layout.parameters;
    for (std::size_t p = 0; p < parts.size(); ++p) {
      EXPECT_EQ(parts[p].first_tensor + parts[p].tensors, tensor);
      EXPECT_EQ(parts[p].first_element + parts[p].elements, element);
      EXPECT_EQ(parts[p].first_element, layout.tensors[parts[p].first_tensor].offset);
      if (p + 1 < parts.size()) {
        EXPECT_GE(parts[p].elements * static_cast<std::int64_t>(most), layout.parameters);
      }
      tensor = parts[p].first_tensor;
      element = parts[p].first_element;
    }
    EXPECT_EQ(tensor, 0u);
    EXPECT_EQ(element, 0);
  }
}

TEST(SumPartsTest, AreCompleteInTheirOrderWhateverTheTensors) {
  const std::vector<SumPart> parts = CutSums(LayoutOf({40, 40, 40, 40, 40}), 3);
  ASSERT_EQ(parts.size(), 3u);  // tensors 3 and 4; 1 and 2; 0
  PartsComplete complete(parts);
  EXPECT_EQ(complete.Finished(4), 0u);
  EXPECT_EQ(complete.Finished(1), 0u);
  EXPECT_EQ(complete.Finished(2), 0u) << "the second is complete, the first is not";
  EXPECT_EQ(complete.Finished(3), 2u);
  EXPECT_EQ(complete.Finished(0), 3u);
}

}  // namespace
}  // namespace muster::train
