// Causal attention as cuDNN is told of it: two graphs of tensors and operations, as values. Which
// calls make descriptors of them is said in cudnn_plan.h. Pure.
//
// cuDNN recognises attention by the operations that it is made of and runs them as one kernel, so
// their kind and their connections are what it documents for it. The way back is the deterministic
// one: dQ is the product's own output, and not a sum of floats into which blocks add in the order in
// which they come.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace muster::cuda::cudnn {

struct AttentionShape {
  std::int64_t batch = 0, context = 0, heads = 0, width = 0;
  std::int64_t head() const { return width / heads; }
};

// Null, or what cuDNN is not asked for: what is left of a context over blocks of 128 would take a
// mask of its own on the way back.
const char* CheckShape(const AttentionShape& shape);

// The tensors that lie in memory; these are their ids, and pointers come in this order.
enum class Role : std::int64_t { kQ, kK, kV, kOut, kStats, kDOut, kDot, kDQ, kDK, kDV, kCount };

using Quad = std::array<std::int64_t, 4>;
// Without a role it is a scalar that is passed by value, or virtual: of the graph alone.
struct Tensor {
  std::int64_t id = 0;
  int type = 0;
  Quad dimensions{}, strides{};
  bool is_virtual = false, is_scalar = false;
  float scalar = 0;
};

enum class Kind { kMatmul, kPointwise, kReduction, kReshape };
inline constexpr int kNoTensor = -1;
// x, b, t and y are places in the graph's tensors.
struct Operation {
  Kind kind = Kind::kPointwise;
  int mode = 0;           // of a pointwise operation or a reduction
  int compute = 0;        // type
  std::int64_t axis = 0;  // of kIndexOf
  int x = kNoTensor, b = kNoTensor, t = kNoTensor, y = kNoTensor;
};

struct Graph {
  std::vector<Tensor> tensors;
  std::vector<Operation> operations;  // each after those whose output it takes
};

Graph ForwardGraph(const AttentionShape& shape);
Graph BackwardGraph(const AttentionShape& shape);

}  // namespace muster::cuda::cudnn
