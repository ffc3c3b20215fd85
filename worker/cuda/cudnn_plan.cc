#include "worker/cuda/cudnn_plan.h"

#include <cstdio>

#include "worker/cuda/matmul.h"

namespace muster::cuda::cudnn {
namespace {

// Of every tensor in memory, wherever it lies.
constexpr std::int64_t kTensorAlignmentBytes = 16;

}  // namespace

std::unique_ptr<Plan> Plan::Make(const Functions& functions, void* handle, const char* name,
                                 const Graph& graph, MusterCudaText message) {
  std::unique_ptr<Plan> plan(new Plan(functions, handle, name));
  void* const described = plan->MakeGraph(graph);
  if (described != nullptr) plan->Choose(described);
  if (plan->plan_ == nullptr) {
    plan->Complain(message);
    return nullptr;
  }
  for (const Tensor& tensor : graph.tensors) {
    if (tensor.is_virtual) continue;
    plan->ids_.push_back(tensor.id);
    plan->scalars_.push_back(tensor.scalar);
  }
  return plan;
}

Plan::~Plan() {
  for (std::size_t i = descriptors_.size(); i-- > 0;) {
    (void)call_.BackendDestroyDescriptor(descriptors_[i]);
  }
}

std::int32_t Plan::Run(const Pointers& pointers, void* workspace, MusterCudaText message) {
  std::vector<const void*> bound;
  for (std::size_t i = 0; i < ids_.size(); ++i) {
    const auto id = static_cast<std::size_t>(ids_[i]);
    bound.push_back(id < pointers.size() ? pointers[id] : &scalars_[i]);
  }
  why_.clear();
  const std::size_t of_plan = descriptors_.size();
  void* const pack = Create(kVariantPack);
  const auto count = static_cast<std::int64_t>(ids_.size());
  if (Set(pack, kPackPointers, kOfPointer, count, bound.data()) &&
      Set(pack, kPackIds, kOfInteger64, count, ids_.data()) &&
      Set(pack, kPackWorkspace, kOfPointer, workspace) && Finalize(pack)) {
    Succeeded("cudnnBackendExecute", call_.BackendExecute(handle_, plan_, pack));
  }
  if (descriptors_.size() > of_plan) {
    (void)call_.BackendDestroyDescriptor(pack);
    descriptors_.pop_back();
  }
  return why_.empty() ? 0 : Complain(message);
}

bool Plan::Succeeded(const char* call, int status) {
  if (status == kSuccess) return true;
  char last[256] = "";
  call_.GetLastErrorString(last, sizeof last);
  last[sizeof last - 1] = '\0';
  if (why_.empty()) {
    why_ = std::string(call) + " returned status " + std::to_string(status) + " (" + last + ")";
  }
  return false;
}

std::int32_t Plan::Complain(MusterCudaText message) const {
  return cuda::Complain(message, ("cuDNN, " + std::string(name_)).c_str(), why_.c_str());
}

void* Plan::Create(int type) {
  void* descriptor = nullptr;
  if (!why_.empty() || !Succeeded("cudnnBackendCreateDescriptor",
                                  call_.BackendCreateDescriptor(type, &descriptor))) {
    return nullptr;
  }
  descriptors_.push_back(descriptor);
  return descriptor;
}

bool Plan::Set(void* descriptor, int name, int type, std::int64_t count, const void* elements) {
  if (!why_.empty() || descriptor == nullptr) return false;
  const std::string call = "cudnnBackendSetAttribute " + std::to_string(name);
  return Succeeded(call.c_str(),
                   call_.BackendSetAttribute(descriptor, name, type, count, elements));
}

bool Plan::Finalize(void* descriptor) {
  return why_.empty() && descriptor != nullptr &&
         Succeeded("cudnnBackendFinalize", call_.BackendFinalize(descriptor));
}

void* Plan::MakeTensor(const Tensor& tensor) {
  void* const made = Create(kTensor);
  Set(made, kTensorType, kOfDataType, tensor.type);
  Set(made, kTensorDimensions, kOfInteger64, 4, tensor.dimensions.data());
  Set(made, kTensorStrides, kOfInteger64, 4, tensor.strides.data());
  Set(made, kTensorId, kOfInteger64, tensor.id);
  Set(made, kTensorAlignment, kOfInteger64, kTensorAlignmentBytes);
  Set(made, kTensorIsVirtual, kOfBoolean, tensor.is_virtual);
  Set(made, kTensorIsByValue, kOfBoolean, tensor.is_scalar);
  return Finalize(made) ? made : nullptr;
}

void* Plan::MakeMatmul(const Operation& operation, const std::vector<void*>& tensors) {
  void* const how = Create(kMatmul);
  Set(how, kMatmulComputeType, kOfDataType, operation.compute);
  Finalize(how);
  void* const made = Create(kMatmulOperation);
  Set(made, kOperationMatmulA, kOfDescriptor, tensors[static_cast<std::size_t>(operation.x)]);
  Set(made, kOperationMatmulB, kOfDescriptor, tensors[static_cast<std::size_t>(operation.b)]);
  Set(made, kOperationMatmulC, kOfDescriptor, tensors[static_cast<std::size_t>(operation.y)]);
  Set(made, kOperationMatmul, kOfDescriptor, how);
  return made;
}

void* Plan::MakePointwise(const Operation& operation, const std::vector<void*>& tensors) {
  void* const how = Create(kPointwise);
  Set(how, kPointwiseMode, kOfPointwiseMode, operation.mode);
  Set(how, kPointwiseComputeType, kOfDataType, operation.compute);
  if (operation.mode == kIndexOf) Set(how, kPointwiseAxis, kOfInteger64, operation.axis);
  Finalize(how);
  void* const made = Create(kPointwiseOperation);
  Set(made, kOperationPointwise, kOfDescriptor, how);
  const auto side = [&](int name, int tensor) {
    if (tensor == kNoTensor) return;
    Set(made, name, kOfDescriptor, tensors[static_cast<std::size_t>(tensor)]);
  };
  side(kOperationPointwiseX, operation.x);
  side(kOperationPointwiseB, operation.b);
  side(kOperationPointwiseT, operation.t);
  side(kOperationPointwiseY, operation.y);
  return made;
}

void* Plan::MakeReduction(const Operation& operation, const std::vector<void*>& tensors) {
  void* const how = Create(kReduction);
  Set(how, kReductionComputeType, kOfDataType, operation.compute);
  Set(how, kReductionOperator, kOfReductionOperator, operation.mode);
  Set(how, kReductionIsDeterministic, kOfBoolean, true);
  Finalize(how);
  void* const made = Create(kReductionOperation);
  Set(made, kOperationReductionX, kOfDescriptor, tensors[static_cast<std::size_t>(operation.x)]);
  Set(made, kOperationReductionY, kOfDescriptor, tensors[static_cast<std::size_t>(operation.y)]);
  Set(made, kOperationReduction, kOfDescriptor, how);
  return made;
}

void* Plan::MakeOperation(const Operation& operation, const std::vector<void*>& tensors) {
  void* made = nullptr;
  switch (operation.kind) {
    case Kind::kMatmul:
      made = MakeMatmul(operation, tensors);
      break;
    case Kind::kPointwise:
      made = MakePointwise(operation, tensors);
      break;
    case Kind::kReduction:
      made = MakeReduction(operation, tensors);
      break;
    case Kind::kReshape:
      made = Create(kReshapeOperation);
      Set(made, kOperationReshapeX, kOfDescriptor, tensors[static_cast<std::size_t>(operation.x)]);
      Set(made, kOperationReshapeY, kOfDescriptor, tensors[static_cast<std::size_t>(operation.y)]);
      break;
  }
  return Finalize(made) ? made : nullptr;
}

void* Plan::MakeGraph(const Graph& graph) {
  std::vector<void*> tensors, operations;
  for (const Tensor& tensor : graph.tensors) tensors.push_back(MakeTensor(tensor));
  for (const Operation& operation : graph.operations) {
    operations.push_back(MakeOperation(operation, tensors));
  }
  void* const made = Create(kOperationGraph);
  Set(made, kGraphOperations, kOfDescriptor, static_cast<std::int64_t>(operations.size()),
      operations.data());
  Set(made, kGraphHandle, kOfHandle, handle_);
  return Finalize(made) ? made : nullptr;
}

void Plan::Choose(void* graph) {
  void* const heuristic = Create(kHeuristic);
  Set(heuristic, kHeuristicGraph, kOfDescriptor, graph);
  Set(heuristic, kHeuristicModeName, kOfHeuristicMode, kHeuristicModeA);
  if (!Finalize(heuristic)) return;
  std::int64_t count = 0;
  const char* const call = "cudnnBackendGetAttribute of the heuristic";
  if (!Succeeded(call, call_.BackendGetAttribute(heuristic, kHeuristicResults, kOfDescriptor, 0,
                                                 &count, nullptr))) {
    return;
  }
  std::vector<void*> configs;
  for (std::int64_t i = 0; i < count; ++i) configs.push_back(Create(kEngineConfig));
  if (!why_.empty() ||
      !Succeeded(call, call_.BackendGetAttribute(heuristic, kHeuristicResults, kOfDescriptor, count,
                                                 &count, configs.data()))) {
    return;
  }
  std::string refused;
  for (std::int64_t i = 0; i < count; ++i) {
    if (Take(configs[static_cast<std::size_t>(i)], i)) return;
    if (!why_.empty()) refused = "; the last: " + why_;
    why_.clear();
  }
  why_ = "of " + std::to_string(count) + " engines none is deterministic and can be prepared" +
         refused;
}

bool Plan::IsDeterministic(void* engine) {
  std::array<int, kNumericalNotes> notes{};
  std::int64_t count = 0;
  if (!Succeeded("cudnnBackendGetAttribute of an engine's notes",
                 call_.BackendGetAttribute(engine, kEngineNumericalNote, kOfNumericalNote,
                                           kNumericalNotes, &count, notes.data()))) {
    return false;
  }
  for (std::int64_t i = 0; i < count && i < kNumericalNotes; ++i) {
    if (notes[static_cast<std::size_t>(i)] == kNotDeterministic) return false;
  }
  return true;
}

bool Plan::Take(void* config, std::int64_t place) {
  void* engine = Create(kEngine);
  std::int64_t count = 0, index = 0;
  const char* const call = "cudnnBackendGetAttribute of an engine";
  if (engine == nullptr ||
      !Succeeded(call, call_.BackendGetAttribute(config, kEngineConfigEngine, kOfDescriptor, 1,
                                                 &count, &engine)) ||
      !Succeeded(
          call, call_.BackendGetAttribute(engine, kEngineIndex, kOfInteger64, 1, &count, &index)) ||
      !IsDeterministic(engine)) {
    return false;
  }
  void* const plan = Create(kExecutionPlan);
  Set(plan, kPlanHandle, kOfHandle, handle_);
  Set(plan, kPlanEngineConfig, kOfDescriptor, config);
  if (!Finalize(plan) ||
      !Succeeded("cudnnBackendGetAttribute of the workspace",
                 call_.BackendGetAttribute(plan, kPlanWorkspaceSize, kOfInteger64, 1, &count,
                                           &workspace_bytes_))) {
    return false;
  }
  plan_ = plan;
  engine_ = std::to_string(index) + "." + std::to_string(place);
  return true;
}

}  // namespace muster::cuda::cudnn
