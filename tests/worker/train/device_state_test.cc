// A state leaves a device and comes to one: for checkpoints, from and to other members.
#include "worker/train/device_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <thread>

#include "tests/worker/train/on_emulator.h"

namespace muster::train {
namespace {

class DeviceStateTest : public OnEmulatorTest {};

TEST_F(DeviceStateTest, StateGoesFromADeviceToAHostAndBack) {
  for (const auto reduction : kReductions) {
    std::vector<Member> source, joiner;
    source.emplace_back(reduction, -1, Poison{}, OnDevice());
    joiner.emplace_back(reduction);
    const std::uint64_t digest = RunStep(source, 1, kAlone).applied.digest;
    const std::string header = EncodeHeader(source[0].trainer->header());
    const auto pass = [&](Member& from, Member& to, bool keep_state, bool damaged) {
      const auto served = from.trainer->engine().ServeRegions();
      const auto regions = to.trainer->ReceiveRegions(keep_state);
      ASSERT_EQ(served.size(), regions.size());
      for (std::size_t i = 0; i < served.size(); ++i) {
        ASSERT_EQ(served[i].size(), regions[i].size());
        std::vector<std::byte> bytes(served[i].size());
        Read(from, served[i], bytes);
        if (damaged && i == 2) bytes[11] ^= std::byte{4};
        Write(to, bytes, regions[i]);
      }
    };
    pass(source[0], joiner[0], true, false);
    auto adopted = joiner[0].trainer->AdoptReceived(header, digest);
    ASSERT_TRUE(adopted.ok()) << adopted.status();

    Member back(reduction, -1, Poison{}, OnDevice());
    const std::vector<float> fresh = WeightsOf(back);
    pass(joiner[0], back, true, true);
    EXPECT_FALSE(back.trainer->AdoptReceived(header, digest).ok());
    EXPECT_EQ(WeightsOf(back), fresh) << "a state that is not right changes nothing";
    // Who has nothing to lose needs no memory for it.
    pass(joiner[0], back, false, false);
    adopted = back.trainer->AdoptReceived(header, digest);
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_EQ(*adopted, digest);
    EXPECT_EQ(back.trainer->AdoptHeader(back.trainer->header()), digest);

    std::vector<Member> all;
    all.push_back(std::move(back));
    EXPECT_EQ(RunStep(all, 2, kAlone).applied.digest, RunStep(source, 2, kAlone).applied.digest);
  }
}

TEST_F(DeviceStateTest, RestoredStateIsTheOneThatWasCopied) {
  std::vector<Member> source;
  source.emplace_back(api::Reduction::kExact64, -1, Poison{}, OnDevice());
  const std::uint64_t digest = RunStep(source, 1, kAlone).applied.digest;
  Member restored(api::Reduction::kExact64, -1, Poison{}, OnDevice());
  const StateSpans into = restored.trainer->engine().OpenState();
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    // In two parts, as two members' checkpoints hold them.
    const std::size_t half = into[v].size() / 2;
    source[0].trainer->engine().Copy(static_cast<StateVector>(v), 0, into[v].first(half));
    source[0].trainer->engine().Copy(static_cast<StateVector>(v), half, into[v].subspan(half));
  }
  restored.trainer->engine().CloseState();
  EXPECT_EQ(restored.trainer->AdoptHeader(source[0].trainer->header()), digest);
}

// A late stream copies to page-locked memory when something waits for it: by then the next step's
// slots are computed, or the state has changed if nothing had held the update back.
TEST_F(DeviceStateTest, ASliceIsOfItsStepWhateverComesAfterIt) {
  BeLate();
  std::vector<Member> all;
  all.emplace_back(api::Reduction::kExact64, -1, Poison{}, OnDevice());
  Engine& engine = all[0].trainer->engine();
  const std::int64_t begin = 1234, end = 5037;
  const auto state = [&] {
    std::array<std::vector<float>, kStateVectors> vectors;
    for (std::size_t v = 0; v < kStateVectors; ++v) {
      vectors[v].resize(static_cast<std::size_t>(end - begin));
      engine.Copy(static_cast<StateVector>(v), begin, vectors[v]);
    }
    return vectors;
  };
  for (std::int64_t step = 1; step <= 6; step += 2) {
    RunStep(all, step, kAlone);
    const auto wanted = state();
    auto slice = engine.CopySlice(begin, end);
    RunStep(all, step + 1, kAlone);  // slots, reduction and update, and nobody has awaited it
    EXPECT_NE(state(), wanted);
    std::array<std::span<const float>, kStateVectors> got;
    std::thread([&] { got = slice->Await(); }).join();
    for (std::size_t v = 0; v < kStateVectors; ++v) {
      EXPECT_TRUE(std::ranges::equal(got[v], wanted[v])) << "vector " << v << " of step " << step;
    }
  }
}

// A container's memory may be too small for page-locked copies, or its limit of locked memory.
TEST_F(DeviceStateTest, WithoutPageLockedMemoryOrdinaryMemoryDoes) {
  static MusterCudaModule module;  // outlives the context
  module = *muster_cuda_module();
  module.staging.allocate_host = [](MusterCudaContext*, std::int64_t, void**,
                                    MusterCudaText) -> std::int32_t { return 1; };
  auto context = device::Context::Create(module, 0, [](const std::string& why) { FAIL() << why; });
  ASSERT_TRUE(context.ok()) << context.status();
  context_ = *std::move(context);
  EXPECT_FALSE(device::HostMemory(*context_, 100).page_locked());
  std::vector<Member> all;
  all.emplace_back(api::Reduction::kExact64, -1, Poison{}, OnDevice());
  RunStep(all, 1, kAlone);
  const std::vector<float> weights = WeightsOf(all[0]);
  auto slice = all[0].trainer->engine().CopySlice(0, 5037);
  EXPECT_EQ(RunStep(all, 2, kAlone).applied.digest,
            Digests(api::Reduction::kExact64, 1, kAlone)[1]);
  EXPECT_TRUE(std::ranges::equal(slice->Await()[0], weights));
  std::vector<std::byte> read(weights.size() * sizeof(float));
  Read(all[0], all[0].trainer->engine().ServeRegions()[0], read);
  EXPECT_EQ(std::memcmp(read.data(), WeightsOf(all[0]).data(), read.size()), 0);
}

TEST_F(DeviceStateTest, WhatReplacesAStateWaitsForItsSlices) {
  BeLate();
  std::vector<Member> all;
  all.emplace_back(api::Reduction::kExact32, -1, Poison{}, OnDevice());
  RunStep(all, 1, kAlone);
  Trainer& trainer = *all[0].trainer;
  const std::vector<float> wanted = WeightsOf(all[0]);
  const auto parameters = trainer.layout().parameters;
  auto restored = trainer.engine().CopySlice(0, parameters);
  trainer.MakeFresh();
  EXPECT_NE(WeightsOf(all[0]), wanted);
  EXPECT_TRUE(std::ranges::equal(restored->Await()[0], wanted));

  const std::vector<float> fresh = WeightsOf(all[0]);
  auto received = trainer.engine().CopySlice(0, parameters);
  auto dropped = trainer.engine().CopySlice(0, parameters);
  for (const auto region : trainer.ReceiveRegions(false)) {
    Write(all[0], std::vector<std::byte>(region.size(), std::byte{1}), region);
  }
  trainer.engine().TakeReceived();
  dropped.reset();
  EXPECT_NE(WeightsOf(all[0]), fresh);
  for (const auto vector : {0, 2}) {
    EXPECT_TRUE(std::ranges::none_of(received->Await()[static_cast<std::size_t>(vector)],
                                     [](float f) { return std::bit_cast<int>(f) == 0x01010101; }));
  }
  EXPECT_TRUE(std::ranges::equal(received->Await()[0], fresh));
}

}  // namespace
}  // namespace muster::train
