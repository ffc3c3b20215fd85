// Counting, fitting and evaluating the interpolated trigram.
#include "worker/data/trigram.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <vector>

#include "operator/base/check.h"

namespace muster::data {
namespace {

constexpr std::int64_t kMostTrainingBytes = std::int64_t{64} << 20;
constexpr std::size_t kMostFitBytes = std::size_t{256} << 10;
constexpr int kFitRounds = 40;

using Text = std::span<const std::uint8_t>;
using Mixture = std::array<double, 4>;  // uniform, unigram, bigram, trigram

struct FreeMemory {
  void operator()(std::uint32_t* memory) const { std::free(memory); }
};

class Counts {
 public:
  explicit Counts(Text text)
      // calloc: the 64 MiB table is sparse, and pages that are never touched cost nothing.
      : trigrams_(static_cast<std::uint32_t*>(std::calloc(1 << 24, sizeof(std::uint32_t)))),
        bigrams_(1 << 16),
        pair_contexts_(1 << 16),
        unigrams_(256),
        byte_contexts_(256),
        bytes_(text.size()) {
    MUSTER_CHECK(trigrams_ != nullptr, "no memory for the trigram table");
    for (std::size_t i = 0; i < text.size(); ++i) {
      ++unigrams_[text[i]];
      if (i >= 1) {
        ++bigrams_[Pair(text[i - 1], text[i])];
        ++byte_contexts_[text[i - 1]];
      }
      if (i >= 2) {
        ++trigrams_[Pair(text[i - 2], text[i - 1]) << 8 | text[i]];
        ++pair_contexts_[Pair(text[i - 2], text[i - 1])];
      }
    }
  }

  // What each of the four models says about text[i] after the two bytes before it.
  Mixture Frequencies(Text text, std::size_t i) const {
    const std::uint32_t pair = Pair(text[i - 2], text[i - 1]);
    Mixture f{1.0 / 256, Ratio(unigrams_[text[i]], static_cast<double>(bytes_)), 0, 0};
    const std::uint32_t seen_byte = byte_contexts_[text[i - 1]];
    f[2] = seen_byte == 0 ? f[1] : Ratio(bigrams_[Pair(text[i - 1], text[i])], seen_byte);
    const std::uint32_t seen_pair = pair_contexts_[pair];
    f[3] = seen_pair == 0 ? f[2] : Ratio(trigrams_[pair << 8 | text[i]], seen_pair);
    return f;
  }

 private:
  static std::uint32_t Pair(std::uint8_t a, std::uint8_t b) { return std::uint32_t{a} << 8 | b; }
  static double Ratio(std::uint32_t count, double total) { return count / total; }

  std::unique_ptr<std::uint32_t[], FreeMemory> trigrams_;
  std::vector<std::uint32_t> bigrams_, pair_contexts_, unigrams_, byte_contexts_;
  std::size_t bytes_;
};

double Mix(const Mixture& weights, const Mixture& f) {
  double p = 0;
  for (std::size_t k = 0; k < f.size(); ++k) p += weights[k] * f[k];
  return p;
}

// Expectation maximisation: the likelihood of `fit` grows with every round and has one maximum.
Mixture FitWeights(const Counts& counts, Text fit) {
  std::vector<Mixture> rows;
  for (std::size_t i = 2; i < fit.size(); ++i) rows.push_back(counts.Frequencies(fit, i));
  Mixture weights{0.05, 0.15, 0.3, 0.5};
  for (int round = 0; round < kFitRounds; ++round) {
    Mixture sums{};
    for (const Mixture& f : rows) {
      const double p = Mix(weights, f);
      for (std::size_t k = 0; k < f.size(); ++k) sums[k] += weights[k] * f[k] / p;
    }
    for (std::size_t k = 0; k < sums.size(); ++k) {
      weights[k] = sums[k] / static_cast<double>(rows.size());
    }
  }
  // The uniform part must stay alive: a byte never seen in training still has a probability.
  weights[0] = std::max(weights[0], 1e-6);
  return weights;
}

}  // namespace

double TrigramLoss(Text training, Text held_out) {
  MUSTER_CHECK(training.size() >= 64 && !held_out.empty(), "a trigram needs text to count");
  const std::size_t fit_bytes = std::min(training.size() / 10, kMostFitBytes);
  const Text head = training.first(training.size() - fit_bytes);
  const Mixture weights = FitWeights(Counts(head), training.last(fit_bytes));
  const Counts counts(training);
  // The first held-out byte is predicted from the last two of the training part.
  std::vector<std::uint8_t> text(training.end() - 2, training.end());
  text.insert(text.end(), held_out.begin(), held_out.end());
  double nats = 0;
  for (std::size_t i = 2; i < text.size(); ++i) {
    nats -= std::log(Mix(weights, counts.Frequencies(text, i)));
  }
  return nats / static_cast<double>(held_out.size());
}

double BaselineLoss(const Dataset& dataset) {
  if (dataset.format() != api::DataFormat::kText || dataset.training_tokens() < 64) return 0;
  const std::int64_t first =
      std::max<std::int64_t>(0, dataset.training_tokens() - kMostTrainingBytes);
  const std::int64_t end =
      std::min(dataset.tokens(), dataset.training_tokens() + kMostTrainingBytes);
  std::vector<std::uint8_t> text;
  text.reserve(static_cast<std::size_t>(end - first));
  std::vector<std::int32_t> block(4096);
  for (std::int64_t at = first; at < end; at += static_cast<std::int64_t>(block.size())) {
    const auto count = std::min<std::size_t>(block.size(), static_cast<std::size_t>(end - at));
    dataset.CopyTokens(at, std::span(block).first(count));
    for (std::size_t i = 0; i < count; ++i) text.push_back(static_cast<std::uint8_t>(block[i]));
  }
  const auto training = static_cast<std::size_t>(dataset.training_tokens() - first);
  return TrigramLoss(Text(text).first(training), Text(text).subspan(training));
}

}  // namespace muster::data
