// Peaks are known of a few products, and invented of none.
#include "worker/device/peak.h"

#include <gtest/gtest.h>

namespace muster::device {
namespace {

TEST(PeakTest, OfTheProductsThatAreKnown) {
  EXPECT_EQ(PeakFlops("NVIDIA H200"), 989e12);
  EXPECT_EQ(PeakFlops("NVIDIA H100 80GB HBM3"), 989e12);
  EXPECT_EQ(PeakFlops("NVIDIA A100-SXM4-80GB"), 312e12);
  EXPECT_EQ(PeakFlops("NVIDIA A100-PCIE-40GB"), 312e12);
}

TEST(PeakTest, OfNoOther) {
  for (const char* product : {"", "NVIDIA", "NVIDIA H100 PCIe", "NVIDIA H200 NVL", "Tesla V100",
                              "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA B200", "nvidia h200"}) {
    EXPECT_EQ(PeakFlops(product), std::nullopt) << product;
  }
}

}  // namespace
}  // namespace muster::device
