#include "worker/cuda/cublaslt.h"

#include <dlfcn.h>

#include <cstdio>
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

// What a shape is, as far as algorithms care.
struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0, a_stride = 0, b_stride = 0, c_stride = 0;
  bool a_transposed = false, b_transposed = false, is_float = false, accumulate = false;
  Epilogue epilogue = Epilogue::kNone;
};
bool Same(const ProductShape& x, const ProductShape& y) {
  return x.m == y.m && x.n == y.n && x.k == y.k && x.a_stride == y.a_stride &&
         x.b_stride == y.b_stride && x.c_stride == y.c_stride && x.a_transposed == y.a_transposed &&
         x.b_transposed == y.b_transposed && x.is_float == y.is_float &&
         x.accumulate == y.accumulate && x.epilogue == y.epilogue;
}
ProductShape ShapeOf(const Product& p) {
  ProductShape shape;
  shape.m = p.m;
  shape.n = p.n;
  shape.k = p.k;
  shape.a_stride = p.a.stride;
  shape.b_stride = p.b.stride;
  shape.c_stride = p.stride;
  shape.a_transposed = p.a.transposed;
  shape.b_transposed = p.b.transposed;
  shape.is_float = p.c_float != nullptr;
  shape.accumulate = p.accumulate;
  shape.epilogue = p.epilogue;
  return shape;
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
};

// cuBLASLt's matrices lie by columns, so it is asked for the transpose, c^T = b^T a^T: its left
// matrix is our b, its right one our a, and a row of ours is a column there.
class CublasLt final : public Multiplier {
 public:
  CublasLt(const Functions& call, void* handle, void* workspace)
      : call_(call), handle_(handle), workspace_(workspace) {}
  ~CublasLt() override {
    for (const ProductPlan& plan : plans_) Release(plan);
    (void)call_.Destroy(handle_);
  }

  std::int32_t Multiply(void* stream, const Product& p, MusterCudaText message) override {
    if (const char* wrong = CheckProduct(p)) return Complain(message, "matrix product", wrong);
    const ProductPlan* const plan = Find(ShapeOf(p), message);
    if (plan == nullptr) return 1;
    if (!SetPointers(*plan, p)) return Complain(message, "cublasLtMatmul", "no pointer was taken");
    const float one = 1, beta = p.accumulate ? 1.0f : 0.0f;
    void* const c = p.c != nullptr ? static_cast<void*>(p.c) : p.c_float;
    const int status =
        call_.Matmul(handle_, plan->desc, &one, p.b.data, plan->left, p.a.data, plan->right, &beta,
                     c, plan->out, c, plan->out, &plan->algorithm, workspace_,
                     static_cast<std::size_t>(kCublasLtWorkspace), stream);
    return status == cublaslt::kSuccess ? 0 : ComplainOfStatus(message, "cublasLtMatmul", status);
  }

  std::int64_t version() const override { return static_cast<std::int64_t>(call_.GetVersion()); }

