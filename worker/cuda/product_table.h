// Which algorithm of cuBLASLt makes which matrix product: a text that comes with a job.
//
// An algorithm is a few numbers of the library (its attributes), not the library's own bytes, so the
// table can be read and compared. It is for one version on one kind of GPU: the numbers of another one
// mean something else. docs/gpu.md has the format; `muster-worker tune` writes it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "worker/cuda/matmul.h"

namespace muster::cuda {

// What a product is, as far as algorithms care.
struct ProductShape {
  std::int64_t m = 0, n = 0, k = 0, a_stride = 0, b_stride = 0, c_stride = 0;
  bool a_transposed = false, b_transposed = false, is_float = false, accumulate = false;
  Epilogue epilogue = Epilogue::kNone;
};
bool Same(const ProductShape& x, const ProductShape& y);
ProductShape ShapeOf(const Product& p);

// cublasLtMatmulAlgoConfigAttributes_t, in the order of its values.
struct AlgorithmNumbers {
  static constexpr int kCount = 9;
  std::uint32_t at[kCount] = {};
};
bool Same(const AlgorithmNumbers& x, const AlgorithmNumbers& y);

struct ProductChoice {
  ProductShape shape;
  AlgorithmNumbers algorithm;
};

struct ProductTable {
  std::string gpu;  // as CUDA names it
  std::int64_t multiprocessors = 0;
  std::int64_t cublaslt = 0;   // its version
  std::int64_t workspace = 0;  // bytes that the algorithms may take
  std::vector<ProductChoice> choices;

  // Null: it is not in the table.
  const AlgorithmNumbers* Find(const ProductShape& shape) const;
};

std::string ToText(const ProductTable& table);
// False, and a sentence that names the line.
bool ParseProductTable(std::string_view text, ProductTable& table, std::string& wrong);
// Empty, or why a table is of no use on this GPU with this library.
std::string WhyNotHere(const ProductTable& table, const ProductTable& here);

}  // namespace muster::cuda
