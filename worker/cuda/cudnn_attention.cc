#include "worker/cuda/cudnn_attention.h"

#include <cstdio>
#include <string>
#include <utility>

#include "worker/cuda/cudnn_plan.h"
#include "worker/cuda/matmul.h"

namespace muster::cuda {
namespace {

using cudnn::AttentionShape;
using cudnn::Plan;
using cudnn::Pointers;
using cudnn::Role;

constexpr std::int64_t kCudnnPage = 4096;

void Point(Pointers& pointers, Role role, const void* to) {
  pointers[static_cast<std::size_t>(role)] = const_cast<void*>(to);
}

class CudnnAttention final : public Attention {
 public:
  CudnnAttention(const cudnn::Functions& functions, const AttentionShape& shape, void* workspace)
      : call_(functions), shape_(shape), workspace_(workspace) {}
  ~CudnnAttention() override {
    forward_.reset();
    backward_.reset();
    if (handle_ != nullptr) (void)call_.Destroy(handle_);
  }

  bool Prepare(MusterCudaText message) {
    const int status = call_.Create(&handle_);
    if (status != cudnn::kSuccess) {
      handle_ = nullptr;
      const std::string why = "returned status " + std::to_string(status);
      Complain(message, "cudnnCreate", why.c_str());
      return false;
    }
    forward_ = Plan::Make(call_, handle_, "attention", ForwardGraph(shape_), message);
    if (forward_ == nullptr) return false;
    backward_ = Plan::Make(call_, handle_, "attention's way back", BackwardGraph(shape_), message);
    if (backward_ == nullptr) return false;
    for (const Plan* plan : {forward_.get(), backward_.get()}) {
      if (plan->workspace_bytes() <= CudnnWorkspace(shape_)) continue;
      const std::string why = "wants a workspace of " + std::to_string(plan->workspace_bytes()) +
                              " bytes, " + std::to_string(CudnnWorkspace(shape_)) + " were counted";
      Complain(message, "cuDNN", why.c_str());
      return false;
    }
    identity_ = "cuDNN " + std::to_string(call_.GetVersion()) + " with engines " +
                forward_->engine() + " and " + backward_->engine();
    return true;
  }

  std::int32_t Forward(void* stream, const AttentionPass& pass, MusterCudaText message) override {
    Pointers pointers{};
    PointInputs(pointers, pass);
    return Run(*forward_, stream, pass, pointers, message);
  }

  std::int32_t Backward(void* stream, const AttentionPass& pass, MusterCudaText message) override {
    Pointers pointers{};
    PointInputs(pointers, pass);
    Point(pointers, Role::kDOut, pass.d_out);
    Point(pointers, Role::kDot, pass.d_dot);
    Point(pointers, Role::kDQ, pass.d_qkv);
    Point(pointers, Role::kDK, pass.d_qkv + pass.width);
    Point(pointers, Role::kDV, pass.d_qkv + 2 * pass.width);
    return Run(*backward_, stream, pass, pointers, message);
  }

  const char* identity() const override { return identity_.c_str(); }

 private:
  static void PointInputs(Pointers& pointers, const AttentionPass& pass) {
    Point(pointers, Role::kQ, pass.qkv);
    Point(pointers, Role::kK, pass.qkv + pass.width);
    Point(pointers, Role::kV, pass.qkv + 2 * pass.width);
    Point(pointers, Role::kOut, pass.out);
    Point(pointers, Role::kStats, pass.lse);
  }

  std::int32_t Run(Plan& plan, void* stream, const AttentionPass& pass, const Pointers& pointers,
                   MusterCudaText message) {
    if (pass.batch != shape_.batch || pass.context != shape_.context ||
        pass.heads != shape_.heads || pass.width != shape_.width) {
      return Complain(message, "cuDNN", "attention of another shape than it was made for");
    }
    const int status = call_.SetStream(handle_, stream);
    if (status != cudnn::kSuccess) {
      const std::string why = "returned status " + std::to_string(status);
      return Complain(message, "cudnnSetStream", why.c_str());
    }
    return plan.Run(pointers, workspace_, message);
  }

  const cudnn::Functions call_;
  const AttentionShape shape_;
  void* const workspace_;
  void* handle_ = nullptr;
  std::unique_ptr<Plan> forward_, backward_;
  std::string identity_;
};

}  // namespace

std::int64_t CudnnWorkspace(const AttentionShape& shape) {
  const std::int64_t scores = shape.batch * shape.heads * shape.context * shape.context;
  return scores * static_cast<std::int64_t>(sizeof(Bf16)) + kCudnnPage;
}

std::unique_ptr<Attention> MakeCudnnAttention(const CudnnOptions& options,
                                              const AttentionShape& shape, MusterCudaText message) {
  if (const char* wrong = CheckShape(shape)) {
    Complain(message, "cuDNN is not asked for", wrong);
    return nullptr;
  }
  if (options.capability_major != 8 && options.capability_major != 9) {
    char why[160];
    std::snprintf(why, sizeof why,
                  "this GPU has compute capability %d.x; its deterministic attention is taken on "
                  "8.x and 9.x",
                  options.capability_major);
    Complain(message, "cuDNN", why);
    return nullptr;
  }
  cudnn::Functions functions;
  if (!cudnn::Open(options.library, functions, message)) return nullptr;
  auto attention = std::make_unique<CudnnAttention>(functions, shape, options.workspace);
  return attention->Prepare(message) ? std::move(attention) : nullptr;
}

}  // namespace muster::cuda
