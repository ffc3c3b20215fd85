#include "worker/app/device_regions.h"

#include <utility>

#include "operator/base/check.h"
#include "worker/device/staging.h"

namespace muster::app {
namespace {

struct DeviceRegion {
  const std::byte* from = nullptr;
  std::byte* into = nullptr;  // null: only read
  std::size_t size = 0;
};

class DeviceWindow final : public comm::RemoteRegions::Window {
 public:
  DeviceWindow(device::Context& context, const std::vector<DeviceRegion>& regions)
      : regions_(regions), window_(context) {}
  std::span<const std::byte> Read(std::size_t region, std::size_t offset,
                                  std::size_t length) override {
    return window_.Read(
        std::span(regions_[region].from, regions_[region].size).subspan(offset, length));
  }
  std::span<std::byte> Room(std::size_t length) override { return window_.Room(length); }
  void Write(std::size_t region, std::size_t offset) override {
    MUSTER_CHECK(regions_[region].into != nullptr, "a region that is only read");
    window_.Write(regions_[region].into + offset);
  }

 private:
  const std::vector<DeviceRegion>& regions_;  // the DeviceRegions', which outlive it
  device::Window window_;
};

class DeviceRegions final : public comm::RemoteRegions {
 public:
  DeviceRegions(device::Context& context, std::vector<DeviceRegion> regions)
      : context_(context), regions_(std::move(regions)) {}
  std::vector<std::size_t> Sizes() const override {
    std::vector<std::size_t> sizes;
    for (const DeviceRegion& region : regions_) sizes.push_back(region.size);
    return sizes;
  }
  std::unique_ptr<Window> Open() const override {
    return std::make_unique<DeviceWindow>(context_, regions_);
  }

 private:
  device::Context& context_;
  const std::vector<DeviceRegion> regions_;
};

}  // namespace

std::shared_ptr<const comm::RemoteRegions> ReadableRegions(
    device::Context& context, const std::vector<std::span<const std::byte>>& regions) {
  std::vector<DeviceRegion> all;
  for (const auto& region : regions) all.push_back({region.data(), nullptr, region.size()});
  return std::make_shared<DeviceRegions>(context, std::move(all));
}

std::shared_ptr<const comm::RemoteRegions> WritableRegions(
    device::Context& context, const std::vector<std::span<std::byte>>& regions) {
  std::vector<DeviceRegion> all;
  for (const auto& region : regions) all.push_back({region.data(), region.data(), region.size()});
  return std::make_shared<DeviceRegions>(context, std::move(all));
}

}  // namespace muster::app
