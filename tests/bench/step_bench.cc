// Times one step of GPT-2 124M (B = 4, T = 64, one update per 256 tokens, Float) and of the
// example's small model, beside the time that their matrix products alone take in the same run.
//
//   step_bench [--threads N] [--repeats N] [--model 124m|small]
//
// Repeats of step and floor alternate, so that a busy machine disturbs both alike. Run it with
// OPENBLAS_NUM_THREADS=1 and, to pin a kernel family, OPENBLAS_CORETYPE.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "worker/kernels/family.h"
#include "worker/kernels/gemm.h"
#include "worker/model/program.h"
#include "worker/train/optimizer.h"

namespace muster {
namespace {

using kernels::Transpose;

struct Options {
  int threads = 2;
  int repeats = 5;
  bool small = false;
};

class Gradient final : public model::GradientSink {
 public:
  Gradient(const model::Layout& layout, kernels::Pool& pool)
      : values(static_cast<std::size_t>(layout.parameters)), layout_(layout), pool_(pool) {}
  void Finished(std::size_t tensor, std::span<const float> gradient) override {
    float* to = values.data() + layout_.tensors[tensor].offset;
    constexpr std::int64_t kBlock = 1 << 16;
    const std::int64_t n = static_cast<std::int64_t>(gradient.size());
    pool_.For(kernels::Tiles(n, kBlock), [&](std::int64_t i) {
      const std::int64_t count = std::min(kBlock, n - i * kBlock);
      std::memcpy(to + i * kBlock, gradient.data() + i * kBlock,
                  static_cast<std::size_t>(count) * sizeof(float));
    });
  }
  std::vector<float> values;

 private:
  const model::Layout& layout_;
  kernels::Pool& pool_;
};

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// The products of one slot, forward and backward, over buffers that are as large as the model's.
class Floor {
 public:
  Floor(const api::ProgramConfig& c, std::span<const float> weights, kernels::Pool& pool)
      : c_(c), rows_(std::int64_t{c.batch} * c.context), weights_(weights), pool_(pool) {
    const std::int64_t wide = std::max<std::int64_t>(4 * c.width, c.vocabulary);
    x_.assign(static_cast<std::size_t>(rows_ * wide), 0.01f);
    y_.assign(static_cast<std::size_t>(rows_ * wide), 0.01f);
    d_.assign(static_cast<std::size_t>(wide * c.width), 0.0f);
  }
  void Run() {
    const std::int64_t w = c_.width;
    std::int64_t at = (std::int64_t{c_.vocabulary} + c_.context) * w;
    for (std::int32_t layer = 0; layer < c_.layers; ++layer) {
      for (const auto& [in, out] : {std::pair{w, 3 * w}, {w, w}, {w, 4 * w}, {4 * w, w}}) {
        Linear(weights_.data() + at, in, out, false);
        at += in * out;
      }
    }
    Linear(weights_.data(), w, c_.vocabulary, true);
  }

 private:
  // y = x w, dx = dy w^T, dw = x^T dy; `tied` is the head, whose weight is [out, in].
  void Linear(const float* weight, std::int64_t in, std::int64_t out, bool tied) {
    const auto no = Transpose::kNo, yes = Transpose::kYes;
    kernels::Gemm(pool_, {rows_,
                          out,
                          in,
                          {x_.data(), in, no},
                          {weight, tied ? in : out, tied ? yes : no},
                          y_.data(),
                          out});
    kernels::Gemm(pool_, {rows_,
                          in,
                          out,
                          {y_.data(), out, no},
                          {weight, tied ? in : out, tied ? no : yes},
                          x_.data(),
                          in});
    if (tied) {
      kernels::Gemm(pool_,
                    {out, in, rows_, {y_.data(), out, yes}, {x_.data(), in, no}, d_.data(), in});
    } else {
      kernels::Gemm(pool_,
                    {in, out, rows_, {x_.data(), in, yes}, {y_.data(), out, no}, d_.data(), out});
    }
    // Keeps values from growing over repeats.
    std::fill(x_.begin(), x_.begin() + rows_ * in, 0.01f);
  }

