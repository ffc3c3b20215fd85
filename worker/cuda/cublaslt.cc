#include "worker/cuda/cublaslt.h"

#include <cstdio>
#include <optional>
#include <utility>
#include <vector>

#include "worker/cuda/cublaslt_abi.h"

namespace muster::cuda {
namespace {

using cublaslt::Functions;

// Of every matrix, bias and pre-activation, wherever it lies.
constexpr std::uintptr_t kAssumedAlignment = 16;

std::int32_t ComplainOfStatus(MusterCudaText message, const char* call, int status) {
  char why[64];
  std::snprintf(why, sizeof why, "cuBLASLt returned status %d", status);
  return Complain(message, call, why);
}

std::uint32_t EpilogueCode(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kNone:
      return cublaslt::kEpilogueNone;
    case Epilogue::kBias:
      return cublaslt::kEpilogueBias;
    case Epilogue::kBiasGelu:
      return cublaslt::kEpilogueGeluAuxBias;
    case Epilogue::kGeluBackward:
      return cublaslt::kEpilogueDGelu;
  }
  return cublaslt::kEpilogueNone;
}

struct ProductPlan {
  ProductShape shape;
  void *desc = nullptr, *left = nullptr, *right = nullptr, *out = nullptr;
  cublaslt::Algorithm algorithm{};
  std::optional<AlgorithmNumbers> numbers;  // none: the library does not tell them
};

// cuBLASLt's matrices lie by columns, so it is asked for the transpose, c^T = b^T a^T: its left
// matrix is our b, its right one our a, and a row of ours is a column there.
class CublasLt final : public Multiplier {
 public:
  CublasLt(const Functions& call, void* handle, CublasLtOptions options)
      : call_(call),
        handle_(handle),
        workspace_(options.workspace),
        table_(std::move(options.table)),
        timer_(std::move(options.timer)) {}
  ~CublasLt() override {
    for (const ProductPlan& plan : plans_) Release(plan);
    (void)call_.Destroy(handle_);
  }

  std::int32_t Multiply(void* stream, const Product& p, MusterCudaText message) override {
    if (const char* wrong = CheckProduct(p)) return Complain(message, "matrix product", wrong);
    const ProductPlan* const plan = Find(stream, p, message);
    if (plan == nullptr) return 1;
    if (!SetPointers(*plan, p)) return Complain(message, "cublasLtMatmul", "no pointer was taken");
    const int status = Enqueue(*plan, plan->algorithm, stream, p);
    return status == cublaslt::kSuccess ? 0 : ComplainOfStatus(message, "cublasLtMatmul", status);
  }

  std::int64_t version() const override { return static_cast<std::int64_t>(call_.GetVersion()); }
  void AddChoices(ProductTable& table) const override {
    for (const ProductPlan& plan : plans_) {
      if (plan.numbers) table.choices.push_back({plan.shape, *plan.numbers});
    }
  }

 private:
  void Release(const ProductPlan& plan) {
    for (void* layout : {plan.left, plan.right, plan.out}) {
      if (layout != nullptr) (void)call_.MatrixLayoutDestroy(layout);
    }
    if (plan.desc != nullptr) (void)call_.MatmulDescDestroy(plan.desc);
  }

  int Enqueue(const ProductPlan& plan, const cublaslt::Algorithm& algorithm, void* stream,
              const Product& p) {
    const float one = 1, beta = p.accumulate ? 1.0f : 0.0f;
    void* const c = p.c != nullptr ? static_cast<void*>(p.c) : p.c_float;
    return call_.Matmul(handle_, plan.desc, &one, p.b.data, plan.left, p.a.data, plan.right, &beta,
                        c, plan.out, c, plan.out, &algorithm, workspace_,
                        static_cast<std::size_t>(kCublasLtWorkspace), stream);
  }

  template <typename T>
  bool Set(void* desc, int attribute, const T& value) {
    return call_.MatmulDescSetAttribute(desc, attribute, &value, sizeof value) ==
           cublaslt::kSuccess;
  }

