// One slot of a GPT on a GPU by itself, again and again: forward, backward and the sums, without the
// job around it. For a profiler, and to tell what a step loses elsewhere.
//
//   slot_bench --layers N --heads N --width N --context N --batch N --vocabulary N
//              [--sums none|float|int32|int64] [--products own|cublaslt] [--recompute N]
//              [--chunk-rows N] [--warm N] [--repeats N]
//
// MUSTER_CUDA_MODULE names the module. Prints one line of JSON: seconds of each repeat, tokens a
// second of their median, who multiplied, and the loss, which is of random weights.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/rng.h"
#include "worker/device/context.h"
#include "worker/device/module.h"
#include "worker/model/gpt_layout.h"

namespace muster {
namespace {

struct Options {
  MusterCudaGptConfig gpt{};
  std::int32_t sums = MUSTER_CUDA_INT32;  // or -1: none
  std::int32_t warm = 3, repeats = 10;
};

[[noreturn]] void Fail(const std::string& sentence) {
  std::fprintf(stderr, "slot_bench: %s\n", sentence.c_str());
  std::exit(1);
}

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

api::ProgramConfig ForLayout(const MusterCudaGptConfig& gpt) {
  api::ProgramConfig config;
  config.layers = gpt.layers;
  config.heads = gpt.heads;
  config.width = gpt.width;
  config.context = gpt.context;
  config.batch = gpt.batch;
  config.vocabulary = gpt.vocabulary;
  return config;
}

// Matrices of GPT-2's initial size, gains of 1.
std::vector<float> Weights(const model::Layout& layout) {
  std::vector<float> weights(static_cast<std::size_t>(layout.parameters));
  base::SplitMix random(1);
  for (const model::Tensor& tensor : layout.tensors) {
    const bool gain =
        tensor.name.find("ln_") != std::string::npos && tensor.name.ends_with("weight");
    for (std::int64_t i = 0; i < tensor.size; ++i) {
      const double value = gain ? 1 : 0.07 * (random.Uniform() - 0.5);
      weights[static_cast<std::size_t>(tensor.offset + i)] = static_cast<float>(value);
    }
  }
  return weights;
}

std::vector<std::int32_t> Tokens(const MusterCudaGptConfig& gpt) {
  base::SplitMix random(2);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(gpt.batch * (gpt.context + 1)));
  for (std::int32_t& token : tokens) {
    token = static_cast<std::int32_t>(random.Below(static_cast<std::uint64_t>(gpt.vocabulary)));
  }
  return tokens;
}

class SlotBench {
 public:
  SlotBench(device::Context& context, const Options& options)
      : context_(context),
        options_(options),
        layout_(model::MakeGptLayout(ForLayout(options.gpt))),
        tokens_(Tokens(options.gpt)),
        weights_(context, layout_.parameters * 4),
        sums_(context, layout_.parameters * SumBytes()),
        told_(context, sizeof(MusterCudaTold)),
        loss_(context, sizeof(double)) {
    const std::vector<float> weights = Weights(layout_);
    context_.ToDevice(std::as_bytes(std::span(weights)), weights_.data());
    context_.Do(&MusterCudaModule::clear, sums_.data(), sums_.bytes());
    context_.Do(&MusterCudaModule::clear, told_.data(), told_.bytes());
    context_.Synchronise();
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_create(context_.raw(), &options_.gpt, &gpt_, message);
    });
  }
  ~SlotBench() { context_.module().gpt_destroy(gpt_); }
  SlotBench(const SlotBench&) = delete;
  SlotBench& operator=(const SlotBench&) = delete;

  double Run(std::int64_t step) {
    const MusterCudaSlotKey key = {1, step, 0};
    std::int64_t counted = 0;
    const double begin = Seconds();
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_slot(gpt_, weights_.as<const float>(), tokens_.data(), &key,
                                        Finished, this, loss_.as<double>(), &counted, message);
    });
    context_.Synchronise();
    return Seconds() - begin;
  }
  double MeanLoss() {
    double sum = 0;
    context_.ToHost(loss_.data(), std::as_writable_bytes(std::span(&sum, 1)));
    context_.Synchronise();
    return sum / (options_.gpt.batch * options_.gpt.context);
  }
  std::int64_t products() const { return context_.module().gpt_products(gpt_); }

 private:
  std::int64_t SumBytes() const {
    return options_.sums < 0 ? 0 : options_.sums == MUSTER_CUDA_INT64 ? 8 : 4;
  }
  static std::int32_t Finished(void* user, std::int32_t tensor, const float* gradient,
                               std::int64_t length) {
    auto& self = *static_cast<SlotBench*>(user);
    if (self.options_.sums < 0) return 0;
    const auto offset = self.layout_.tensors[static_cast<std::size_t>(tensor)].offset;
    const MusterCudaSums sums = {self.options_.sums,
                                 self.sums_.as<std::byte>(offset * self.SumBytes()), length,
                                 static_cast<std::uint64_t>(offset)};
    // Scales of no job; what they cost is a job's.
    self.context_.Do(&MusterCudaModule::quantise_add, gradient, &sums, 0x1p20,
                     std::int64_t{1} << 30, self.told_.as<MusterCudaTold>());
    return 0;
  }

  device::Context& context_;
  const Options options_;
  const model::Layout layout_;
  const std::vector<std::int32_t> tokens_;
  device::Memory weights_, sums_, told_, loss_;
  MusterCudaGpt* gpt_ = nullptr;
};

