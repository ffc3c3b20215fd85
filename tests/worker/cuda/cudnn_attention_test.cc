// How cuDNN is told of attention, with a library in its place that computes what it is told
// (fake_cudnn.cc): what comes out is what our own kernels make of the same numbers.
#include "worker/cuda/cudnn_attention.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <array>

#include "tests/worker/cuda/on_device.h"
#include "worker/cuda/cudnn_abi.h"
#include "worker/cuda/kernels_gpt.h"

namespace muster::cuda {
namespace {

struct CudnnRun {
  std::vector<float> out, lse, d_qkv;
};

cudnn::AttentionShape ShapeWith(std::int64_t batch, std::int64_t context, std::int64_t heads,
                                std::int64_t head) {
  cudnn::AttentionShape shape;
  shape.batch = batch;
  shape.context = context;
  shape.heads = heads;
  shape.width = heads * head;
  return shape;
}

double OffBy(const std::vector<float>& actual, const std::vector<float>& expected) {
  double off = 0, size = 0;
  EXPECT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i], e = expected[i];
    off += (a - e) * (a - e);
    size += e * e;
  }
  return std::sqrt(off / size);
}

class CudnnAttentionTest : public testing::Test {
 protected:
  CudnnAttentionTest() { EXPECT_EQ(cudaStreamCreate(&stream_), cudaSuccess); }
  ~CudnnAttentionTest() override { EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess); }

  MusterCudaText Text() { return {text_.data(), static_cast<std::int32_t>(text_.size())}; }

  std::unique_ptr<Attention> Make(const cudnn::AttentionShape& shape, void* workspace,
                                  const char* library = FAKE_CUDNN_GOOD, int capability = 9) {
    CudnnOptions options;
    options.library = library;
    options.capability_major = capability;
    options.workspace = workspace;
    return MakeCudnnAttention(options, shape, Text());
  }
  std::string Refusal(const cudnn::AttentionShape& shape, const char* library = FAKE_CUDNN_GOOD,
                      int capability = 9) {
    EXPECT_EQ(Make(shape, nullptr, library, capability), nullptr);
    return text_.data();
  }
  // 0 objects that live, 1 graphs run, 2 plans made, since the library was loaded.
  int Count(int which) {
    void* const library = dlopen(FAKE_CUDNN_GOOD, RTLD_NOW);
    const auto count = reinterpret_cast<int (*)(int)>(dlsym(library, "fake_cudnn_count"));
    const int counted = count(which);
    dlclose(library);
    return counted;
  }

  CudnnRun Run(Attention& attention, const cudnn::AttentionShape& shape) {
    const auto size = static_cast<std::size_t>(shape.batch * shape.context * shape.width);
    const auto rows = static_cast<std::size_t>(shape.batch * shape.context * shape.heads);
    OnDevice<Bf16> qkv(RandomBf16(3 * size, 51)), d_out(RandomBf16(size, 52));
    OnDevice<Bf16> out(size), d_qkv(3 * size);
    OnDevice<float> lse(rows), dot(rows);
    AttentionPass pass;
    pass.batch = shape.batch;
    pass.context = shape.context;
    pass.heads = shape.heads;
    pass.width = shape.width;
    pass.qkv = qkv.data();
    pass.out = out.data();
    pass.lse = lse.data();
    pass.d_out = d_out.data();
    pass.d_dot = dot.data();
    pass.d_qkv = d_qkv.data();
    EXPECT_EQ(attention.Forward(stream_, pass, Text()), 0) << text_.data();
    EXPECT_EQ(attention.Backward(stream_, pass, Text()), 0) << text_.data();
    return {FloatAll(out.Read()), lse.Read(), FloatAll(d_qkv.Read())};
  }

  cudaStream_t stream_ = nullptr;
  std::array<char, 512> text_{};
};