  bool SetPointers(const ProductPlan& plan, const Product& p) {
    const bool bias = p.epilogue == Epilogue::kBias || p.epilogue == Epilogue::kBiasGelu;
    const bool aux = p.epilogue == Epilogue::kBiasGelu || p.epilogue == Epilogue::kGeluBackward;
    return (!bias || Set(plan.desc, cublaslt::kBiasPointer, p.bias)) &&
           (!aux || Set(plan.desc, cublaslt::kAuxPointer, p.pre));
  }

  // The plan of a shape, made on its first product. A handful of shapes: no search to speak of.
  const ProductPlan* Find(void* stream, const Product& p, MusterCudaText message) {
    const ProductShape shape = ShapeOf(p);
    for (const ProductPlan& plan : plans_) {
      if (Same(plan.shape, shape)) return &plan;
    }
    ProductPlan plan;
    plan.shape = shape;
    const bool made = Describe(plan, message) == 0 && Choose(plan, message) == 0 &&
                      (timer_ == nullptr || ChooseByTime(plan, stream, p, message) == 0);
    if (!made) {
      Release(plan);
      return nullptr;
    }
    plans_.push_back(plan);
    return &plans_.back();
  }

  std::int32_t Describe(ProductPlan& plan, MusterCudaText message) {
    const ProductShape& s = plan.shape;
    int status = call_.MatmulDescCreate(&plan.desc, cublaslt::kComputeFloat32, cublaslt::kFloat32);
    if (status != cublaslt::kSuccess) {
      return ComplainOfStatus(message, "cublasLtMatmulDescCreate", status);
    }
    const auto operation = [](bool transposed) {
      return transposed ? cublaslt::kTranspose : cublaslt::kAsItIs;
    };
    const bool aux = s.epilogue == Epilogue::kBiasGelu || s.epilogue == Epilogue::kGeluBackward;
    const bool bias = s.epilogue == Epilogue::kBias || s.epilogue == Epilogue::kBiasGelu;
    // The heuristic follows no pointer, but reads off it how it is aligned.
    const void* const somewhere = reinterpret_cast<const void*>(kAssumedAlignment);
    if (!Set(plan.desc, cublaslt::kTransposeA, operation(s.b_transposed)) ||
        !Set(plan.desc, cublaslt::kTransposeB, operation(s.a_transposed)) ||
        !Set(plan.desc, cublaslt::kEpilogue, EpilogueCode(s.epilogue)) ||
        (bias && !Set(plan.desc, cublaslt::kBiasPointer, somewhere)) ||
        (aux && !Set(plan.desc, cublaslt::kAuxPointer, somewhere)) ||
        (aux && !Set(plan.desc, cublaslt::kAuxStride, s.c_stride))) {
      return Complain(message, "cublasLtMatmulDescSetAttribute", "an attribute was refused");
    }
    struct Side {
      void** layout;
      int type;
      std::int64_t rows, columns, stride;
    };
    const Side sides[] = {
        {&plan.left, cublaslt::kBfloat16, s.b_transposed ? s.k : s.n, s.b_transposed ? s.n : s.k,
         s.b_stride},
        {&plan.right, cublaslt::kBfloat16, s.a_transposed ? s.m : s.k, s.a_transposed ? s.k : s.m,
         s.a_stride},
        {&plan.out, s.is_float ? cublaslt::kFloat32 : cublaslt::kBfloat16, s.n, s.m, s.c_stride}};
    for (const Side& side : sides) {
      status =
          call_.MatrixLayoutCreate(side.layout, side.type, static_cast<std::uint64_t>(side.rows),
                                   static_cast<std::uint64_t>(side.columns), side.stride);
      if (status != cublaslt::kSuccess) {
        return ComplainOfStatus(message, "cublasLtMatrixLayoutCreate", status);
      }
    }
    return 0;
  }

