#include "worker/model/bench.h"

#include <time.h>

#include <algorithm>
#include <array>

#include "operator/base/check.h"
#include "worker/model/random.h"

namespace muster::model {
namespace {

constexpr std::int64_t kBytesPerParameter = 12;  // weight and two moments
constexpr std::int64_t kTensorSize = 1 << 16;    // several tensors, as a real model has
constexpr std::int64_t kLossBlock = 4096;
constexpr float kNoise = 0x1.0p-32f;  // words to [0, 1)

// Processor time of this thread: other processes do not shorten what it gets.
double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Dependent multiplications and additions on a small vector that stays in registers and cache,
// until this thread has had so much processor time. A number of rounds found once would not do: a
// core that shares its units with a busy neighbour is slower later than it was then.
void BurnUntil(double thread_seconds) {
  constexpr int kRounds = 500;  // some 10 us between two looks at the clock
  std::array<float, 64> x;
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.5f + 0.001f * static_cast<float>(i);
  while (ThreadSeconds() < thread_seconds) {
    for (int round = 0; round < kRounds; ++round) {
      for (float& value : x) value = value * 0.999f + 0.0007f;
      asm volatile("" : : "r"(x.data()) : "memory");  // the result counts as used
    }
  }
}

}  // namespace

Bench::Bench(const api::ProgramConfig& config)
    : batch_(config.batch), slot_milliseconds_(config.slot_milliseconds) {
  layout_.parameters = std::max<std::int64_t>(1, config.state_bytes / kBytesPerParameter);
  for (std::int64_t at = 0; at < layout_.parameters; at += kTensorSize) {
    const std::int64_t size = std::min(kTensorSize, layout_.parameters - at);
    layout_.tensors.push_back(
        {"state." + std::to_string(layout_.tensors.size()), {size}, at, size, false});
  }
}

// At the first slot and not before: the memory is counted before any of it is taken.
void Bench::MakeBuffers() {
  if (!targets_.empty()) return;
  targets_.resize(static_cast<std::size_t>(layout_.parameters));
  gradient_.resize(targets_.size());
  FillNormal(0, 0, 0, 1.0, targets_);
}

void Bench::Initialise(std::uint64_t seed, std::span<float> weights) const {
  FillNormal(seed, 1, 0, 1.0, weights);
}

void Bench::FillGradient(std::span<const float> weights, const SlotKey& key) {
  const SlotRandom random(key, 0);
  std::array<std::uint32_t, 256> words;
  for (std::size_t begin = 0; begin < gradient_.size(); begin += words.size()) {
    const std::size_t count = std::min(words.size(), gradient_.size() - begin);
    random.Fill(static_cast<std::int64_t>(begin), std::span(words).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      const float noise = static_cast<float>(words[i]) * kNoise - 0.5f;
      gradient_[begin + i] = weights[begin + i] - targets_[begin + i] + noise;
    }
  }
}

double Bench::Loss(std::span<const float> weights) const {
  double total = 0;
  for (std::size_t begin = 0; begin < weights.size(); begin += kLossBlock) {
    const std::size_t end = std::min<std::size_t>(weights.size(), begin + kLossBlock);
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      const double distance = static_cast<double>(weights[i]) - targets_[i];
      sum += 0.5 * distance * distance;
    }
    total += sum;
  }
  return total / static_cast<double>(weights.size());
}

SlotLoss Bench::ComputeSlot(std::span<const float> weights, std::span<const std::int32_t>,
                            const SlotKey& key, GradientSink& sink) {
  MakeBuffers();
  MUSTER_CHECK(weights.size() == gradient_.size(), "the weights have the layout's size");
  const double end = ThreadSeconds() + slot_milliseconds_ * 1e-3;
  FillGradient(weights, key);
  const double loss = Loss(weights);
  BurnUntil(end);
  for (std::size_t i = 0; i < layout_.tensors.size(); ++i) {
    const Tensor& tensor = layout_.tensors[i];
    sink.Finished(i,
                  std::span<const float>(gradient_).subspan(static_cast<std::size_t>(tensor.offset),
                                                            static_cast<std::size_t>(tensor.size)));
  }
  return {loss, 1};
}

SlotLoss Bench::Evaluate(std::span<const float> weights, std::span<const std::int32_t>,
                         std::int32_t rows) {
  MakeBuffers();
  return {Loss(weights) * rows, rows};
}

}  // namespace muster::model
