#include "worker/kernels/gemm.h"

#include <cblas.h>

#include <algorithm>

namespace muster::kernels {
namespace {

// Packing an operand anew for each tile costs speed (768 columns are some 8 % faster than 384), too
// few tiles leave a thread idle. So columns are cut into an even number of equal parts of at most
// 768, each a multiple of every micro-kernel's edge; what is small stays whole.
constexpr std::int64_t kMostRows = 768;
constexpr std::int64_t kMostColumns = 768;
constexpr std::int64_t kSmallColumns = 512;
constexpr std::int64_t kEdge = 48;

CBLAS_TRANSPOSE Blas(Transpose t) { return t == Transpose::kYes ? CblasTrans : CblasNoTrans; }

// What of `x` makes rows [from, ...) of op(x).
const float* FromRow(const Operand& x, std::int64_t from) {
  return x.data + (x.transpose == Transpose::kYes ? from : from * x.stride);
}
const float* FromColumn(const Operand& x, std::int64_t from) {
  return x.data + (x.transpose == Transpose::kYes ? from * x.stride : from);
}

}  // namespace

void GemmTile(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const Operand& a,
              const Operand& b, float beta, float* c, std::int64_t stride) {
  cblas_sgemm(CblasRowMajor, Blas(a.transpose), Blas(b.transpose), static_cast<blasint>(m),
              static_cast<blasint>(n), static_cast<blasint>(k), alpha, a.data,
              static_cast<blasint>(a.stride), b.data, static_cast<blasint>(b.stride), beta, c,
              static_cast<blasint>(stride));
}

Tile Grid::at(std::int64_t index) const {
  const std::int64_t across = Tiles(n, tile_n);
  const std::int64_t row = index / across * tile_m;
  const std::int64_t column = index % across * tile_n;
  return {row, column, std::min(tile_m, m - row), std::min(tile_n, n - column)};
}

Grid MakeGrid(std::int64_t m, std::int64_t n) {
  const std::int64_t parts = n <= kSmallColumns ? 1 : 2 * Tiles(n, 2 * kMostColumns);
  const std::int64_t columns = Tiles(Tiles(n, parts), kEdge) * kEdge;
  return {m, n, std::min(m, kMostRows), std::min(n, columns)};
}

void GemmOnTile(const Product& p, const Tile& tile) {
  const Operand a{FromRow(p.a, tile.row), p.a.stride, p.a.transpose};
  const Operand b{FromColumn(p.b, tile.column), p.b.stride, p.b.transpose};
  GemmTile(tile.rows, tile.columns, p.k, 1.0f, a, b, p.accumulate ? 1.0f : 0.0f,
           p.c + tile.row * p.stride + tile.column, p.stride);
}

}  // namespace muster::kernels
