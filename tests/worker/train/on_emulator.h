// Trainers on a device: the module's own sources on the emulator of tests/worker/cuda/simt, and as
// program the trainer tests' toy, whose gradients are copied to the device.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/worker/cuda/simt/simt.h"
#include "tests/worker/train/members.h"
#include "worker/device/staging.h"
#include "worker/train/device_engine.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::train {

class CopyingSink final : public model::GradientSink {
 public:
  CopyingSink(device::Context& context, std::vector<device::Memory>& gradients,
              const DeviceProgram::Finished& finished)
      : context_(context), gradients_(gradients), finished_(finished) {}
  void Finished(std::size_t tensor, std::span<const float> gradient) override {
    context_.ToDevice(std::as_bytes(gradient), gradients_[tensor].data());
    finished_(tensor, gradients_[tensor].as<float>());
  }

 private:
  device::Context& context_;
  std::vector<device::Memory>& gradients_;
  const DeviceProgram::Finished& finished_;
};

// A program of the host behind the interface of a device's.
class Copied final : public DeviceProgram {
 public:
  Copied(device::Context& context, std::unique_ptr<model::Program> program)
      : context_(context), program_(std::move(program)) {
    for (const model::Tensor& tensor : program_->layout().tensors) {
      gradients_.emplace_back(context, tensor.size * static_cast<std::int64_t>(sizeof(float)));
    }
    weights_.resize(static_cast<std::size_t>(program_->layout().parameters));
  }
  const model::Program& host() const override { return *program_; }
  std::int64_t LaunchSlot(const float* device_weights, std::span<const std::int32_t> tokens,
                          const model::SlotKey& key, const Finished& finished,
                          double* device_loss) override {
    context_.ToHost(device_weights, std::as_writable_bytes(std::span(weights_)));
    CopyingSink sink(context_, gradients_, finished);
    const model::SlotLoss loss = program_->ComputeSlot(weights_, tokens, key, sink);
    context_.ToDevice(std::as_bytes(std::span(&loss.sum, 1)), device_loss);
    return loss.tokens;
  }
  model::SlotLoss Evaluate(const float* device_weights, std::span<const std::int32_t> tokens,
                           std::int32_t rows) override {
    context_.ToHost(device_weights, std::as_writable_bytes(std::span(weights_)));
    return program_->Evaluate(weights_, tokens, rows);
  }

 private:
  device::Context& context_;
  const std::unique_ptr<model::Program> program_;
  std::vector<device::Memory> gradients_;
  std::vector<float> weights_;
};

class OnEmulatorTest : public testing::Test {
 protected:
  OnEmulatorTest() {
    auto context = device::Context::Create(*muster_cuda_module(), 0, [](const std::string& why) {
      FAIL() << "the device failed: " << why;
    });
    EXPECT_TRUE(context.ok()) << context.status();
    context_ = *std::move(context);
  }
  ~OnEmulatorTest() override { simt::Configure({}); }
  // From now on streams do what they are given when somebody waits for it.
  static void BeLate() {
    simt::Settings settings;
    settings.late = true;
    simt::Configure(settings);
  }
  EngineMaker OnDevice() {
    return [this](const api::TrainingJobSpec& spec, std::unique_ptr<model::Program> program) {
      return MakeDeviceEngine(spec, *context_,
                              std::make_unique<Copied>(*context_, std::move(program)));
    };
  }
  // Bytes of an engine's regions, as a state transfer moves them: through a window where they are on
  // the device.
  void Read(const Member& of, std::span<const std::byte> region, std::span<std::byte> out) {
    if (!of.trainer->engine().on_device()) return (void)std::ranges::copy(region, out.begin());
    device::Window window(*context_);
    for (std::size_t at = 0; at < out.size(); at += kPiece) {
      const auto part = region.subspan(at, std::min(kPiece, out.size() - at));
      std::ranges::copy(window.Read(part), out.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  void Write(const Member& of, std::span<const std::byte> bytes, std::span<std::byte> region) {
    if (!of.trainer->engine().on_device()) return (void)std::ranges::copy(bytes, region.begin());
    device::Window window(*context_);
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      const auto part = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
      std::ranges::copy(part, window.Room(part.size()).begin());
      window.Write(region.data() + at);
    }
  }
  static constexpr std::size_t kPiece = 1000;
  std::unique_ptr<device::Context> context_;
};

inline constexpr api::Reduction kReductions[] = {api::Reduction::kExact64, api::Reduction::kExact32,
                                                 api::Reduction::kFloat};

}  // namespace muster::train
