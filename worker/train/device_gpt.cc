#include "worker/train/device_gpt.h"

#include <array>
#include <utility>

#include "operator/base/check.h"

namespace muster::train {
namespace {

// Of the job and not of the machine (E3): all members cut the logits alike, and multiply alike.
constexpr std::int32_t kChunkRows = 1024;

MusterCudaGptConfig ForModule(const api::ProgramConfig& config, std::int32_t products) {
  MusterCudaGptConfig out{};
  out.layers = config.layers;
  out.heads = config.heads;
  out.width = config.width;
  out.context = config.context;
  out.batch = config.batch;
  out.vocabulary = config.vocabulary;
  out.recompute = 0;
  out.products = products;
  out.attention = AttentionFor(MUSTER_CUDNN != 0, config.context);
  out.chunk_rows = kChunkRows;
  out.dropout = config.dropout;
  return out;
}

class DeviceGpt final : public DeviceProgram {
 public:
  DeviceGpt(device::Context& context, MusterCudaGpt* gpt, std::unique_ptr<model::Program> host)
      : context_(context), gpt_(gpt), host_(std::move(host)), loss_(context, sizeof(double)) {}
  ~DeviceGpt() override { context_.module().gpt_destroy(gpt_); }

  const model::Program& host() const override { return *host_; }

  model::SlotLoss ComputeSlot(const float* device_weights, std::span<const std::int32_t> tokens,
                              const model::SlotKey& key, const Finished& finished) override {
    const MusterCudaSlotKey of_slot = {key.seed, key.step, key.slot};
    model::SlotLoss loss;
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_slot(gpt_, device_weights, tokens.data(), &of_slot, Finish,
                                        const_cast<Finished*>(&finished), loss_.as<double>(),
                                        &loss.tokens, message);
    });
    ReadLoss(loss);
    return loss;
  }

  model::SlotLoss Evaluate(const float* device_weights, std::span<const std::int32_t> tokens,
                           std::int32_t rows) override {
    model::SlotLoss loss;
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_evaluate(gpt_, device_weights, tokens.data(), rows,
                                            loss_.as<double>(), &loss.tokens, message);
    });
    ReadLoss(loss);
    return loss;
  }

 private:
  static std::int32_t Finish(void* user, std::int32_t tensor, const float* gradient, std::int64_t) {
    (*static_cast<const Finished*>(user))(static_cast<std::size_t>(tensor), gradient);
    return 0;
  }
  void ReadLoss(model::SlotLoss& loss) {
    context_.ToHost(loss_.data(), std::as_writable_bytes(std::span(&loss.sum, 1)));
  }

  device::Context& context_;
  MusterCudaGpt* const gpt_;
  const std::unique_ptr<model::Program> host_;
  device::Memory loss_;
};

}  // namespace

std::int32_t AttentionFor(bool built_with_cudnn, std::int64_t context) {
  const bool served = context % MUSTER_CUDA_CUDNN_CONTEXT == 0;
  return built_with_cudnn && served ? MUSTER_CUDA_ATTENTION_CUDNN : MUSTER_CUDA_ATTENTION_OWN;
}

absl::StatusOr<std::int64_t> DeviceGptBytes(const MusterCudaModule& module,
                                            const api::ProgramConfig& config) {
  // With cuBLASLt, which has a workspace.
  const MusterCudaGptConfig of_module = ForModule(config, MUSTER_CUDA_PRODUCTS_CUBLASLT);
  std::array<char, 256> text{};
  std::int64_t bytes = 0;
  if (module.gpt_bytes(&of_module, &bytes, {text.data(), static_cast<int32_t>(text.size())}) != 0) {
    return base::InvalidArgument("on a GPU: " + std::string(text.data()));
  }
  return bytes;
}

absl::StatusOr<std::unique_ptr<DeviceProgram>> MakeDeviceGpt(device::Context& context,
                                                             const api::ProgramConfig& config,
                                                             std::unique_ptr<model::Program> host,
                                                             std::string* products) {
  MUSTER_RETURN_IF_ERROR(DeviceGptBytes(context.module(), config).status());
  std::array<char, 256> text{};
  MusterCudaGpt* gpt = nullptr;
  for (const std::int32_t by : {MUSTER_CUDA_PRODUCTS_CUBLASLT, MUSTER_CUDA_PRODUCTS_OWN}) {
    const MusterCudaGptConfig of_module = ForModule(config, by);
    if (context.module().gpt_create(context.raw(), &of_module, &gpt,
                                    {text.data(), static_cast<int32_t>(text.size())}) == 0) {
      break;
    }
  }
  if (gpt == nullptr) {
    return base::Unavailable("no slot can be made on the GPU: " + std::string(text.data()));
  }
  const std::int64_t version = context.module().gpt_products(gpt);
  *products = version == 0 ? "own products" : "cuBLASLt " + std::to_string(version);
  const std::string attention = context.module().gpt_attention(gpt);
  if (!attention.empty()) *products += ", " + attention;
  return std::make_unique<DeviceGpt>(context, gpt, std::move(host));
}

}  // namespace muster::train
