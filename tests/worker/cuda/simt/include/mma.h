// Stands in for CUDA's header of this name: tiles of 16x16 that a warp multiplies, bf16 to float.
//
// Which element of a tile a thread holds is unspecified on GPUs, and here it is scattered, otherwise
// for each kind of tile. What differs from a tensor core: the 16 products and the addend are summed
// in double and rounded once; a tensor core rounds in between, in an order that is not specified.
// So no test may ask for its bits. A thread loads its elements before it meets the others, so that
// what another one of the warp has not written yet is missed. Thread rule: all 32 threads of a warp call, at the same line.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment {
  static_assert(M == 16 && N == 16 && K == 16, "tiles are 16x16x16");
  static constexpr int num_elements = 8;
  T x[num_elements];
};

namespace simt {

inline constexpr int kSide = 16;
// An odd factor scatters 256 positions.
inline int Scatter(matrix_a) { return 37; }
inline int Scatter(matrix_b) { return 101; }
inline int Scatter(accumulator) { return 77; }
template <typename Use>
int Position(unsigned lane, int i) {
  return (i * 32 + static_cast<int>(lane)) * Scatter(Use()) % (kSide * kSide);
}

template <typename T>
struct Tile {
  const T* at;
  unsigned stride;
};

// CUDA asks for 32 bytes of a tile's first element and 16 of its rows; all threads name one tile.
template <typename T>
void CheckTiles(const muster::simt::Place& place, void* const* lanes) {
  const Tile<T> first = *static_cast<const Tile<T>*>(lanes[0]);
  for (int i = 1; i < 32; ++i) {
    const Tile<T> other = *static_cast<const Tile<T>*>(lanes[i]);
    if (other.at != first.at || other.stride != first.stride) {
      muster::simt::Fail(place, "the threads of a warp name different tiles");
    }
  }
  if (reinterpret_cast<std::uintptr_t>(first.at) % 32 != 0) {
    muster::simt::Fail(place, "the tile does not begin at a multiple of 32 bytes");
  }
  if (first.stride * sizeof(T) % 16 != 0) {
    muster::simt::Fail(place, "the stride is " + std::to_string(first.stride) +
                                  " elements, which is no multiple of 16 bytes");
  }
}

template <typename T>
void MeetAtTile(const muster::simt::Place& place, const T* at, unsigned stride) {
  Tile<T> mine{at, stride};
  muster::simt::MeetWarp(place, 0xffffffffu, &mine, CheckTiles<T>);
}

template <typename T>
std::size_t Offset(int position, unsigned stride, bool by_rows) {
  const auto row = static_cast<std::size_t>(position / kSide);
  const auto column = static_cast<std::size_t>(position % kSide);
  return by_rows ? row * stride + column : column * stride + row;
}

template <typename Use, typename Fragment, typename T>
void Load(Fragment& fragment, const T* at, unsigned stride, bool by_rows) {
  for (int i = 0; i < Fragment::num_elements; ++i) {
    const int position = Position<Use>(muster::simt::Lane(), i);
    fragment.x[i] = at[Offset<T>(position, stride, by_rows)];
  }
}

template <typename LayoutA, typename LayoutB>
struct Product {
  fragment<accumulator, 16, 16, 16, float>* d;
  const fragment<matrix_a, 16, 16, 16, __nv_bfloat16, LayoutA>* a;
  const fragment<matrix_b, 16, 16, 16, __nv_bfloat16, LayoutB>* b;
  const fragment<accumulator, 16, 16, 16, float>* c;
};

template <typename LayoutA, typename LayoutB>
void Multiply(const muster::simt::Place&, void* const* lanes) {
  using Mine = Product<LayoutA, LayoutB>;
  double a[256], b[256], sum[256];
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Mine& mine = *static_cast<const Mine*>(lanes[lane]);
    for (int i = 0; i < 8; ++i) {
      a[Position<matrix_a>(lane, i)] = static_cast<double>(__bfloat162float(mine.a->x[i]));
      b[Position<matrix_b>(lane, i)] = static_cast<double>(__bfloat162float(mine.b->x[i]));
      sum[Position<accumulator>(lane, i)] = static_cast<double>(mine.c->x[i]);
    }
  }
  for (int row = 0; row < kSide; ++row) {
    for (int k = 0; k < kSide; ++k) {
      for (int column = 0; column < kSide; ++column) {
        sum[row * kSide + column] += a[row * kSide + k] * b[k * kSide + column];
      }
    }
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    const Mine& mine = *static_cast<const Mine*>(lanes[lane]);
    for (int i = 0; i < 8; ++i) {
      mine.d->x[i] = static_cast<float>(sum[Position<accumulator>(lane, i)]);
    }
  }
}

}  // namespace simt

template <typename Use, typename Layout>
void load_matrix_sync(fragment<Use, 16, 16, 16, __nv_bfloat16, Layout>& to, const __nv_bfloat16* at,
                      unsigned stride, MUSTER_SIMT_HERE) {
  simt::Load<Use>(to, at, stride, std::is_same_v<Layout, row_major>);
  simt::MeetAtTile({"load_matrix_sync", file, line}, at, stride);
}
inline void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& to, const float* at,
                             unsigned stride, layout_t layout, MUSTER_SIMT_HERE) {
  simt::Load<accumulator>(to, at, stride, layout == mem_row_major);
  simt::MeetAtTile({"load_matrix_sync", file, line}, at, stride);
}

template <typename Use, typename T, typename Layout, typename Value>
void fill_fragment(fragment<Use, 16, 16, 16, T, Layout>& to, const Value& value) {
  for (T& element : to.x) element = value;
}

template <typename LayoutA, typename LayoutB>
void mma_sync(fragment<accumulator, 16, 16, 16, float>& d,
              const fragment<matrix_a, 16, 16, 16, __nv_bfloat16, LayoutA>& a,
              const fragment<matrix_b, 16, 16, 16, __nv_bfloat16, LayoutB>& b,
              const fragment<accumulator, 16, 16, 16, float>& c, MUSTER_SIMT_HERE) {
  simt::Product<LayoutA, LayoutB> mine{&d, &a, &b, &c};
  muster::simt::MeetWarp({"mma_sync", file, line}, 0xffffffffu, &mine,
                         simt::Multiply<LayoutA, LayoutB>);
}

inline void store_matrix_sync(float* at, const fragment<accumulator, 16, 16, 16, float>& from,
                              unsigned stride, layout_t layout, MUSTER_SIMT_HERE) {
  simt::MeetAtTile<float>({"store_matrix_sync", file, line}, at, stride);
  for (int i = 0; i < 8; ++i) {
    const int position = simt::Position<accumulator>(muster::simt::Lane(), i);
    at[simt::Offset<float>(position, stride, layout == mem_row_major)] = from.x[i];
  }
}

}  // namespace nvcuda::wmma