bool Number(const char* text, std::int32_t& out) {
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), out);
  return error == std::errc() && *end == '\0' && out >= 0;
}

bool Set(Options& options, std::string_view name, const char* value) {
  MusterCudaGptConfig& gpt = options.gpt;
  const std::pair<std::string_view, std::int32_t*> numbers[] = {
      {"--layers", &gpt.layers},       {"--heads", &gpt.heads},
      {"--width", &gpt.width},         {"--context", &gpt.context},
      {"--batch", &gpt.batch},         {"--vocabulary", &gpt.vocabulary},
      {"--recompute", &gpt.recompute}, {"--chunk-rows", &gpt.chunk_rows},
      {"--warm", &options.warm},       {"--repeats", &options.repeats}};
  for (const auto& [known, field] : numbers) {
    if (name == known) return Number(value, *field);
  }
  const std::string_view word = value;
  if (name == "--products") {
    gpt.products = word == "own" ? MUSTER_CUDA_PRODUCTS_OWN : MUSTER_CUDA_PRODUCTS_CUBLASLT;
    return word == "own" || word == "cublaslt";
  }
  if (name != "--sums") return false;
  options.sums = word == "int64"   ? MUSTER_CUDA_INT64
                 : word == "int32" ? MUSTER_CUDA_INT32
                 : word == "float" ? MUSTER_CUDA_FLOAT
                                   : -1;
  return options.sums >= 0 || word == "none";
}

int Run(const Options& options) {
  const char* path = std::getenv("MUSTER_CUDA_MODULE");
  const auto module = device::LoadModule(path == nullptr ? "" : path);
  if (!module.ok()) Fail("MUSTER_CUDA_MODULE: " + base::Message(module.status()));
  auto context = device::Context::Create(**module, 0, Fail);
  if (!context.ok()) Fail(base::Message(context.status()));
  SlotBench bench(**context, options);
  for (std::int32_t i = 0; i < options.warm; ++i) bench.Run(i);
  std::vector<double> times;
  for (std::int32_t i = 0; i < options.repeats; ++i) times.push_back(bench.Run(options.warm + i));
  std::printf("{\"seconds\": [");
  for (std::size_t i = 0; i < times.size(); ++i)
    std::printf("%s%.6f", i == 0 ? "" : ", ", times[i]);
  std::ranges::sort(times);
  const double tokens = static_cast<double>(options.gpt.batch) * options.gpt.context;
  std::printf("], \"tokensPerSecond\": %.1f, \"cublasLt\": %ld, \"loss\": %.6f}\n",
              tokens / times[times.size() / 2], static_cast<long>(bench.products()),
              bench.MeanLoss());
  return 0;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  muster::Options options;
  options.gpt.chunk_rows = 1024;
  bool good = argc % 2 == 1 && argc > 1;
  for (int i = 1; good && i < argc; i += 2) good = muster::Set(options, argv[i], argv[i + 1]);
  if (!good || options.repeats < 1) {
    std::fprintf(stderr,
                 "usage: slot_bench --layers N --heads N --width N --context N --batch N "
                 "--vocabulary N\n       [--sums none|float|int32|int64] [--products own|cublaslt] "
                 "[--recompute N] [--chunk-rows N] [--warm N] [--repeats N]\n");
    return 2;
  }
  return muster::Run(options);
}
