#include "worker/train/tune_products.h"

#include <array>
#include <memory>
#include <vector>

#include "operator/base/rng.h"
#include "worker/train/device_gpt.h"

namespace muster::train {
namespace {

constexpr std::size_t kMostTableBytes = std::size_t{1} << 20;

std::vector<std::int32_t> SomeTokens(const api::ProgramConfig& config) {
  base::SplitMix random(1);
  std::vector<std::int32_t> tokens;
  const std::int64_t count = std::int64_t{config.batch} * (config.context + 1);
  for (std::int64_t i = 0; i < count; ++i) {
    tokens.push_back(
        static_cast<std::int32_t>(random.Below(static_cast<std::uint64_t>(config.vocabulary))));
  }
  return tokens;
}

int32_t Ignore(void*, int32_t, const float*, int64_t) { return 0; }

}  // namespace

absl::StatusOr<std::string> TuneProducts(device::Context& context, const api::ProgramConfig& config,
                                         const model::Program& host) {
  const MusterCudaModule& module = context.module();
  MusterCudaGptConfig of_module = GptConfigOf(config, MUSTER_CUDA_PRODUCTS_CUBLASLT);
  of_module.tune = 1;
  std::array<char, 512> text{};
  const MusterCudaText message = {text.data(), static_cast<int32_t>(text.size())};
  MusterCudaGpt* made = nullptr;
  if (module.gpt_create(context.raw(), &of_module, &made, message) != 0) {
    return base::Unavailable(text.data());
  }
  const std::unique_ptr<MusterCudaGpt, void (*)(MusterCudaGpt*)> gpt(made, module.gpt_destroy);
  std::vector<float> initial(static_cast<std::size_t>(host.layout().parameters));
  host.Initialise(1, initial);
  const auto bytes = std::as_bytes(std::span(initial));
  device::Memory weights(context, static_cast<std::int64_t>(bytes.size()));
  device::Memory loss(context, sizeof(double));
  context.ToDevice(bytes, weights.data());
  const std::vector<std::int32_t> tokens = SomeTokens(config);
  const MusterCudaSlotKey key{1, 1, 0};
  std::int64_t counted = 0;
  if (module.gpt_slot(gpt.get(), weights.as<float>(), tokens.data(), &key, Ignore, nullptr,
                      loss.as<double>(), &counted, message) != 0) {
    return base::Unavailable(text.data());
  }
  context.Synchronise();
  std::string table(kMostTableBytes, '\0');
  if (module.gpt_table(gpt.get(), {table.data(), static_cast<int32_t>(table.size())}, message) !=
      0) {
    return base::Unavailable(text.data());
  }
  return std::string(table.c_str());
}

}  // namespace muster::train
