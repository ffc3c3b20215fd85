#include "worker/train/host_engine.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "operator/base/check.h"
#include "worker/exact/digest.h"
#include "worker/exact/norm.h"
#include "worker/train/state.h"

namespace muster::train {
namespace {

// Blocks of the update pass: small enough for the first-level cache.
constexpr std::size_t kBlock = 4096;
constexpr std::array<std::uint32_t, kStateVectors> kStreams = {
    exact::kWeightsStream, exact::kMomentStream, exact::kVarianceStream};

std::size_t ElementBytes(api::Reduction reduction) {
  return reduction == api::Reduction::kExact64 ? sizeof(std::int64_t) : sizeof(std::int32_t);
}

std::span<float> AsFloats(std::span<std::byte> bytes) {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

class CopiedSlice final : public StateSlice {
 public:
  explicit CopiedSlice(const StateSpans& from) {
    for (std::size_t v = 0; v < kStateVectors; ++v)
      vectors_[v].assign(from[v].begin(), from[v].end());
  }
  std::array<std::span<const float>, kStateVectors> Await() override {
    return {vectors_[0], vectors_[1], vectors_[2]};
  }

 private:
  std::array<std::vector<float>, kStateVectors> vectors_;
};

class HostEngine final : public Engine {
 public:
  HostEngine(const api::TrainingJobSpec& spec, std::unique_ptr<model::Program> program,
             const std::string& kernel_family)
      : program_(std::move(program)),
        kernels_(exact::KernelsFor(kernel_family)),
        reduction_(spec.training.reduction),
        slots_(spec.training.slots),
        limit64_(exact::Limit64(spec.training.slots)),
        vector_bytes_(static_cast<std::size_t>(layout().parameters) * sizeof(float)) {
    for (AlignedBuffer& vector : state_) vector = AlignedBuffer(vector_bytes_);
    const std::size_t sum_bytes =
        static_cast<std::size_t>(layout().parameters) * ElementBytes(reduction_);
    sum_ = AlignedBuffer(sum_bytes);
    reduced_ = AlignedBuffer(sum_bytes);
  }

  const model::Program& program() const override { return *program_; }

  void MakeFresh(std::uint64_t seed) override {
    program_->Initialise(seed, Vector(StateVector::kWeights));
    std::ranges::fill(Vector(StateVector::kMoment), 0.0f);
    std::ranges::fill(Vector(StateVector::kVariance), 0.0f);
  }
  StateFolds Folds() override { return FoldsOf(OpenState()); }
  StateSpans OpenState() override {
    return {Vector(StateVector::kWeights), Vector(StateVector::kMoment),
            Vector(StateVector::kVariance)};
  }
  void CloseState() override {}
  void Copy(StateVector vector, std::size_t begin, std::span<float> out) override {
    std::ranges::copy(Vector(vector).subspan(begin, out.size()), out.begin());
  }
  std::unique_ptr<StateSlice> CopySlice(std::int64_t begin, std::int64_t end) override;
  std::vector<std::span<const std::byte>> ServeRegions() const override {
    return {state_[0].bytes(), state_[1].bytes(), state_[2].bytes()};
  }
  std::span<std::byte> VoidRegion() const override { return reduced_.bytes().first(vector_bytes_); }

  std::vector<std::span<std::byte>> ReceiveRegions(bool keep_state) override;
  StateFolds ReceivedFolds() override;
  void TakeReceived() override;
  void DropReceived() override { received_extra_ = AlignedBuffer(); }

  void ClearSums() override { std::ranges::fill(sum_.bytes(), std::byte{0}); }
  // Computed where it is begun: there is nobody to compute it meanwhile.
  std::size_t slots_in_flight() const override { return 1; }
  void BeginSlot(const SlotWork& work) override;
  SlotTold FinishSlot() override;
  model::SlotLoss Evaluate(std::span<const std::int32_t> tokens, std::int32_t rows) override {
    return program_->Evaluate(Vector(StateVector::kWeights), tokens, rows);
  }

  std::vector<ReduceVector> Sums(bool) override {
    using Kind = ReduceVector::Kind;
    const Kind kind = reduction_ == api::Reduction::kExact64   ? Kind::kInt64Sum
                      : reduction_ == api::Reduction::kExact32 ? Kind::kInt32Sum
                                                               : Kind::kFloatSum;
    return {{kind, sum_.bytes(), reduced_.bytes(), false}};
  }
  void ReducedIsThere() override {}
  std::uint64_t ReducedChecksum() override;
  double SquareSum(double factor) override { return SquareSumIn(0, AllElements(), factor); }
  std::vector<double> SquareSums(std::span<const double> factors) override;
  StateFolds Update(std::span<const TensorUpdate> updates) override;

 private:
  class Sink;

  std::span<float> Vector(StateVector vector) const {
    return state_[static_cast<std::size_t>(vector)].as<float>();
  }
  std::size_t AllElements() const { return static_cast<std::size_t>(layout().parameters); }
  StateFolds FoldsOf(const StateSpans& state) const;
  double SquareSumIn(std::size_t begin, std::size_t size, double factor) const;
  void Dequantise(std::size_t begin, double factor, std::span<float> out) const;

  const std::unique_ptr<model::Program> program_;
  const exact::Kernels& kernels_;
  const api::Reduction reduction_;
  const std::int32_t slots_;
  const std::int64_t limit64_;  // of one slot's element
  const std::size_t vector_bytes_;
  std::array<AlignedBuffer, kStateVectors> state_;
  AlignedBuffer sum_;
  AlignedBuffer reduced_;
  AlignedBuffer received_extra_;  // only while a state is received
  std::optional<SlotTold> begun_;
};

// Receives the gradients of one slot and adds them, tensor by tensor, while they are in cache.
class HostEngine::Sink final : public model::GradientSink {
 public:
  Sink(HostEngine& engine, const Quantising& quantising, std::function<void()> before_first)
      : engine_(engine), quantising_(quantising), before_first_(std::move(before_first)) {
    told.resize(engine.layout().tensors.size());
  }

  void Finished(std::size_t tensor, std::span<const float> gradient) override {
    if (before_first_) std::exchange(before_first_, nullptr)();
    const model::Tensor& t = engine_.layout().tensors[tensor];
    MUSTER_CHECK(static_cast<std::int64_t>(gradient.size()) == t.size, t.name);
    const auto at = static_cast<std::size_t>(t.offset);
    const exact::Kernels& kernels = engine_.kernels_;
    TensorTold& mine = told[tensor];
    switch (engine_.reduction_) {
      case api::Reduction::kExact64:
        mine.flags = kernels.quantise_add64(
            gradient, engine_.sum_.as<std::int64_t>().subspan(at, gradient.size()), at,
            engine_.limit64_);
        break;
      case api::Reduction::kExact32:
        mine.max_abs = kernels.max_abs(gradient);
        if (quantising_.exponents.empty()) return;
        mine.flags = kernels.quantise_add32(
            gradient, engine_.sum_.as<std::int32_t>().subspan(at, gradient.size()), at,
            quantising_.exponents[tensor], engine_.slots_);
        return;
      case api::Reduction::kFloat:
        mine.flags =
            kernels.add_float(gradient, engine_.sum_.as<float>().subspan(at, gradient.size()));
        break;
    }
    if (mine.flags.not_finite || mine.flags.saturated) mine.max_abs = kernels.max_abs(gradient);
  }

  std::vector<TensorTold> told;

 private:
  HostEngine& engine_;
  const Quantising& quantising_;
  std::function<void()> before_first_;
};

void HostEngine::BeginSlot(const SlotWork& work) {
  MUSTER_CHECK(!begun_, "a slot of the host is finished before the next one is begun");
  Sink sink(*this, work.quantising, work.in_mid_slot);
  begun_.emplace();
  begun_->loss = program_->ComputeSlot(Vector(StateVector::kWeights), work.tokens, work.key, sink);
  begun_->tensors = std::move(sink.told);
}

SlotTold HostEngine::FinishSlot() {
  MUSTER_CHECK(begun_.has_value(), "a slot was begun");
  return *std::exchange(begun_, std::nullopt);
}

std::unique_ptr<StateSlice> HostEngine::CopySlice(std::int64_t begin, std::int64_t end) {
  StateSpans part = OpenState();
  for (std::span<float>& vector : part) {
    vector = vector.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
  }
  return std::make_unique<CopiedSlice>(part);
}

StateFolds HostEngine::FoldsOf(const StateSpans& state) const {
  StateFolds folds;
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    folds[v] = kernels_.digest_fold(state[v], 0, kStreams[v]);
  }
  return folds;
}

// The integer buffers are void while a state is received; Exact32 and Float need 4 bytes a
// parameter more, which live only for the transfer.
std::vector<std::span<std::byte>> HostEngine::ReceiveRegions(bool) {
  if (sum_.bytes().size() >= 2 * vector_bytes_) {
    return {sum_.bytes().first(vector_bytes_), sum_.bytes().last(vector_bytes_),
            reduced_.bytes().first(vector_bytes_)};
  }
  if (received_extra_.bytes().empty()) received_extra_ = AlignedBuffer(vector_bytes_);
  return {sum_.bytes(), reduced_.bytes(), received_extra_.bytes()};
}

StateFolds HostEngine::ReceivedFolds() {
  const auto from = ReceiveRegions(true);
  return FoldsOf({AsFloats(from[0]), AsFloats(from[1]), AsFloats(from[2])});
}

void HostEngine::TakeReceived() {
  const auto from = ReceiveRegions(true);
  for (std::size_t v = 0; v < kStateVectors; ++v) {
    std::memcpy(state_[v].bytes().data(), from[v].data(), vector_bytes_);
  }
  DropReceived();
}

std::uint64_t HostEngine::ReducedChecksum() {
  switch (reduction_) {
    case api::Reduction::kExact64:
      return kernels_.checksum64(reduced_.as<std::int64_t>(), 0);
    case api::Reduction::kExact32:
      return kernels_.checksum32(reduced_.as<std::int32_t>(), 0);
    case api::Reduction::kFloat:
      break;
  }
  return 0;
}

double HostEngine::SquareSumIn(std::size_t begin, std::size_t size, double factor) const {
  switch (reduction_) {
    case api::Reduction::kExact64:
      return exact::SquareSum64(reduced_.as<std::int64_t>().subspan(begin, size), factor);
    case api::Reduction::kExact32:
      return exact::SquareSum32(reduced_.as<std::int32_t>().subspan(begin, size), factor);
    case api::Reduction::kFloat:
      return exact::SquareSumFloat(reduced_.as<float>().subspan(begin, size), factor);
  }
  return 0;
}

std::vector<double> HostEngine::SquareSums(std::span<const double> factors) {
  std::vector<double> sums;
  for (std::size_t t = 0; t < factors.size(); ++t) {
    const model::Tensor& tensor = layout().tensors[t];
    sums.push_back(SquareSumIn(static_cast<std::size_t>(tensor.offset),
                               static_cast<std::size_t>(tensor.size), factors[t]));
  }
  return sums;
}

void HostEngine::Dequantise(std::size_t begin, double factor, std::span<float> out) const {
  switch (reduction_) {
    case api::Reduction::kExact64:
      kernels_.dequantise64(reduced_.as<std::int64_t>().subspan(begin, out.size()), factor, out);
      return;
    case api::Reduction::kExact32:
      kernels_.dequantise32(reduced_.as<std::int32_t>().subspan(begin, out.size()), factor, out);
      return;
    case api::Reduction::kFloat:
      kernels_.scale_float(reduced_.as<float>().subspan(begin, out.size()),
                           static_cast<float>(factor), out);
      return;
  }
}

StateFolds HostEngine::Update(std::span<const TensorUpdate> updates) {
  StateFolds folds{};
  std::array<float, kBlock> gradient;
  for (std::size_t t = 0; t < updates.size(); ++t) {
    const model::Tensor& tensor = layout().tensors[t];
    const auto end = static_cast<std::size_t>(tensor.offset + tensor.size);
    for (auto at = static_cast<std::size_t>(tensor.offset); at < end; at += kBlock) {
      const std::size_t n = std::min<std::size_t>(kBlock, end - at);
      const auto g = std::span(gradient).first(n);
      Dequantise(at, updates[t].factor, g);
      StateSpans block = OpenState();
      for (std::span<float>& vector : block) vector = vector.subspan(at, n);
      AdamWBlock(updates[t].adam, g, block[0], block[1], block[2]);
      for (std::size_t v = 0; v < kStateVectors; ++v) {
        folds[v] += kernels_.digest_fold(block[v], at, kStreams[v]);
      }
    }
  }
  return folds;
}

}  // namespace

std::int64_t HostBytesNeeded(const api::TrainingJobSpec& spec, const model::Program& program) {
  const std::int64_t p = program.layout().parameters;
  const auto element = static_cast<std::int64_t>(ElementBytes(spec.training.reduction));
  return p * (3 * std::int64_t{sizeof(float)} + 2 * element) + program.scratch_bytes();
}

std::unique_ptr<Engine> MakeHostEngine(const api::TrainingJobSpec& spec,
                                       std::unique_ptr<model::Program> program,
                                       const std::string& kernel_family) {
  return std::make_unique<HostEngine>(spec, std::move(program), kernel_family);
}

}  // namespace muster::train
