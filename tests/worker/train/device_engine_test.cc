// A trainer on a device gives the bits of one on this machine's processors. The device is the
// module's own sources on the emulator of tests/worker/cuda/simt; the program is the trainer tests'
// toy, whose gradients are copied to the device.
#include "worker/train/device_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <thread>

#include "tests/worker/cuda/simt/simt.h"
#include "tests/worker/train/members.h"
#include "worker/device/staging.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::train {
namespace {

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

class DeviceEngineTest : public testing::Test {
 protected:
  DeviceEngineTest() {
    auto context = device::Context::Create(*muster_cuda_module(), 0, [](const std::string& why) {
      FAIL() << "the device failed: " << why;
    });
    EXPECT_TRUE(context.ok()) << context.status();
    context_ = *std::move(context);
  }
  ~DeviceEngineTest() override { simt::Configure({}); }
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

constexpr api::Reduction kReductions[] = {api::Reduction::kExact64, api::Reduction::kExact32,
                                          api::Reduction::kFloat};

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

TEST_F(DeviceEngineTest, StateGoesFromADeviceToAHostAndBack) {
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

TEST_F(DeviceEngineTest, RestoredStateIsTheOneThatWasCopied) {
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
TEST_F(DeviceEngineTest, ASliceIsOfItsStepWhateverComesAfterIt) {
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
TEST_F(DeviceEngineTest, WithoutPageLockedMemoryOrdinaryMemoryDoes) {
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

TEST_F(DeviceEngineTest, WhatReplacesAStateWaitsForItsSlices) {
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