  const api::ProgramConfig c_;
  const std::int64_t rows_;
  std::span<const float> weights_;
  kernels::Pool& pool_;
  std::vector<float> x_, y_, d_;
};

struct State {
  std::vector<float> w, m, v;
};

void Update(const std::vector<float>& gradient, State& state, kernels::Pool& pool) {
  const train::AdamWParams params = train::MakeAdamWParams({.weight_decay = 0.1, .update = 1});
  constexpr std::size_t kBlock = 1 << 14;
  pool.For(kernels::Tiles(static_cast<std::int64_t>(state.w.size()), kBlock), [&](std::int64_t i) {
    const std::size_t at = static_cast<std::size_t>(i) * kBlock;
    const std::size_t count = std::min(kBlock, state.w.size() - at);
    train::AdamWBlock(params, std::span(gradient).subspan(at, count),
                      std::span(state.w).subspan(at, count), std::span(state.m).subspan(at, count),
                      std::span(state.v).subspan(at, count));
  });
}

int Run(const Options& options) {
  api::ProgramSpec spec;
  if (!options.small) {
    spec.config = {
        .layers = 12, .heads = 12, .width = 768, .context = 64, .batch = 4, .vocabulary = 50304};
  }
  auto program = model::MakeProgram(spec, options.threads);
  if (!program.ok()) {
    std::fprintf(stderr, "%s\n", base::Message(program.status()).c_str());
    return 2;
  }
  const model::Layout& layout = (*program)->layout();
  kernels::Pool pool(options.threads);
  State state;
  state.w.resize(static_cast<std::size_t>(layout.parameters));
  state.m.resize(state.w.size());
  state.v.resize(state.w.size());
  (*program)->Initialise(1, state.w);
  const std::int32_t samples = (*program)->samples_per_slot();
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(samples * (*program)->sample_tokens()));
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] =
        static_cast<std::int32_t>(i * 7919 % static_cast<std::size_t>(spec.config.vocabulary));
  }
  Gradient gradient(layout, pool);
  Floor floor(spec.config, state.w, pool);

  std::vector<double> slots, updates, steps, floors;
  for (int repeat = -1; repeat < options.repeats; ++repeat) {  // the first warms up
    const double start = Seconds();
    const model::SlotLoss loss =
        (*program)->ComputeSlot(state.w, tokens, {1, repeat + 2, 0}, gradient);
    const double computed = Seconds();
    Update(gradient.values, state, pool);
    const double updated = Seconds();
    floor.Run();
    const double end = Seconds();
    if (repeat < 0) {
      std::printf("loss of the first step: %.4f nats a token\n",
                  loss.sum / static_cast<double>(loss.tokens));
      continue;
    }
    slots.push_back(computed - start);
    updates.push_back(updated - computed);
    steps.push_back(updated - start);
    floors.push_back(end - updated);
  }
  const double tokens_a_step = static_cast<double>(samples) * spec.config.context;
  std::printf("core %s, kernels %s, %s\n", kernels::ActiveCore().c_str(),
              kernels::BestKernels().name, kernels::BlasDescription().c_str());
  std::printf("%.1f M parameters, %.0f tokens a step, %d threads, %d repeats\n",
              static_cast<double>(layout.parameters) * 1e-6, tokens_a_step, options.threads,
              options.repeats);
  std::printf(
      "median (least) ms: slot %.2f (%.2f), update %.2f (%.2f), step %.2f (%.2f), "
      "products alone %.2f (%.2f)\n",
      Median(slots) * 1e3, std::ranges::min(slots) * 1e3, Median(updates) * 1e3,
      std::ranges::min(updates) * 1e3, Median(steps) * 1e3, std::ranges::min(steps) * 1e3,
      Median(floors) * 1e3, std::ranges::min(floors) * 1e3);
  std::printf(
      "tokens a second: median %.1f, best %.1f; share of the floor: median %.3f, best %.3f\n",
      tokens_a_step / Median(steps), tokens_a_step / std::ranges::min(steps),
      Median(floors) / Median(steps), std::ranges::min(floors) / std::ranges::min(steps));
  return 0;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  muster::Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (name == "--threads" && std::atoi(value.c_str()) > 0) {
      options.threads = std::atoi(value.c_str());
    } else if (name == "--repeats" && std::atoi(value.c_str()) > 0) {
      options.repeats = std::atoi(value.c_str());
    } else if (name == "--model" && (value == "124m" || value == "small")) {
      options.small = value == "small";
    } else {
      std::fprintf(stderr, "usage: step_bench [--threads N] [--repeats N] [--model 124m|small]\n");
      return 2;
    }
  }
  return muster::Run(options);
}
