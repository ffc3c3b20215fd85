#include "worker/train/device_engine.h"

#include <algorithm>
#include <utility>

#include "worker/exact/digest.h"
#include "worker/exact/norm.h"
#include "worker/train/device_state.h"
#include "worker/train/slot_flights.h"
#include "worker/train/state.h"
#include "worker/train/sum_parts.h"

namespace muster::train {
namespace {

using device::Context;
using device::Memory;
using Module = MusterCudaModule;

struct Kind {
  ReduceVector::Kind reduced = ReduceVector::Kind::kInt64Sum;
  int32_t module = MUSTER_CUDA_INT64;
  std::int64_t bytes = sizeof(std::int64_t);
};

Kind KindOf(api::Reduction reduction) {
  switch (reduction) {
    case api::Reduction::kExact64:
      break;
    case api::Reduction::kExact32:
      return {ReduceVector::Kind::kInt32Sum, MUSTER_CUDA_INT32, sizeof(std::int32_t)};
    case api::Reduction::kFloat:
      return {ReduceVector::Kind::kFloatSum, MUSTER_CUDA_FLOAT, sizeof(float)};
  }
  return {};
}

std::int64_t SquareBlocks(std::int64_t elements) {
  return (elements + MUSTER_CUDA_SQUARE_BLOCK - 1) / MUSTER_CUDA_SQUARE_BLOCK;
}

MusterCudaAdamW ForModule(const AdamWParams& p) {
  return {p.beta1,
          p.one_minus_beta1,
          p.beta2,
          p.one_minus_beta2,
          p.gradient_scale,
          p.step_size,
          p.inverse_correction2,
          p.epsilon,
          p.keep};
}

class DeviceEngine final : public Engine {
 public:
  DeviceEngine(const api::TrainingJobSpec& spec, Context& context,
               std::unique_ptr<DeviceProgram> program);

  const model::Program& program() const override { return program_->host(); }

  void MakeFresh(std::uint64_t seed) override;
  StateFolds Folds() override;
  StateSpans OpenState() override { return state_.OpenHost(); }
  void CloseState() override { state_.CloseHost(); }
  void Copy(StateVector vector, std::size_t begin, std::span<float> out) override {
    context_.ToHost(VectorAt(vector, static_cast<std::int64_t>(begin)),
                    std::as_writable_bytes(out));
  }
  std::unique_ptr<StateSlice> CopySlice(std::int64_t begin, std::int64_t end) override {
    return state_.Stage(begin, end);
  }
  bool on_device() const override { return true; }
  std::vector<std::span<const std::byte>> ServeRegions() const override { return state_.Regions(); }
  std::span<std::byte> VoidRegion() const override {
    return {reduced_.as<std::byte>(),
            static_cast<std::size_t>(layout().parameters) * sizeof(float)};
  }

  std::vector<std::span<std::byte>> ReceiveRegions(bool keep_state) override {
    return state_.Receive(sum_, reduced_, keep_state);
  }
  StateFolds ReceivedFolds() override { return FoldsOf(state_.received()); }
  void TakeReceived() override { state_.TakeReceived(); }
  void DropReceived() override { state_.DropReceived(); }

  void ClearSums() override { context_.Do(&Module::clear, sum_.data(), sum_.bytes()); }
  std::size_t slots_in_flight() const override { return SlotFlights::kMost; }
  void BeginSlot(const SlotWork& work) override;
  SlotTold FinishSlot() override { return flights_.Finish(); }
  model::SlotLoss Evaluate(std::span<const std::int32_t> tokens, std::int32_t rows) override {
    return program_->Evaluate(Vector(StateVector::kWeights), tokens, rows);
  }

  std::vector<ReduceVector> Sums(bool on_device) override;
  void ReducedIsThere() override {
    if (!sums_on_device_) context_.ToDevice(host_reduced_.bytes(), reduced_.data());
  }
  std::uint64_t ReducedChecksum() override;
  double SquareSum(double factor) override;
  std::vector<double> SquareSums(std::span<const double> factors) override;
  StateFolds Update(std::span<const TensorUpdate> updates) override;

 private:
  bool MaximaOnly(const Quantising& quantising) const {
    return reduction_ == api::Reduction::kExact32 && quantising.exponents.empty();
  }
  void QuantiseAdd(std::size_t tensor, const float* gradient, const Quantising& quantising);
  ReduceVector PartVector(const SumPart& part) const;