TEST_F(CudnnAttentionTest, IsWhatOurKernelsCompute) {
  for (const cudnn::AttentionShape& shape : {ShapeWith(2, 128, 3, 16), ShapeWith(1, 256, 1, 48)}) {
    OnDevice<unsigned char> workspace(static_cast<std::size_t>(CudnnWorkspace(shape)));
    const auto attention = Make(shape, workspace.data());
    ASSERT_NE(attention, nullptr) << text_.data();
    const CudnnRun theirs = Run(*attention, shape), ours = Run(*MakeOwnAttention(), shape);
    // Both round weights, outputs and gradients of scores to bfloat16, at other places.
    EXPECT_LT(OffBy(theirs.out, ours.out), kBf16);
    EXPECT_LT(OffBy(theirs.lse, ours.lse), 1e-5);
    EXPECT_LT(OffBy(theirs.d_qkv, ours.d_qkv), 2 * kBf16);
    EXPECT_EQ(BitsOf(Run(*attention, shape).d_qkv), BitsOf(theirs.d_qkv));
  }
}

TEST_F(CudnnAttentionTest, PreparesOnceForAllRunsAndGivesAllBack) {
  const int objects = Count(0), executed = Count(1), plans = Count(2);
  {
    const cudnn::AttentionShape shape = ShapeWith(1, 128, 1, 16);
    OnDevice<unsigned char> workspace(static_cast<std::size_t>(CudnnWorkspace(shape)));
    const auto attention = Make(shape, workspace.data());
    ASSERT_NE(attention, nullptr) << text_.data();
    const int prepared = Count(0);
    for (int again = 0; again < 3; ++again) Run(*attention, shape);
    EXPECT_EQ(Count(0), prepared);
    EXPECT_EQ(Count(1) - executed, 6);
    EXPECT_EQ(Count(2) - plans, 2);
  }
  EXPECT_EQ(Count(0), objects);
}

TEST_F(CudnnAttentionTest, TakesTheFirstEngineThatIsDeterministicAndServesAndSaysWhich) {
  const cudnn::AttentionShape shape = ShapeWith(1, 128, 1, 16);
  OnDevice<unsigned char> workspace(static_cast<std::size_t>(CudnnWorkspace(shape)));
  const auto attention = Make(shape, workspace.data());
  ASSERT_NE(attention, nullptr) << text_.data();
  EXPECT_STREQ(attention->identity(), "cuDNN 91300 with engines 7.0 and 6.2");
  EXPECT_STREQ(MakeOwnAttention()->identity(), "");
}

TEST_F(CudnnAttentionTest, SaysWhatIsWrong) {
  const cudnn::AttentionShape good = ShapeWith(1, 128, 1, 16);
  EXPECT_THAT(Refusal(good, "libno_such_library.so"),
              testing::StartsWith("cuDNN: libno_such_library.so: cannot open"));
  EXPECT_THAT(Refusal(good, FAKE_CUDNN_OLD),
              testing::EndsWith("has version 91200, 91300 or a newer 9 is needed"));
  EXPECT_THAT(Refusal(good, FAKE_CUDNN_LAME), testing::EndsWith("has no function cudnnSetStream"));
  EXPECT_EQ(Refusal(good, FAKE_CUDNN_GOOD, 10),
            "cuDNN: this GPU has compute capability 10.x; its deterministic attention is taken on "
            "8.x and 9.x");
  EXPECT_EQ(Refusal(ShapeWith(1, 100, 1, 16)),
            "cuDNN is not asked for: a context that is no multiple of 128");
  EXPECT_EQ(Refusal(ShapeWith(7, 128, 1, 16)),
            "cuDNN, attention: of 1 engines none is deterministic and can be prepared");
  EXPECT_EQ(Refusal(ShapeWith(5, 128, 1, 16)),
            "cuDNN: wants a workspace of 1073741824 bytes, 167936 were counted");
}

TEST_F(CudnnAttentionTest, RefusesAnotherShapeThanItWasMadeFor) {
  const cudnn::AttentionShape shape = ShapeWith(1, 128, 1, 16);
  OnDevice<unsigned char> workspace(static_cast<std::size_t>(CudnnWorkspace(shape)));
  const auto attention = Make(shape, workspace.data());
  ASSERT_NE(attention, nullptr) << text_.data();
  AttentionPass pass;
  pass.batch = pass.heads = 1;
  pass.context = 256;
  pass.width = 16;
  EXPECT_EQ(attention->Forward(stream_, pass, Text()), 1);
  EXPECT_STREQ(text_.data(), "cuDNN: attention of another shape than it was made for");
  // A stream of nothing: the library says so, and its words come along.
  pass.context = 128;
  EXPECT_EQ(attention->Forward(nullptr, pass, Text()), 1);
  EXPECT_STREQ(text_.data(),
               "cuDNN, attention: cudnnBackendExecute returned status 2005 (the handle has no "
               "stream)");
}