  // What the heuristic is asked: the same for the same shape, wherever the matrices lie.
  bool Prefer(void* preference) {
    const auto set = [&](int attribute, const auto& value) {
      return call_.MatmulPreferenceSetAttribute(preference, attribute, &value, sizeof value) ==
             cublaslt::kSuccess;
    };
    const auto alignment = static_cast<std::uint32_t>(kAssumedAlignment);
    return set(cublaslt::kMaxWorkspace, static_cast<std::uint64_t>(kCublasLtWorkspace)) &&
           set(cublaslt::kReductionSchemes, cublaslt::kReduceInComputeType) &&
           set(cublaslt::kAlignmentA, alignment) && set(cublaslt::kAlignmentB, alignment) &&
           set(cublaslt::kAlignmentC, alignment) && set(cublaslt::kAlignmentD, alignment);
  }

  // The first ones that the heuristic names; one at least, or it is said why.
  std::int32_t Ask(const ProductPlan& plan, std::vector<cublaslt::Heuristic>& found,
                   MusterCudaText message) {
    void* preference = nullptr;
    int status = call_.MatmulPreferenceCreate(&preference);
    if (status != cublaslt::kSuccess) {
      return ComplainOfStatus(message, "cublasLtMatmulPreferenceCreate", status);
    }
    int count = 0;
    const bool preferred = Prefer(preference);
    if (preferred) {
      status = call_.MatmulAlgoGetHeuristic(handle_, plan.desc, plan.left, plan.right, plan.out,
                                            plan.out, preference, static_cast<int>(found.size()),
                                            found.data(), &count);
    }
    (void)call_.MatmulPreferenceDestroy(preference);
    if (!preferred) {
      return Complain(message, "cublasLtMatmulPreferenceSetAttribute", "an attribute was refused");
    }
    if (status == cublaslt::kSuccess && count >= 1 && found[0].state == cublaslt::kSuccess) {
      found.resize(static_cast<std::size_t>(count));
      return 0;
    }
    char why[160];
    std::snprintf(why, sizeof why, "no algorithm for m %lld, n %lld, k %lld (status %d, %d found)",
                  static_cast<long long>(plan.shape.m), static_cast<long long>(plan.shape.n),
                  static_cast<long long>(plan.shape.k), status, count);
    return Complain(message, "cublasLtMatmulAlgoGetHeuristic", why);
  }

  bool ReadNumbers(const cublaslt::Algorithm& algorithm, AlgorithmNumbers& numbers) {
    for (int i = 0; i < AlgorithmNumbers::kCount; ++i) {
      std::uint16_t narrow = 0;
      const bool is_short = i >= cublaslt::kFirstShortAttribute;
      void* const to = is_short ? static_cast<void*>(&narrow) : &numbers.at[i];
      const std::size_t size = is_short ? sizeof narrow : sizeof numbers.at[i];
      std::size_t written = 0;
      const int status = call_.MatmulAlgoConfigGetAttribute(&algorithm, i, to, size, &written);
      if (status != cublaslt::kSuccess || written != size) return false;
      if (is_short) numbers.at[i] = narrow;
    }
    return true;
  }

