// Single-precision matrix products on OpenBLAS, row-major, over a fixed tile grid.
//
// One BLAS thread per call (E3): a product is cut into tiles of the *result*, whose grid depends on
// the shape alone, so the bits do not depend on the number of threads. K is never cut.
#pragma once

#include <cstdint>

#include "worker/kernels/parallel.h"

namespace muster::kernels {

enum class Transpose { kNo, kYes };

// A matrix in memory: row-major with `stride` floats from row to row, read transposed if asked.
struct Operand {
  const float* data = nullptr;
  std::int64_t stride = 0;
  Transpose transpose = Transpose::kNo;
};

// A tile of the result: rows [row, row + rows) and columns [column, column + columns).
struct Tile {
  std::int64_t row = 0, column = 0, rows = 0, columns = 0;
};

// c = op(a) x op(b) + beta x c, in one BLAS call of the calling thread.
void GemmTile(std::int64_t m, std::int64_t n, std::int64_t k, float alpha, const Operand& a,
              const Operand& b, float beta, float* c, std::int64_t stride);

// The grid of an m x n result.
struct Grid {
  std::int64_t m = 0, n = 0, tile_m = 0, tile_n = 0;
  std::int64_t count() const { return Tiles(m, tile_m) * Tiles(n, tile_n); }
  Tile at(std::int64_t index) const;
};
Grid MakeGrid(std::int64_t m, std::int64_t n);

struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  Operand a, b;
  float* c = nullptr;
  std::int64_t stride = 0;
  bool accumulate = false;  // c += instead of c =
};

// `before` and `after` run around the call for each tile, on its thread, while the tile is in
// cache. A `before` that writes the tile (bias, residual) goes with accumulate = true.
struct NoTileWork {
  void operator()(const Tile&) const {}
};

void GemmOnTile(const Product& p, const Tile& tile);

template <typename Before = NoTileWork, typename After = NoTileWork>
void Gemm(Pool& pool, const Product& p, const Before& before = {}, const After& after = {}) {
  const Grid grid = MakeGrid(p.m, p.n);
  pool.For(grid.count(), [&](std::int64_t i) {
    const Tile tile = grid.at(i);
    before(tile);
    GemmOnTile(p, tile);
    after(tile);
  });
}

}  // namespace muster::kernels
