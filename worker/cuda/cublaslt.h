// Products by cuBLASLt, which is looked for at run time: Muster neither ships it nor links to it.
//
// For each shape the algorithm is taken that a table of the job names (product_table.h), and where none
// does, the first one that the library's heuristic names. Nothing is timed (E3), but where a table is
// to be made: then all that the heuristic names are, once a shape, on the product at hand. What is asked of the heuristic depends on the shape alone: the workspace has a
// fixed size, and addresses count as aligned to 16 bytes whatever they are. So equal versions on
// equal GPUs choose alike.
//
// Its GELU is applied to the sum before that is rounded to bfloat16, and with a tanh of the
// library's own: bits differ from those of gelu.h. What was loaded stays until the process ends.
// Thread rule: Multiplier's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "worker/cuda/matmul.h"
#include "worker/cuda/product_table.h"

namespace muster::cuda {

inline constexpr const char* kCublasLtName = "libcublasLt.so.13";
inline constexpr std::int64_t kCublasLtOldest = 130000;  // as cublasLtGetVersion has it: 13.0
inline constexpr std::int64_t kCublasLtWorkspace = std::int64_t{32} << 20;

class ProductTimer {
 public:
  virtual ~ProductTimer() = default;
  // Of one call; `multiply` enqueues it and returns 0. Less than 0: it failed.
  virtual double Milliseconds(void* stream, const std::function<int()>& multiply) = 0;
};

struct CublasLtOptions {
  const char* library = kCublasLtName;
  void* workspace = nullptr;  // of the device, kCublasLtWorkspace bytes, outlives the multiplier
  ProductTable table;
  std::unique_ptr<ProductTimer> timer;  // to make a table
};

// Null, and a sentence in `message`, where the library is not found or is of no use.
std::unique_ptr<Multiplier> MakeCublasLt(CublasLtOptions options, MusterCudaText message);

}  // namespace muster::cuda
