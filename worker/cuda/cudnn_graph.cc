#include "worker/cuda/cudnn_graph.h"

#include <cmath>
#include <limits>
#include <utility>

#include "worker/cuda/cudnn_abi.h"
#include "worker/cuda/module.h"

namespace muster::cuda::cudnn {
namespace {

// Ids of tensors without a role begin here.
constexpr std::int64_t kFirstOther = 100;

Quad Packed(const Quad& d) { return {d[1] * d[2] * d[3], d[2] * d[3], d[3], 1}; }
Quad Swapped(const Quad& quad) { return {quad[0], quad[1], quad[3], quad[2]}; }

// Writes a graph down, operation by operation.
class Scribe {
 public:
  explicit Scribe(const AttentionShape& shape) : s_(shape) {}
  Graph Take() { return std::move(graph_); }

  Quad scores() const { return {s_.batch, s_.heads, s_.context, s_.context}; }
  Quad rows() const { return {s_.batch, s_.heads, s_.context, 1}; }
  Quad values() const { return {s_.batch, s_.heads, s_.context, s_.head()}; }

  // Of the packed rows of queries, keys and values, or of rows of one of them.
  int Activation(Role role, std::int64_t row) {
    return Real(role, kBfloat16, values(), {s_.context * row, s_.head(), row, 1});
  }
  int ActivationTransposed(Role role, std::int64_t row) {
    const int tensor = Activation(role, row);
    Tensor& t = graph_.tensors[static_cast<std::size_t>(tensor)];
    t.dimensions = Swapped(t.dimensions);
    t.strides = Swapped(t.strides);
    return tensor;
  }
  int Statistic(Role role) { return Real(role, kFloat32, rows(), Packed(rows())); }
  int Scalar(float value) {
    Tensor tensor;
    tensor.id = Next();
    tensor.type = kFloat32;
    tensor.dimensions = tensor.strides = {1, 1, 1, 1};
    tensor.is_scalar = true;
    tensor.scalar = value;
    return Add(tensor);
  }
  int Virtual(int type, const Quad& dimensions) {
    return Virtual(type, dimensions, Packed(dimensions));
  }
  int Virtual(int type, const Quad& dimensions, const Quad& strides) {
    Tensor tensor;
    tensor.id = Next();
    tensor.type = type;
    tensor.dimensions = dimensions;
    tensor.strides = strides;
    tensor.is_virtual = true;
    return Add(tensor);
  }
  const Tensor& at(int tensor) const { return graph_.tensors[static_cast<std::size_t>(tensor)]; }

  void Matmul(int a, int b, int c) {
    Operation o;
    o.kind = Kind::kMatmul;
    o.compute = kFloat32;
    o.x = a;
    o.b = b;
    o.y = c;
    graph_.operations.push_back(o);
  }
  // Over the last dimension.
  void Reduce(int mode, int x, int y) {
    Operation o;
    o.kind = Kind::kReduction;
    o.mode = mode;
    o.compute = kFloat32;
    o.x = x;
    o.y = y;
    graph_.operations.push_back(o);
  }
  void Pointwise(int mode, int x, int b, int y, int t = kNoTensor, int compute = kFloat32) {
    Operation o;
    o.mode = mode;
    o.compute = compute;
    o.x = x;
    o.b = b;
    o.t = t;
    o.y = y;
    graph_.operations.push_back(o);
  }
  // The same numbers, as they lie in y.
  void Reshape(int x, int y) {
    Operation o;
    o.kind = Kind::kReshape;
    o.x = x;
    o.y = y;
    graph_.operations.push_back(o);
  }
  int Index(int of, std::int64_t axis) {
    const int y = Virtual(kInteger32, at(of).dimensions);
    Operation o;
    o.mode = kIndexOf;
    o.compute = kFloat32;
    o.axis = axis;
    o.x = of;
    o.y = y;
    graph_.operations.push_back(o);
    return y;
  }
  int Unary(int mode, int x, int type = kFloat32) { return Binary(mode, x, kNoTensor, type); }
  int Binary(int mode, int x, int b, int type = kFloat32) {
    const int y = Virtual(type, at(x).dimensions);
    Pointwise(mode, x, b, y);
    return y;
  }

  // Keys after a query get -infinity.
  int Mask(int scores_tensor) {
    const int row = Index(scores_tensor, 2), column = Index(scores_tensor, 3);
    const int seen = Virtual(kBoolean, scores());
    Pointwise(kGreaterOrEqual, row, column, seen, kNoTensor, kBoolean);
    const int y = Virtual(kFloat32, scores());
    Pointwise(kSelect, scores_tensor, Scalar(-std::numeric_limits<float>::infinity()), y, seen);
    return y;
  }
  // The transpose of a matrix of scores, as tensor cores take it.
  int Transposed(int scores_tensor) {
    const Quad d = scores();
    const int y = Virtual(kBfloat16, Swapped(d), Swapped(Packed(d)));
    Reshape(scores_tensor, y);
    return y;
  }

