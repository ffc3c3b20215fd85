#include "worker/train/device_state.h"

#include <atomic>
#include <utility>

#include "operator/base/check.h"

namespace muster::train {
namespace {

class StagedSlice final : public StateSlice {
 public:
  StagedSlice(device::Context& context, std::shared_ptr<device::HostMemory> memory,
              std::size_t elements)
      : copied_(context), memory_(std::move(memory)), elements_(elements) {}
  // Nobody may have awaited it; the memory goes to others.
  ~StagedSlice() override { copied_.Wait(); }

  std::span<float> Vector(std::size_t v) const {
    return memory_->as<float>().subspan(v * elements_, elements_);
  }
  void Record() { copied_.Record(); }
  std::array<std::span<const float>, kStateVectors> Await() override {
    copied_.Wait();
    return {Vector(0), Vector(1), Vector(2)};
  }

 private:
  device::Staged copied_;
  const std::shared_ptr<device::HostMemory> memory_;
  const std::size_t elements_;
};

}  // namespace

DeviceState::DeviceState(device::Context& context, std::int64_t parameters)
    : context_(context), bytes_(parameters * static_cast<std::int64_t>(sizeof(float))) {
  for (device::Memory& vector : state_) vector = device::Memory(context, bytes_);
}

void DeviceState::AboutToChange() {
  if (std::exchange(staged_, false)) context_.Stage(&MusterCudaStaging::launches_follow);
}

StateSpans DeviceState::OpenHost() {
  for (AlignedBuffer& vector : host_) vector = AlignedBuffer(static_cast<std::size_t>(bytes_));
  return {host_[0].as<float>(), host_[1].as<float>(), host_[2].as<float>()};
}

void DeviceState::CloseHost() {
  AboutToChange();
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    context_.ToDevice(host_[v].bytes(), state_[v].data());
  }
  host_ = {};
}

std::unique_ptr<StateSlice> DeviceState::Stage(std::int64_t begin, std::int64_t end) {
  const auto elements = static_cast<std::size_t>(end - begin);
  const std::size_t bytes = elements * sizeof(float);
  const bool free = staging_ != nullptr && staging_.use_count() == 1 &&
                    staging_->bytes().size() == kStateVectors * bytes;
  // Who had it has read it, and let it go on another thread.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (!free) {
    staging_.reset();
    staging_ = std::make_shared<device::HostMemory>(context_, kStateVectors * bytes);
  }
  auto slice = std::make_unique<StagedSlice>(context_, staging_, elements);
  context_.Stage(&MusterCudaStaging::copies_follow);
  staged_ = true;
  for (std::size_t v = 0; v < kStateVectors && bytes > 0; ++v) {
    context_.Stage(&MusterCudaStaging::copy_to_host, state_[v].as<float>(begin),
                   slice->Vector(v).data(), static_cast<std::int64_t>(bytes));
  }
  slice->Record();
  return slice;
}

std::vector<std::span<const std::byte>> DeviceState::Regions() const {
  std::vector<std::span<const std::byte>> regions;
  for (const device::Memory& vector : state_) {
    regions.emplace_back(vector.as<std::byte>(), static_cast<std::size_t>(bytes_));
  }
  return regions;
}

std::vector<std::span<std::byte>> DeviceState::Receive(const device::Memory& sum,
                                                       const device::Memory& reduced,
                                                       bool keep_state) {
  if (sum.bytes() >= 2 * bytes_) {
    received_ = {sum.as<std::byte>(), sum.as<std::byte>(bytes_), reduced.as<std::byte>()};
  } else {
    if (keep_state && extra_.data() == nullptr) extra_ = device::Memory(context_, bytes_);
    AboutToChange();
    received_ = {sum.as<std::byte>(), reduced.as<std::byte>(),
                 keep_state ? extra_.as<std::byte>() : state_[2].as<std::byte>()};
  }
  // What was launched on these buffers has ended before a copy writes into them.
  context_.Stage(&MusterCudaStaging::copies_follow);
  std::vector<std::span<std::byte>> regions;
  for (std::byte* at : received_) regions.emplace_back(at, static_cast<std::size_t>(bytes_));
  return regions;
}

std::array<const float*, kStateVectors> DeviceState::received() const {
  std::array<const float*, kStateVectors> vectors{};
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    MUSTER_CHECK(received_[v] != nullptr, "a state that was not received");
    vectors[v] = reinterpret_cast<const float*>(received_[v]);
  }
  return vectors;
}

void DeviceState::TakeReceived() {
  AboutToChange();
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    if (received_[v] == state_[v].as<std::byte>() || bytes_ == 0) continue;
    context_.Do(&MusterCudaModule::copy, received_[v], state_[v].data(), bytes_);
  }
  context_.Synchronise();  // the extra memory is given back
  DropReceived();
}

void DeviceState::DropReceived() {
  received_ = {};
  extra_ = device::Memory();
}

}  // namespace muster::train
