// A trainer on a device gives the bits of one on this machine's processors.
#include "worker/train/device_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/train/on_emulator.h"

namespace muster::train {
namespace {

class DeviceEngineTest : public OnEmulatorTest {};

TEST_F(DeviceEngineTest, EveryStepHasTheDigestOfTheHosts) {
  for (const auto reduction : kReductions) {
    const auto host = Digests(reduction, 1, kAlone);
    EXPECT_EQ(Digests(reduction, 1, kAlone, -1, {}, OnDevice()), host);
    if (reduction == api::Reduction::kFloat) continue;
    EXPECT_EQ(Digests(reduction, 3, {2, 2, 0, 1, 1, 2}, -1, {}, OnDevice()), host);
    EXPECT_EQ(Digests(reduction, 1, kAlone, 2, {}, OnDevice()),
              Digests(reduction, 1, kAlone, 2, {}))
        << "a step that was made to saturate";
  }
}

TEST_F(DeviceEngineTest, WhatIsNotFiniteIsSkippedAndNamedAlike) {
  for (const auto reduction : kReductions) {
    for (const float value : {NAN, -INFINITY, 3e6f}) {
      for (const std::int64_t step : {1, 2}) {
        Poison poison{step};
        poison.value = value;
        std::vector<Member> host, device;
        host.emplace_back(reduction, -1, poison);
        device.emplace_back(reduction, -1, poison, OnDevice());
        for (std::int64_t s = 1; s <= 3; ++s) {
          const StepResult expected = RunStep(host, s, kAlone);
          const StepResult result = RunStep(device, s, kAlone);
          EXPECT_EQ(result.applied.skipped, expected.applied.skipped);
          EXPECT_EQ(result.attempts, expected.attempts);
          EXPECT_EQ(result.offences, expected.offences);
          EXPECT_EQ(result.applied.digest, expected.applied.digest)
              << "value " << value << " in step " << step << ", seen in " << s;
        }
      }
    }
  }
}

TEST_F(DeviceEngineTest, SumsReducedInTheDevicesMemoryAreTheSame) {
  for (const auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    std::vector<Member> all;
    for (int m = 0; m < 2; ++m) {
      all.emplace_back(reduction, -1, Poison{}, OnDevice());
      all.back().device = context_.get();
    }
    std::vector<std::uint64_t> digests;
    for (std::int64_t step = 1; step <= 4; ++step) {
      digests.push_back(RunStep(all, step, {0, 1, 1, 0, 1, 0}).applied.digest);
    }
    EXPECT_EQ(digests, Digests(reduction, 1, kAlone));
  }
}

TEST_F(DeviceEngineTest, NormAndLossAreTheHosts) {
  for (const auto reduction : kReductions) {
    std::vector<Member> host, device;
    host.emplace_back(reduction);
    device.emplace_back(reduction, -1, Poison{}, OnDevice());
    const ApplyOutcome expected = RunStep(host, 1, kAlone).applied;
    const ApplyOutcome applied = RunStep(device, 1, kAlone).applied;
    EXPECT_EQ(applied.grad_norm, expected.grad_norm);
    EXPECT_GT(applied.grad_norm, 0);
    EXPECT_EQ(applied.loss, expected.loss);
    EXPECT_EQ(applied.clipped, expected.clipped);
  }
}

TEST_F(DeviceEngineTest, InMidSlotNothingOfItHasBeenAdded) {
  Member member(api::Reduction::kExact64, -1, Poison{}, OnDevice());
  member.trainer->ClearSums({base::Step(1), 0, member.trainer->ExponentsInForce()});
  bool called = false;
  member.trainer->AddSlot(0, [&] {
    called = true;
    const auto in = member.trainer->PrepareReduction({})[0].in;
    EXPECT_TRUE(std::ranges::all_of(in, [](std::byte b) { return b == std::byte{0}; }));
  });
  EXPECT_TRUE(called);
  const auto in = member.trainer->PrepareReduction({})[0].in;
  EXPECT_FALSE(std::ranges::all_of(in, [](std::byte b) { return b == std::byte{0}; }));
}

TEST_F(DeviceEngineTest, SlotsInFlightAreFinishedInOrderAndEachWithWhatItTold) {
  for (const auto reduction : kReductions) {
    Member ahead(reduction, -1, Poison{2, 1}, OnDevice()), one(reduction, -1, Poison{2, 1});
    ASSERT_EQ(ahead.trainer->slots_in_flight(), 2u);
    ASSERT_EQ(one.trainer->slots_in_flight(), 1u);
    for (Member* m : {&ahead, &one}) {
      m->trainer->ClearSums({base::Step(2), 0, m->trainer->ExponentsInForce()});
    }
    ahead.trainer->BeginSlot(0);
    ahead.trainer->BeginSlot(1);  // what is wrong with it is not told of slot 0
    EXPECT_EQ(ahead.trainer->slots_computed(), 0) << "begun is not added";
    EXPECT_EQ(ahead.trainer->FinishSlot(), one.trainer->AddSlot(0));
    ahead.trainer->BeginSlot(2);
    EXPECT_EQ(ahead.trainer->FinishSlot(), one.trainer->AddSlot(1));
    EXPECT_EQ(ahead.trainer->FinishSlot(), one.trainer->AddSlot(2));
    EXPECT_EQ(ahead.trainer->slots_computed(), 3);
    const auto given = ahead.trainer->PrepareReduction({}),
               expected = one.trainer->PrepareReduction({});
    ASSERT_EQ(given.size(), expected.size());
    for (std::size_t v = 0; v < given.size(); ++v) {
      EXPECT_TRUE(std::ranges::equal(given[v].in, expected[v].in)) << "vector " << v;
    }
  }
}

// As NCCL would find them: whole when they are given, in the order and shape of the sums that are
// reduced when asked for.
TEST_F(DeviceEngineTest, PartsAreGivenOnceTheyAreComplete) {
  for (const auto reduction : kReductions) {
    Member member(reduction, -1, Poison{}, OnDevice());
    Trainer& trainer = *member.trainer;
    trainer.ClearSums({base::Step(1), 0, trainer.ExponentsInForce()});
    for (std::int32_t s = 0; s + 1 < kSlots; ++s) trainer.AddSlot(s);
    std::vector<ReadyPart> parts;
    std::vector<std::vector<std::byte>> seen;
    SlotHooks hooks;
    hooks.part_ready = [&](const ReadyPart& part) {
      ASSERT_NE(part.event, nullptr);
      EXPECT_TRUE(part.vector.on_device);
      context_->Do(&MusterCudaModule::event_synchronise, part.event);
      seen.emplace_back(part.vector.in.size());
      context_->ToHost(part.vector.in.data(), seen.back());
      parts.push_back(part);
    };
    trainer.BeginSlot(kSlots - 1, hooks);
    trainer.FinishSlot();
    const auto vectors = trainer.PrepareReduction({}, true);
    ASSERT_EQ(parts.size(), 2u);
    for (std::size_t p = 0; p < parts.size(); ++p) {
      EXPECT_EQ(parts[p].last, p == 1);
      EXPECT_EQ(parts[p].vector.in.data(), vectors[p].in.data());
      EXPECT_EQ(parts[p].vector.in.size(), vectors[p].in.size());
      EXPECT_EQ(parts[p].vector.out.data(), vectors[p].out.data());
      EXPECT_EQ(parts[p].vector.kind, vectors[p].kind);
      std::vector<std::byte> now(vectors[p].in.size());
      context_->ToHost(vectors[p].in.data(), now);
      EXPECT_EQ(seen[p], now) << "part " << p << " changed after it was given";
    }
    EXPECT_GT(vectors[0].in.data(), vectors[1].in.data()) << "from the end";
    EXPECT_FALSE(vectors[2].on_device);
  }
}

TEST_F(DeviceEngineTest, AFlippedBitOfASumIsFoundByTheChecksum) {
  for (const auto reduction : {api::Reduction::kExact64, api::Reduction::kExact32}) {
    std::vector<Member> all;
    all.emplace_back(reduction, -1, Poison{}, OnDevice());
    RunStep(all, 1, kAlone);
    Trainer& trainer = *all[0].trainer;
    trainer.ClearSums({base::Step(2), 0, trainer.ExponentsInForce()});
    for (std::int32_t s = 0; s < kSlots; ++s) trainer.AddSlot(s);
    AllReduce(all);
    EXPECT_TRUE(trainer.FinishReduction().checksum_ok);
    trainer.PrepareReduction({})[0].out[4321] ^= std::byte{16};
    EXPECT_FALSE(trainer.FinishReduction().checksum_ok);
  }
}

}  // namespace
}  // namespace muster::train
