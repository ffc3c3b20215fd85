// The seam of matrix products: what the engine asks for, and who can compute it.
//
// c = op(a) op(b) over row-major matrices of bfloat16, with sums in float. Two can do it: kernels of
// our own (kernels_gpt_matmul.cu), which need no library and give the same bits on every GPU that
// multiplies tiles alike, and cuBLASLt (cublaslt.h), which is looked for at run time. Who does it is
// said when the engine is made and never found out by timing (E3).
//
// Every matrix starts on 16 bytes, and its rows and its stride are multiples of 8 elements: both
// read eight at once. CheckProduct says what is wrong, before anything is launched.
// Thread rule: a multiplier belongs to one thread and one stream.
#pragma once

#include <cstdint>

#include "worker/cuda/bf16.h"
#include "worker/cuda/module.h"

namespace muster::cuda {

// Row-major; `transposed`: as it lies it is the transpose of what is multiplied.
struct MatrixView {
  const Bf16* data = nullptr;
  std::int64_t stride = 0;
  bool transposed = false;
};

enum class Epilogue {
  kNone,
  kBias,          // c = product + bias
  kBiasGelu,      // pre = product + bias, c = gelu(pre)
  kGeluBackward,  // c = product x gelu'(pre)
};

struct Product {
  std::int64_t m = 0, n = 0, k = 0;  // c is m x n
  MatrixView a, b;
  // One of them: what c is made of.
  Bf16* c = nullptr;
  float* c_float = nullptr;
  std::int64_t stride = 0;  // of c and pre
  bool accumulate = false;  // c_float += product
  Epilogue epilogue = Epilogue::kNone;
  const Bf16* bias = nullptr;  // n
  Bf16* pre = nullptr;         // written by kBiasGelu, read by kGeluBackward
};

// Null, or what is wrong with it.
const char* CheckProduct(const Product& product);

struct ProductTable;

class Multiplier {
 public:
  virtual ~Multiplier() = default;
  // Enqueues. 0, or 1 and a sentence.
  virtual std::int32_t Multiply(void* stream, const Product& product, MusterCudaText message) = 0;
  // Of cuBLASLt, as it numbers itself; 0 of our own kernels.
  virtual std::int64_t version() const { return 0; }
  // The products so far, and what makes them, as lines of a table (product_table.h); none of our own
  // kernels.
  virtual void AddChoices(ProductTable&) const {}
};

// "CALL: WHY", cut to the message's room; returns 1.
std::int32_t Complain(MusterCudaText message, const char* call, const char* why);

}  // namespace muster::cuda
