#include "worker/device/peak.h"

#include <algorithm>
#include <array>

namespace muster::device {
namespace {

struct Product {
  std::string_view name;
  double flops;
};

// Whole names: what is sold as "H100 PCIe" or "H200 NVL" is slower, and a slice of a GPU (MIG) has
// the name of its GPU and more.
constexpr std::array<Product, 6> kProducts = {{{"NVIDIA H200", 989e12},
                                               {"NVIDIA H100 80GB HBM3", 989e12},
                                               {"NVIDIA A100-SXM4-40GB", 312e12},
                                               {"NVIDIA A100-SXM4-80GB", 312e12},
                                               {"NVIDIA A100-PCIE-40GB", 312e12},
                                               {"NVIDIA A100 80GB PCIe", 312e12}}};

}  // namespace

std::optional<double> PeakFlops(std::string_view product) {
  const auto found = std::find_if(kProducts.begin(), kProducts.end(),
                                  [&](const Product& p) { return p.name == product; });
  return found == kProducts.end() ? std::nullopt : std::optional(found->flops);
}

}  // namespace muster::device