  float* Vector(StateVector vector) const { return state_.at(vector); }
  float* VectorAt(StateVector vector, std::int64_t element) const {
    return state_.at(vector, element);
  }
  MusterCudaSums Part(const Memory& sums, const model::Tensor& tensor) const {
    return {kind_.module, sums.as<std::byte>(tensor.offset * kind_.bytes), tensor.size,
            static_cast<std::uint64_t>(tensor.offset)};
  }
  MusterCudaSums Whole(const Memory& sums) const {
    return {kind_.module, sums.data(), layout().parameters, 0};
  }
  StateFolds FoldsOf(const std::array<const float*, kStateVectors>& vectors);
  // What was folded into `folds_` since it was cleared.
  StateFolds ReadFolds();

  Context& context_;
  const std::unique_ptr<DeviceProgram> program_;
  const Kind kind_;
  const api::Reduction reduction_;
  const std::int32_t slots_;
  DeviceState state_;
  Memory sum_;
  Memory reduced_;
  Memory folds_;    // MusterCudaFolds, and the checksum behind it
  Memory squares_;  // the blocks of every tensor by itself
  SlotFlights flights_;
  const std::vector<SumPart> parts_;
  std::vector<device::Event> part_events_;
  bool sums_on_device_ = false;
  device::HostMemory host_sum_, host_reduced_;  // made when a communicator of the host asks
};

DeviceEngine::DeviceEngine(const api::TrainingJobSpec& spec, Context& context,
                           std::unique_ptr<DeviceProgram> program)
    : context_(context),
      program_(std::move(program)),
      kind_(KindOf(spec.training.reduction)),
      reduction_(spec.training.reduction),
      slots_(spec.training.slots),
      state_(context, layout().parameters),
      flights_(context, layout().tensors.size()),
      parts_(CutSums(layout())) {
  const std::int64_t sum_bytes = layout().parameters * kind_.bytes;
  sum_ = Memory(context, sum_bytes);
  reduced_ = Memory(context, sum_bytes);
  std::int64_t blocks = 0;
  for (const model::Tensor& tensor : layout().tensors) blocks += SquareBlocks(tensor.size);
  for (std::size_t p = 0; p < parts_.size(); ++p) part_events_.emplace_back(context);
  folds_ = Memory(context, sizeof(MusterCudaFolds));
  squares_ = Memory(context,
                    std::max<std::int64_t>(blocks, 1) * static_cast<std::int64_t>(sizeof(double)));
}

void DeviceEngine::MakeFresh(std::uint64_t seed) {
  program().Initialise(seed, OpenState()[0]);  // the others are zeros
  CloseState();
}

StateFolds DeviceEngine::ReadFolds() {
  MusterCudaFolds folds;
  context_.ToHost(folds_.data(), std::as_writable_bytes(std::span(&folds, 1)));
  return {folds.weights, folds.first, folds.second};
}

StateFolds DeviceEngine::FoldsOf(const std::array<const float*, kStateVectors>& vectors) {
  context_.Do(&Module::clear, folds_.data(), folds_.bytes());
  for (std::uint32_t v = 0; v < kStateVectors; ++v) {
    context_.Do(&Module::digest, vectors[v], layout().parameters, std::uint64_t{0}, v,
                folds_.as<std::uint64_t>(v));
  }
  return ReadFolds();
}

StateFolds DeviceEngine::Folds() {
  return FoldsOf({Vector(StateVector::kWeights), Vector(StateVector::kMoment),
                  Vector(StateVector::kVariance)});
}

void DeviceEngine::QuantiseAdd(std::size_t tensor, const float* gradient,
                               const Quantising& quantising) {
  MusterCudaSums sums = Part(sum_, layout().tensors[tensor]);
  double scale = 0;
  std::int64_t limit = 0;
  if (reduction_ == api::Reduction::kExact64) {
    scale = exact::Scale64();
    limit = exact::Limit64(slots_);
  } else if (MaximaOnly(quantising)) {
    sums.device_sums = nullptr;
  } else if (reduction_ == api::Reduction::kExact32) {
    scale = exact::Scale32(quantising.exponents[tensor], slots_);
    limit = exact::Limit32(slots_);
  }
  context_.Do(&Module::quantise_add, gradient, &sums, scale, limit, flights_.told(tensor));
}

void DeviceEngine::BeginSlot(const SlotWork& work) {
  flights_.Begin();
  PartsComplete complete(parts_);
  std::size_t given = 0;
  bool first = true;
  const auto finished = [&](std::size_t tensor, const float* gradient) {
    if (std::exchange(first, false) && work.in_mid_slot != nullptr) {
      context_.Synchronise();
      work.in_mid_slot();
    }
    QuantiseAdd(tensor, gradient, work.quantising);
    if (work.part_ready == nullptr) return;
    for (const std::size_t end = complete.Finished(tensor); given < end; ++given) {
      part_events_[given].Record();
      work.part_ready(
          {PartVector(parts_[given]), part_events_[given].value(), given + 1 == parts_.size()});
    }
  };
  const std::int64_t tokens = program_->LaunchSlot(Vector(StateVector::kWeights), work.tokens,
                                                   work.key, finished, flights_.loss());
  flights_.Launched(tokens, MaximaOnly(work.quantising));
}

ReduceVector DeviceEngine::PartVector(const SumPart& part) const {
  const auto bytes = static_cast<std::size_t>(part.elements * kind_.bytes);
  const std::int64_t at = part.first_element * kind_.bytes;
  return {
      kind_.reduced, {sum_.as<std::byte>(at), bytes}, {reduced_.as<std::byte>(at), bytes}, true};
}

std::vector<ReduceVector> DeviceEngine::Sums(bool on_device) {
  sums_on_device_ = on_device;
  if (on_device) {
    // They are reduced on another stream: what empties sums without slots has to be over.
    context_.Synchronise();
    std::vector<ReduceVector> parts;
    for (const SumPart& part : parts_) parts.push_back(PartVector(part));
    return parts;
  }
  if (host_sum_.bytes().empty()) {
    host_sum_ = device::HostMemory(context_, static_cast<std::size_t>(sum_.bytes()));
    host_reduced_ = device::HostMemory(context_, static_cast<std::size_t>(sum_.bytes()));
  }
  context_.ToHost(sum_.data(), host_sum_.bytes());
  return {{kind_.reduced, host_sum_.bytes(), host_reduced_.bytes(), false}};
}

std::uint64_t DeviceEngine::ReducedChecksum() {
  if (reduction_ == api::Reduction::kFloat) return 0;
  context_.Do(&Module::clear, folds_.data(), folds_.bytes());
  const MusterCudaSums all = Whole(reduced_);
  context_.Do(&Module::checksum, &all, folds_.as<std::uint64_t>());
  return ReadFolds()[0];
}

double DeviceEngine::SquareSum(double factor) {
  const MusterCudaSums all = Whole(reduced_);
  context_.Do(&Module::squares, &all, factor, squares_.as<double>());
  std::vector<double> blocks(static_cast<std::size_t>(SquareBlocks(all.length)));
  context_.ToHost(squares_.data(), std::as_writable_bytes(std::span(blocks)));
  return exact::TreeSum(blocks);
}

std::vector<double> DeviceEngine::SquareSums(std::span<const double> factors) {
  std::int64_t at = 0;
  for (std::size_t t = 0; t < factors.size(); ++t) {
    const MusterCudaSums part = Part(reduced_, layout().tensors[t]);
    context_.Do(&Module::squares, &part, factors[t], squares_.as<double>(at));
    at += SquareBlocks(part.length);
  }
  std::vector<double> blocks(static_cast<std::size_t>(at));
  context_.ToHost(squares_.data(), std::as_writable_bytes(std::span(blocks)));
  std::span<const double> left = blocks;
  std::vector<double> sums;
  for (std::size_t t = 0; t < factors.size(); ++t) {
    const auto mine = static_cast<std::size_t>(SquareBlocks(layout().tensors[t].size));
    sums.push_back(exact::TreeSum(left.first(mine)));
    left = left.subspan(mine);
  }
  return sums;
}

StateFolds DeviceEngine::Update(std::span<const TensorUpdate> updates) {
  state_.AboutToChange();
  context_.Do(&Module::clear, folds_.data(), folds_.bytes());
  for (std::size_t t = 0; t < updates.size(); ++t) {
    const model::Tensor& tensor = layout().tensors[t];
    const MusterCudaSums part = Part(reduced_, tensor);
    const MusterCudaAdamW constants = ForModule(updates[t].adam);
    context_.Do(&Module::update, &part, updates[t].factor, &constants,
                VectorAt(StateVector::kWeights, tensor.offset),
                VectorAt(StateVector::kMoment, tensor.offset),
                VectorAt(StateVector::kVariance, tensor.offset), folds_.as<MusterCudaFolds>());
  }
  return ReadFolds();
}

}  // namespace

std::unique_ptr<Engine> MakeDeviceEngine(const api::TrainingJobSpec& spec, device::Context& context,
                                         std::unique_ptr<DeviceProgram> program) {
  return std::make_unique<DeviceEngine>(spec, context, std::move(program));
}

}  // namespace muster::train
