#include "worker/train/tail.h"

#include <gtest/gtest.h>

#include <cmath>

namespace muster::train {
namespace {

constexpr std::int32_t kTailSlots = 5;

std::vector<std::int64_t> Sum(const std::vector<std::vector<std::int64_t>>& parts) {
  std::vector<std::int64_t> out(parts.front().size(), 0);
  for (const auto& part : parts) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      out[i] = static_cast<std::int64_t>(static_cast<std::uint64_t>(out[i]) +
                                         static_cast<std::uint64_t>(part[i]));
    }
  }
  return out;
}

std::vector<std::int64_t> Control(std::uint64_t view, std::uint64_t request, bool stop) {
  return Tail(kTailSlots).WithControl({base::Epoch(view), request, stop});
}

ReducedTail Read(std::span<const std::int64_t> words) { return ReadTail(words, kTailSlots); }

TEST(TailTest, CountersAreRightOnlyWhenEverySlotIsAddedOnce) {
  Tail a(kTailSlots), b(kTailSlots);
  for (int s : {0, 2, 4}) a.AddSlot(s, 10, 7, 1, false, false);
  for (int s : {1, 3}) b.AddSlot(s, 20, 7, 1, false, false);
  const auto all = Read(Sum({a.WithControl({}), b.WithControl({})}));
  EXPECT_TRUE(all.counters_ok);
  EXPECT_EQ(all.loss, 70);
  EXPECT_EQ(all.tokens, 35);
  EXPECT_EQ(all.checksum, 5u);
  EXPECT_FALSE(Read(a.WithControl({})).counters_ok) << "two slots are missing";
  b.AddSlot(0, 0, 0, 0, false, false);
  EXPECT_FALSE(Read(Sum({a.WithControl({}), b.WithControl({})})).counters_ok) << "slot 0 twice";
}

TEST(TailTest, FlagsCountSlots) {
  Tail a(kTailSlots);
  a.AddSlot(0, 0, 1, 0, true, false);
  a.AddSlot(1, 0, 1, 0, true, true);
  EXPECT_EQ(Read(a.words()).not_finite, 2);
  EXPECT_EQ(Read(a.words()).saturated, 1);
  a.Clear();
  EXPECT_EQ(Read(a.words()).not_finite, 0);
}

TEST(TailTest, AViewIsAgreedOnlyWhenAllHoldTheSameEpoch) {
  struct Case {
    std::vector<std::uint64_t> held;
    bool agreed;
  };
  const Case cases[] = {
      {{7}, true},          {{0}, false},          {{7, 7, 7}, true},  {{7, 7, 0}, false},
      {{0, 0}, false},      {{6, 8}, false},       {{5, 7, 9}, false}, {{1, 2}, false},
      {{4, 4, 4, 4}, true}, {{3, 5, 4, 4}, false},
  };
  for (const auto& c : cases) {
    std::vector<std::vector<std::int64_t>> parts;
    for (std::uint64_t epoch : c.held) parts.push_back(Control(epoch, 0, false));
    EXPECT_EQ(Read(Sum(parts)).agreement.view, c.agreed) << testing::PrintToString(c.held);
  }
}

TEST(TailTest, ACheckpointIsAgreedWithItsIdAndStopOnlyWhenAllSayStop) {
  const auto same = Read(Sum({Control(0, 3, true), Control(0, 3, true)})).agreement;
  EXPECT_EQ(same.checkpoint, 3u);
  EXPECT_TRUE(same.stop);
  const auto one_stop = Read(Sum({Control(0, 3, true), Control(0, 3, false)})).agreement;
  EXPECT_EQ(one_stop.checkpoint, 3u);
  EXPECT_FALSE(one_stop.stop);
  const auto different = Read(Sum({Control(0, 2, true), Control(0, 4, true)})).agreement;
  EXPECT_EQ(different.checkpoint, 0u);
  EXPECT_FALSE(different.stop);
}

TEST(TailTest, EverybodyLearnsTheFirstOffenceByTensorThenSlot) {
  Tail a(kTailSlots, 1), b(kTailSlots, 1);
  const std::uint64_t id[] = {7};
  a.AddSlot(0, 0, 1, 0, false, false, id);
  a.AddSlot(2, 0, 1, 0, true, false, id, {3, INFINITY});
  a.AddSlot(4, 0, 1, 0, true, false, id, {1, NAN});
  b.AddSlot(1, 0, 1, 0, false, true, id, {3, 9000.5f});
  b.AddSlot(3, 0, 1, 0, false, true, id, {1, 9000.5f});
  const auto all = Sum({a.WithControl({}), b.WithControl({})});
  EXPECT_TRUE(Read(all).counters_ok);
  const auto first = FindOffence(all, kTailSlots);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->slot, 3);
  EXPECT_EQ(first->offence, (Offence{1, 9000.5f}));
  const auto mine = FindOffence(a.words(), kTailSlots);
  ASSERT_TRUE(mine);
  EXPECT_EQ(mine->slot, 4);
  EXPECT_TRUE(std::isnan(mine->offence.value));
  EXPECT_EQ(AuditedSamples(all, kTailSlots, 1)[4][0], 7u) << "samples lie behind the offences";
}

TEST(TailTest, NoOffenceAndOneOfTensorZeroWithValueZeroAreTold) {
  Tail tail(kTailSlots);
  tail.AddSlot(0, 0, 1, 0, false, false);
  EXPECT_FALSE(FindOffence(tail.words(), kTailSlots));
  tail.AddSlot(1, 0, 1, 0, true, false, {}, {0, 0.0f});
  ASSERT_TRUE(FindOffence(tail.words(), kTailSlots));
  EXPECT_EQ(FindOffence(tail.words(), kTailSlots)->slot, 1);
  tail.Clear();
  EXPECT_FALSE(FindOffence(tail.words(), kTailSlots));
}

TEST(TailTest, WithAnAuditEverybodyLearnsWhatEverySlotRead) {
  Tail a(kTailSlots, 2), b(kTailSlots, 2);
  const auto ids = [](std::uint64_t s) { return std::vector<std::uint64_t>{10 * s, 10 * s + 1}; };
  for (int s : {0, 2, 4}) a.AddSlot(s, 0, 1, 0, false, false, ids(static_cast<std::uint64_t>(s)));
  for (int s : {1, 3}) b.AddSlot(s, 0, 1, 0, false, false, ids(static_cast<std::uint64_t>(s)));
  const auto all = Sum({a.WithControl({}), b.WithControl({})});
  EXPECT_TRUE(Read(all).counters_ok);
  const auto samples = AuditedSamples(all, kTailSlots, 2);
  ASSERT_EQ(samples.size(), 5u);
  for (std::uint64_t s = 0; s < 5; ++s) EXPECT_EQ(samples[s], ids(s));
}

}  // namespace
}  // namespace muster::train