  // The algorithm that has these numbers; the library's word that it can make the product.
  int Build(const ProductPlan& plan, const AlgorithmNumbers& numbers,
            cublaslt::Algorithm& algorithm) {
    constexpr int k16 = cublaslt::kBfloat16, k32 = cublaslt::kFloat32;
    const int out = plan.shape.is_float ? k32 : k16;
    int status = call_.MatmulAlgoInit(handle_, cublaslt::kComputeFloat32, k32, k16, k16, out, out,
                                      static_cast<int>(numbers.at[0]), &algorithm);
    for (int i = cublaslt::kFirstSetAttribute; i < AlgorithmNumbers::kCount; ++i) {
      if (status != cublaslt::kSuccess) return status;
      const auto narrow = static_cast<std::uint16_t>(numbers.at[i]);
      const bool is_short = i >= cublaslt::kFirstShortAttribute;
      const void* const from = is_short ? static_cast<const void*>(&narrow) : &numbers.at[i];
      status = call_.MatmulAlgoConfigSetAttribute(&algorithm, i, from,
                                                  is_short ? sizeof narrow : sizeof numbers.at[i]);
    }
    if (status != cublaslt::kSuccess) return status;
    cublaslt::Heuristic checked{};
    status = call_.MatmulAlgoCheck(handle_, plan.desc, plan.left, plan.right, plan.out, plan.out,
                                   &algorithm, &checked);
    if (status != cublaslt::kSuccess) return status;
    const bool fits = checked.workspace <= static_cast<std::size_t>(kCublasLtWorkspace);
    return checked.state != cublaslt::kSuccess ? checked.state : fits ? 0 : cublaslt::kNoRoom;
  }

  // Without a clock: the table's, or the first that the heuristic names.
  std::int32_t Choose(ProductPlan& plan, MusterCudaText message) {
    if (const AlgorithmNumbers* const listed = table_.Find(plan.shape)) {
      plan.numbers = *listed;
      const int status = Build(plan, *listed, plan.algorithm);
      if (status == cublaslt::kSuccess) return 0;
      char why[160];
      std::snprintf(why, sizeof why,
                    "cuBLASLt refuses its algorithm %u for m %lld, n %lld, k %lld (status %d)",
                    static_cast<unsigned>(listed->at[0]), static_cast<long long>(plan.shape.m),
                    static_cast<long long>(plan.shape.n), static_cast<long long>(plan.shape.k),
                    status);
      return Complain(message, "the table of matrix products", why);
    }
    std::vector<cublaslt::Heuristic> found(1);
    if (Ask(plan, found, message) != 0) return 1;
    plan.algorithm = found[0].algorithm;
    // Only a table wants them; a product whose numbers are not told is left out of it.
    AlgorithmNumbers numbers;
    if (ReadNumbers(plan.algorithm, numbers)) plan.numbers = numbers;
    return 0;
  }

  // What is timed is built from its numbers, as a table's reader will.
  std::int32_t ChooseByTime(ProductPlan& plan, void* stream, const Product& p,
                            MusterCudaText message) {
    constexpr std::size_t kCandidates = 32;
    std::vector<cublaslt::Heuristic> found(kCandidates);
    if (Ask(plan, found, message) != 0) return 1;
    if (!SetPointers(plan, p)) return Complain(message, "cublasLtMatmul", "no pointer was taken");
    double best = -1;
    for (const cublaslt::Heuristic& candidate : found) {
      AlgorithmNumbers numbers;
      cublaslt::Algorithm algorithm{};
      if (candidate.state != cublaslt::kSuccess || !ReadNumbers(candidate.algorithm, numbers) ||
          Build(plan, numbers, algorithm) != cublaslt::kSuccess) {
        continue;
      }
      const double mine =
          timer_->Milliseconds(stream, [&] { return Enqueue(plan, algorithm, stream, p); });
      if (mine < 0 || (best >= 0 && mine >= best)) continue;
      best = mine;
      plan.algorithm = algorithm;
      plan.numbers = numbers;
    }
    return best >= 0 ? 0 : Complain(message, "cuBLASLt", "no candidate could be timed");
  }

  const Functions call_;
  void* const handle_;
  void* const workspace_;
  const ProductTable table_;
  const std::unique_ptr<ProductTimer> timer_;
  std::vector<ProductPlan> plans_;
};

}  // namespace

std::unique_ptr<Multiplier> MakeCublasLt(CublasLtOptions options, MusterCudaText message) {
  void* handle = nullptr;
  Functions call;
  if (cublaslt::Load(options.library, call, &handle, message) != 0) return nullptr;
  return std::make_unique<CublasLt>(call, handle, std::move(options));
}

}  // namespace muster::cuda