 private:
  std::int64_t Next() { return kFirstOther + static_cast<std::int64_t>(graph_.tensors.size()); }
  int Add(const Tensor& tensor) {
    graph_.tensors.push_back(tensor);
    return static_cast<int>(graph_.tensors.size()) - 1;
  }
  int Real(Role role, int type, const Quad& dimensions, const Quad& strides) {
    Tensor tensor;
    tensor.id = static_cast<std::int64_t>(role);
    tensor.type = type;
    tensor.dimensions = dimensions;
    tensor.strides = strides;
    return Add(tensor);
  }

  const AttentionShape s_;
  Graph graph_;
};

float ScaleOf(const AttentionShape& shape) {
  return 1.0f / std::sqrt(static_cast<float>(shape.head()));
}

}  // namespace

const char* CheckShape(const AttentionShape& shape) {
  const bool served = shape.context > 0 && shape.context % MUSTER_CUDA_CUDNN_CONTEXT == 0;
  return served ? nullptr : "a context that is no multiple of 128";
}

Graph ForwardGraph(const AttentionShape& shape) {
  Scribe g(shape);
  const int q = g.Activation(Role::kQ, 3 * shape.width);
  const int k = g.ActivationTransposed(Role::kK, 3 * shape.width);
  const int v = g.Activation(Role::kV, 3 * shape.width);
  const int out = g.Activation(Role::kOut, shape.width);
  const int stats = g.Statistic(Role::kStats);

  const int products = g.Virtual(kFloat32, g.scores());
  g.Matmul(q, k, products);
  const int scores = g.Mask(g.Binary(kMultiply, products, g.Scalar(ScaleOf(shape))));
  const int greatest = g.Virtual(kFloat32, g.rows());
  g.Reduce(kMaximum, scores, greatest);
  const int powers = g.Unary(kExp, g.Binary(kSubtract, scores, greatest));
  const int sum = g.Virtual(kFloat32, g.rows());
  g.Reduce(kSum, powers, sum);
  g.Pointwise(kAdd, greatest, g.Unary(kLog, sum), stats);
  g.Matmul(g.Binary(kDivide, powers, sum, kBfloat16), v, out);
  return g.Take();
}

Graph BackwardGraph(const AttentionShape& shape) {
  Scribe g(shape);
  const int q = g.Activation(Role::kQ, 3 * shape.width);
  const int k = g.ActivationTransposed(Role::kK, 3 * shape.width);
  const int v = g.ActivationTransposed(Role::kV, 3 * shape.width);
  const int out = g.Activation(Role::kOut, shape.width);
  const int stats = g.Statistic(Role::kStats);
  const int d_out = g.Activation(Role::kDOut, shape.width);
  const int dot = g.Statistic(Role::kDot);
  const int d_q = g.Activation(Role::kDQ, 3 * shape.width);
  const int d_k = g.Activation(Role::kDK, 3 * shape.width);
  const int d_v = g.Activation(Role::kDV, 3 * shape.width);
  const int scale = g.Scalar(ScaleOf(shape));

  const int row_sum = g.Virtual(kFloat32, g.rows());
  g.Reduce(kSum, g.Binary(kMultiply, d_out, out), row_sum);
  // Times one: where dropout's factor stands, in the pattern that cuDNN looks for.
  g.Pointwise(kMultiply, row_sum, g.Scalar(1), dot);

  const int products = g.Virtual(kFloat32, g.scores());
  g.Matmul(q, k, products);
  const int below = g.Binary(kSubtract, g.Binary(kMultiply, products, scale), stats);
  const int weights = g.Unary(kExp, g.Mask(below));
  g.Matmul(g.Transposed(weights), d_out, d_v);

  const int d_weights = g.Virtual(kFloat32, g.scores());
  g.Matmul(d_out, v, d_weights);
  const int centred = g.Binary(kMultiply, g.Binary(kSubtract, d_weights, dot), weights);
  const int d_scores = g.Binary(kMultiply, centred, scale);
  g.Matmul(g.Transposed(d_scores), q, d_k);
  const int keys = g.Virtual(kFloat32, Swapped(g.at(k).dimensions), Swapped(g.at(k).strides));
  g.Reshape(k, keys);
  g.Matmul(d_scores, keys, d_q);
  return g.Take();
}

}  // namespace muster::cuda::cudnn
