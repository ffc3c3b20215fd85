// A state in a device's memory as the state transfer sees it: shards through page-locked windows.
//
// The memory of the host that this takes: a shard for each member that reads from this one, two for
// each that is read from; a shard is FetchOptions::shard_bytes. Thread rule: RemoteRegions'.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "worker/comm/remote_regions.h"
#include "worker/device/context.h"

namespace muster::app {

// `regions` are addresses of the device. Reading takes it that nothing overwrites them.
std::shared_ptr<const comm::RemoteRegions> ReadableRegions(
    device::Context& context, const std::vector<std::span<const std::byte>>& regions);
std::shared_ptr<const comm::RemoteRegions> WritableRegions(
    device::Context& context, const std::vector<std::span<std::byte>>& regions);

}  // namespace muster::app
