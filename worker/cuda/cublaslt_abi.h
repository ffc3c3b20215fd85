// The part of cuBLASLt's C interface that Muster calls, declared by hand: its headers come in a
// package of hundreds of megabytes. Private to this folder.
//
// The values are those of cuBLAS 13.0, compared with public bindings that were made from headers of
// 12 and 13, which agree; the header itself was not at hand. Enumerations are 32 bits wide.
#pragma once

#include <cstddef>
#include <cstdint>

#include "worker/cuda/module.h"

namespace muster::cuda::cublaslt {

// cublasStatus_t
inline constexpr int kSuccess = 0;
inline constexpr int kNoRoom = 15;  // not supported: it wants more workspace than there is

// cudaDataType and cublasComputeType_t
inline constexpr int kFloat32 = 0;
inline constexpr int kBfloat16 = 14;
inline constexpr int kComputeFloat32 = 68;

// cublasOperation_t
inline constexpr std::int32_t kAsItIs = 0;
inline constexpr std::int32_t kTranspose = 1;

// cublasLtMatmulDescAttributes_t
inline constexpr int kTransposeA = 3;
inline constexpr int kTransposeB = 4;
inline constexpr int kEpilogue = 7;
inline constexpr int kBiasPointer = 8;
inline constexpr int kAuxPointer = 11;
inline constexpr int kAuxStride = 12;  // int64

// cublasLtEpilogue_t
inline constexpr std::uint32_t kEpilogueNone = 1;
inline constexpr std::uint32_t kEpilogueBias = 4;
inline constexpr std::uint32_t kEpilogueGeluAuxBias = 164;
inline constexpr std::uint32_t kEpilogueDGelu = 192;

// cublasLtMatmulPreferenceAttributes_t
inline constexpr int kMaxWorkspace = 1;      // uint64
inline constexpr int kReductionSchemes = 3;  // uint32, a mask
inline constexpr int kAlignmentA = 5;        // uint32 each
inline constexpr int kAlignmentB = 6;
inline constexpr int kAlignmentC = 7;
inline constexpr int kAlignmentD = 8;

// cublasLtMatmulAlgoConfigAttributes_t are counted from 0; the first, the algorithm's id, is only set
// when it is made, and the last two are of 16 bits.
inline constexpr int kFirstSetAttribute = 1;
inline constexpr int kFirstShortAttribute = 7;

// cublasLtReductionScheme_t: parts of k may be summed in the type of the computation, beside k in
// one piece.
inline constexpr std::uint32_t kReduceInComputeType = 2;

struct Algorithm {
  std::uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Algorithm) == 64 && sizeof(Heuristic) == 96 &&
              offsetof(Heuristic, workspace) == 64 && offsetof(Heuristic, state) == 72);

// By their names in the library, without "cublasLt". Handles, descriptors and streams are pointers.
struct Functions {
  std::size_t (*GetVersion)() = nullptr;
  int (*Create)(void** handle) = nullptr;
  int (*Destroy)(void* handle) = nullptr;
  int (*MatmulDescCreate)(void** desc, int compute_type, int scale_type) = nullptr;
  int (*MatmulDescDestroy)(void* desc) = nullptr;
  int (*MatmulDescSetAttribute)(void* desc, int attribute, const void* value,
                                std::size_t size) = nullptr;
  int (*MatrixLayoutCreate)(void** layout, int type, std::uint64_t rows, std::uint64_t columns,
                            std::int64_t stride) = nullptr;
  int (*MatrixLayoutDestroy)(void* layout) = nullptr;
  int (*MatmulPreferenceCreate)(void** preference) = nullptr;
  int (*MatmulPreferenceDestroy)(void* preference) = nullptr;
  int (*MatmulPreferenceSetAttribute)(void* preference, int attribute, const void* value,
                                      std::size_t size) = nullptr;
  int (*MatmulAlgoGetHeuristic)(void* handle, void* desc, void* a, void* b, void* c, void* d,
                                void* preference, int requested, Heuristic* results,
                                int* returned) = nullptr;
  int (*MatmulAlgoInit)(void* handle, int compute_type, int scale_type, int a_type, int b_type,
                        int c_type, int d_type, int id, Algorithm* algorithm) = nullptr;
  int (*MatmulAlgoConfigSetAttribute)(Algorithm* algorithm, int attribute, const void* value,
                                      std::size_t size) = nullptr;
  int (*MatmulAlgoConfigGetAttribute)(const Algorithm* algorithm, int attribute, void* value,
                                      std::size_t size, std::size_t* written) = nullptr;
  int (*MatmulAlgoCheck)(void* handle, void* desc, void* a, void* b, void* c, void* d,
                         const Algorithm* algorithm, Heuristic* result) = nullptr;
  int (*Matmul)(void* handle, void* desc, const void* alpha, const void* a, void* a_layout,
                const void* b, void* b_layout, const void* beta, const void* c, void* c_layout,
                void* d, void* d_layout, const Algorithm* algorithm, void* workspace,
                std::size_t workspace_size, void* stream) = nullptr;
};

// Opens the library and makes a handle. 0, or 1 and a sentence.
std::int32_t Load(const char* library, Functions& call, void** handle, MusterCudaText message);

}  // namespace muster::cuda::cublaslt
