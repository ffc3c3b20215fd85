// A graph of cudnn_graph.h made into something that cuDNN can run: descriptors by its calls, an
// engine by its heuristic, and what a run needs.
//
// Of the engines that the heuristic (mode A) names, the first is taken that cuDNN does not call
// nondeterministic and that it can prepare; nothing is timed (E3). Which one it became is a name
// that members compare. Thread rule: one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "worker/cuda/cudnn_abi.h"
#include "worker/cuda/cudnn_graph.h"
#include "worker/cuda/module.h"

namespace muster::cuda::cudnn {

// Of the tensors in memory, by Role.
using Pointers = std::array<void*, static_cast<std::size_t>(Role::kCount)>;

class Plan {
 public:
  // Null and a sentence in `message`, which says `name`. `functions` and `handle` outlive the plan.
  static std::unique_ptr<Plan> Make(const Functions& functions, void* handle, const char* name,
                                    const Graph& graph, MusterCudaText message);
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan();

  std::int64_t workspace_bytes() const { return workspace_bytes_; }
  // "8.0": cuDNN's number of the engine, and its place in what the heuristic named.
  const std::string& engine() const { return engine_; }

  // Enqueues on the handle's stream. 0, or 1 and a sentence.
  std::int32_t Run(const Pointers& pointers, void* workspace, MusterCudaText message);

 private:
  Plan(const Functions& functions, void* handle, const char* name)
      : call_(functions), handle_(handle), name_(name) {}

  // All of these return null or false after the first failure, which `why_` keeps.
  void* Create(int type);
  bool Set(void* descriptor, int name, int type, std::int64_t count, const void* elements);
  template <typename T>
  bool Set(void* descriptor, int name, int type, const T& value) {
    return Set(descriptor, name, type, 1, &value);
  }
  bool Finalize(void* descriptor);
  bool Succeeded(const char* call, int status);
  std::int32_t Complain(MusterCudaText message) const;

  void* MakeTensor(const Tensor& tensor);
  void* MakeOperation(const Operation& operation, const std::vector<void*>& tensors);
  void* MakeMatmul(const Operation& operation, const std::vector<void*>& tensors);
  void* MakePointwise(const Operation& operation, const std::vector<void*>& tensors);
  void* MakeReduction(const Operation& operation, const std::vector<void*>& tensors);
  void* MakeGraph(const Graph& graph);
  void Choose(void* graph);
  bool Take(void* config, std::int64_t place);
  bool IsDeterministic(void* engine);

  const Functions& call_;
  void* const handle_;
  const char* const name_;
  std::string why_;
  std::vector<void*> descriptors_;  // of the plan, in the order in which they were made
  void* plan_ = nullptr;
  std::int64_t workspace_bytes_ = 0;
  std::string engine_;
  // What is bound in each run, in the same order: ids, and where scalars lie.
  std::vector<std::int64_t> ids_;
  std::vector<float> scalars_;
};

}  // namespace muster::cuda::cudnn