 private:
  void Release(const ProductPlan& plan) {
    for (void* layout : {plan.left, plan.right, plan.out}) {
      if (layout != nullptr) (void)call_.MatrixLayoutDestroy(layout);
    }
    if (plan.desc != nullptr) (void)call_.MatmulDescDestroy(plan.desc);
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
  const ProductPlan* Find(const ProductShape& shape, MusterCudaText message) {
    for (const ProductPlan& plan : plans_) {
      if (Same(plan.shape, shape)) return &plan;
    }
    ProductPlan plan;
    plan.shape = shape;
    if (Describe(plan, message) != 0 || Choose(plan, message) != 0) {
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

  std::int32_t Choose(ProductPlan& plan, MusterCudaText message) {
    void* preference = nullptr;
    int status = call_.MatmulPreferenceCreate(&preference);
    if (status != cublaslt::kSuccess) {
      return ComplainOfStatus(message, "cublasLtMatmulPreferenceCreate", status);
    }
    cublaslt::Heuristic found{};
    int count = 0;
    const bool preferred = Prefer(preference);
    if (preferred) {
      status = call_.MatmulAlgoGetHeuristic(handle_, plan.desc, plan.left, plan.right, plan.out,
                                            plan.out, preference, 1, &found, &count);
    }
    (void)call_.MatmulPreferenceDestroy(preference);
    if (!preferred) {
      return Complain(message, "cublasLtMatmulPreferenceSetAttribute", "an attribute was refused");
    }
    if (status != cublaslt::kSuccess || count < 1 || found.state != cublaslt::kSuccess) {
      char why[160];
      std::snprintf(why, sizeof why,
                    "no algorithm for m %lld, n %lld, k %lld (status %d, %d found)",
                    static_cast<long long>(plan.shape.m), static_cast<long long>(plan.shape.n),
                    static_cast<long long>(plan.shape.k), status, count);
      return Complain(message, "cublasLtMatmulAlgoGetHeuristic", why);
    }
    plan.algorithm = found.algorithm;
    return 0;
  }

  const Functions call_;
  void* const handle_;
  void* const workspace_;
  std::vector<ProductPlan> plans_;
};

template <typename F>
bool FindFunction(void* library, const char* name, F& function, const char*& missing) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (function == nullptr && missing == nullptr) missing = name;
  return function != nullptr;
}

// Null, or the name of a function that the library lacks.
const char* FindFunctions(void* library, Functions& f) {
  const char* missing = nullptr;
  FindFunction(library, "cublasLtGetVersion", f.GetVersion, missing);
  FindFunction(library, "cublasLtCreate", f.Create, missing);
  FindFunction(library, "cublasLtDestroy", f.Destroy, missing);
  FindFunction(library, "cublasLtMatmulDescCreate", f.MatmulDescCreate, missing);
  FindFunction(library, "cublasLtMatmulDescDestroy", f.MatmulDescDestroy, missing);
  FindFunction(library, "cublasLtMatmulDescSetAttribute", f.MatmulDescSetAttribute, missing);
  FindFunction(library, "cublasLtMatrixLayoutCreate", f.MatrixLayoutCreate, missing);
  FindFunction(library, "cublasLtMatrixLayoutDestroy", f.MatrixLayoutDestroy, missing);
  FindFunction(library, "cublasLtMatmulPreferenceCreate", f.MatmulPreferenceCreate, missing);
  FindFunction(library, "cublasLtMatmulPreferenceDestroy", f.MatmulPreferenceDestroy, missing);
  FindFunction(library, "cublasLtMatmulPreferenceSetAttribute", f.MatmulPreferenceSetAttribute,
               missing);
  FindFunction(library, "cublasLtMatmulAlgoGetHeuristic", f.MatmulAlgoGetHeuristic, missing);
  FindFunction(library, "cublasLtMatmul", f.Matmul, missing);
  return missing;
}

}  // namespace

std::unique_ptr<Multiplier> MakeCublasLt(const CublasLtOptions& options, MusterCudaText message) {
  void* const library = dlopen(options.library, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const why = dlerror();
    Complain(message, "cuBLASLt", why != nullptr ? why : options.library);
    return nullptr;
  }
  Functions call;
  void* handle = nullptr;
  char why[256] = "";
  if (const char* missing = FindFunctions(library, call)) {
    std::snprintf(why, sizeof why, "%s has no function %s", options.library, missing);
  } else if (const std::size_t version = call.GetVersion();
             version < static_cast<std::size_t>(kCublasLtOldest)) {
    std::snprintf(why, sizeof why, "%s has version %zu, %lld or newer is needed", options.library,
                  version, static_cast<long long>(kCublasLtOldest));
  } else if (const int status = call.Create(&handle); status != cublaslt::kSuccess) {
    std::snprintf(why, sizeof why, "cublasLtCreate returned status %d", status);
  }
  if (why[0] != '\0') {
    Complain(message, "cuBLASLt", why);
    (void)dlclose(library);
    return nullptr;
  }
  return std::make_unique<CublasLt>(call, handle, options.workspace);
}

}  // namespace muster::cuda
