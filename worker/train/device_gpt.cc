#include "worker/train/device_gpt.h"

#include <array>
#include <fstream>
#include <utility>

#include "operator/base/check.h"
#include "operator/base/sha256.h"

namespace muster::train {
namespace {

// Of the job and not of the machine (E3): all members cut the logits alike, and multiply alike.
constexpr std::int32_t kChunkRows = 1024;

// Some hundred bytes a product, and a few dozen products.
constexpr std::size_t kMostTableBytes = std::size_t{1} << 20;

absl::StatusOr<std::string> ReadTable(const std::string& path) {
  const std::string where = "spec.program.config.matmulTable: " + path;
  std::ifstream in(path, std::ios::binary);
  if (!in) return base::InvalidArgument(where + " cannot be read");
  std::string text(kMostTableBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (in.bad()) return base::InvalidArgument(where + " cannot be read");
  if (text.size() > kMostTableBytes || text.find('\0') != std::string::npos) {
    return base::InvalidArgument(where + " is no table: a text of at most 1 MiB is allowed");
  }
  return text;
}

class DeviceGpt final : public DeviceProgram {
 public:
  DeviceGpt(device::Context& context, MusterCudaGpt* gpt, std::unique_ptr<model::Program> host,
            std::function<void(const std::string&)> warn)
      : context_(context),
        gpt_(gpt),
        host_(std::move(host)),
        warn_(std::move(warn)),
        loss_(context, sizeof(double)) {}
  ~DeviceGpt() override { context_.module().gpt_destroy(gpt_); }

  const model::Program& host() const override { return *host_; }

  std::int64_t LaunchSlot(const float* device_weights, std::span<const std::int32_t> tokens,
                          const model::SlotKey& key, const Finished& finished,
                          double* device_loss) override {
    const MusterCudaSlotKey of_slot = {key.seed, key.step, key.slot};
    std::int64_t counted = 0;
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_slot(gpt_, device_weights, tokens.data(), &of_slot, Finish,
                                        const_cast<Finished*>(&finished), device_loss, &counted,
                                        message);
    });
    WarnOfGraphs();
    return counted;
  }

  model::SlotLoss Evaluate(const float* device_weights, std::span<const std::int32_t> tokens,
                           std::int32_t rows) override {
    model::SlotLoss loss;
    context_.Check([&](MusterCudaText message) {
      return context_.module().gpt_evaluate(gpt_, device_weights, tokens.data(), rows,
                                            loss_.as<double>(), &loss.tokens, message);
    });
    context_.ToHost(loss_.data(), std::as_writable_bytes(std::span(&loss.sum, 1)));
    return loss;
  }

 private:
  void WarnOfGraphs() {
    if (warn_ == nullptr) return;
    std::array<char, 256> text{};
    (void)context_.module().gpt_graphs(gpt_, {text.data(), static_cast<int32_t>(text.size())});
    if (text[0] == '\0') return;
    warn_("slots are launched kernel by kernel: " + std::string(text.data()));
    warn_ = nullptr;
  }

  static std::int32_t Finish(void* user, std::int32_t tensor, const float* gradient, std::int64_t) {
    (*static_cast<const Finished*>(user))(static_cast<std::size_t>(tensor), gradient);
    return 0;
  }

  device::Context& context_;
  MusterCudaGpt* const gpt_;
  const std::unique_ptr<model::Program> host_;
  std::function<void(const std::string&)> warn_;  // null: it was told
  device::Memory loss_;                           // of an evaluation
};

}  // namespace

MusterCudaGptConfig GptConfigOf(const api::ProgramConfig& config, std::int32_t products) {
  MusterCudaGptConfig out{};
  out.layers = config.layers;
  out.heads = config.heads;
  out.width = config.width;
  out.context = config.context;
  out.batch = config.batch;
  out.vocabulary = config.vocabulary;
  out.recompute = config.recompute;
  out.products = products;
  out.attention = AttentionFor(MUSTER_CUDNN != 0, config.context);
  out.chunk_rows = kChunkRows;
  out.dropout = config.dropout;
  return out;
}

std::int32_t AttentionFor(bool built_with_cudnn, std::int64_t context) {
  const bool served = context % MUSTER_CUDA_CUDNN_CONTEXT == 0;
  return built_with_cudnn && served ? MUSTER_CUDA_ATTENTION_CUDNN : MUSTER_CUDA_ATTENTION_OWN;
}

absl::StatusOr<std::int64_t> DeviceGptBytes(const MusterCudaModule& module,
                                            const api::ProgramConfig& config) {
  // With cuBLASLt, which has a workspace.
  const MusterCudaGptConfig of_module = GptConfigOf(config, MUSTER_CUDA_PRODUCTS_CUBLASLT);
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
                                                             const DeviceGptOptions& options,
                                                             std::string* products) {
  MUSTER_RETURN_IF_ERROR(DeviceGptBytes(context.module(), config).status());
  // An empty file is no table, and is refused as one.
  const bool has_table = !config.matmul_table.empty();
  std::string table;
  if (has_table) {
    MUSTER_ASSIGN_OR_RETURN(table, ReadTable(config.matmul_table));
  }
  std::array<char, 256> text{};
  MusterCudaGpt* gpt = nullptr;
  for (const std::int32_t by : {MUSTER_CUDA_PRODUCTS_CUBLASLT, MUSTER_CUDA_PRODUCTS_OWN}) {
    if (by == MUSTER_CUDA_PRODUCTS_OWN && has_table) continue;
    MusterCudaGptConfig of_module = GptConfigOf(config, by);
    of_module.graphs = options.graphs ? 1 : 0;
    of_module.table = has_table ? table.c_str() : nullptr;
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
  if (has_table) *products += ", table " + base::Sha256Hex(table).substr(0, 16);
  const std::string attention = context.module().gpt_attention(gpt);
  if (!attention.empty()) *products += ", " + attention;
  return std::make_unique<DeviceGpt>(context, gpt, std::move(host), options.warn);
}

}  // namespace muster::train