// The tensor of a role, of which there is one.
const cudnn::Tensor& Of(const cudnn::Graph& graph, cudnn::Role role) {
  for (const cudnn::Tensor& tensor : graph.tensors) {
    if (tensor.id == static_cast<std::int64_t>(role)) return tensor;
  }
  ADD_FAILURE() << "no tensor " << static_cast<std::int64_t>(role);
  return graph.tensors.front();
}

TEST(CudnnGraphTest, ReadsAndWritesThePackedRows) {
  const cudnn::AttentionShape shape = ShapeWith(2, 128, 3, 16);
  using cudnn::Quad, cudnn::Role;
  const cudnn::Graph forward = ForwardGraph(shape), backward = BackwardGraph(shape);
  const Quad rows{2, 3, 128, 16}, columns{2, 3, 16, 128};
  const Quad in{128 * 144, 16, 144, 1}, in_transposed{128 * 144, 16, 1, 144};
  const Quad out{128 * 48, 16, 48, 1}, statistic{2, 3, 128, 1};
  struct Expected {
    const cudnn::Graph& graph;
    Role role;
    const Quad &dimensions, &strides;
  };
  for (const Expected& e : {Expected{forward, Role::kQ, rows, in},
                            {forward, Role::kK, columns, in_transposed},
                            {forward, Role::kV, rows, in},
                            {forward, Role::kOut, rows, out},
                            {backward, Role::kQ, rows, in},
                            {backward, Role::kK, columns, in_transposed},
                            {backward, Role::kV, columns, in_transposed},
                            {backward, Role::kOut, rows, out},
                            {backward, Role::kDOut, rows, out},
                            {backward, Role::kDQ, rows, in},
                            {backward, Role::kDK, rows, in},
                            {backward, Role::kDV, rows, in}}) {
    const cudnn::Tensor& tensor = Of(e.graph, e.role);
    EXPECT_EQ(tensor.dimensions, e.dimensions) << static_cast<int>(e.role);
    EXPECT_EQ(tensor.strides, e.strides) << static_cast<int>(e.role);
    EXPECT_EQ(tensor.type, cudnn::kBfloat16);
    EXPECT_FALSE(tensor.is_virtual || tensor.is_scalar);
  }
  for (const Role role : {Role::kStats, Role::kDot}) {
    EXPECT_EQ(Of(backward, role).dimensions, statistic);
    EXPECT_EQ(Of(backward, role).strides, (Quad{384, 128, 1, 1}));
    EXPECT_EQ(Of(backward, role).type, cudnn::kFloat32);
  }
}

TEST(CudnnGraphTest, ScalesMasksAndAddsUpNothingInMemory) {
  const cudnn::AttentionShape shape = ShapeWith(2, 128, 3, 16);
  for (const cudnn::Graph& graph : {ForwardGraph(shape), BackwardGraph(shape)}) {
    std::vector<float> scalars;
    for (const cudnn::Tensor& tensor : graph.tensors) {
      if (tensor.is_scalar) scalars.push_back(tensor.scalar);
    }
    EXPECT_THAT(scalars, testing::IsSupersetOf({0.25f, -INFINITY}));
    int masks = 0;
    for (const cudnn::Operation& o : graph.operations) {
      const cudnn::Tensor& y = graph.tensors[static_cast<std::size_t>(o.y)];
      masks += o.kind == cudnn::Kind::kPointwise && o.mode == cudnn::kGreaterOrEqual ? 1 : 0;
      // The nondeterministic way back has a product that goes to memory as floats, and then to dQ.
      if (o.kind == cudnn::Kind::kMatmul && !y.is_virtual) {
        EXPECT_EQ(y.type, cudnn::kBfloat16);
      }
    }
    EXPECT_EQ(masks, 1);
  }
}

}  // namespace
}  // namespace muster::cuda
