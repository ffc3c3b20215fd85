// The part of cuDNN's C interface that Muster calls, declared by hand as cublaslt_abi.h is: its
// headers come in a package of hundreds of megabytes. Private to this folder.
//
// The values are those of the headers of cuDNN 9.13.0, read one by one. Enumerations are 32 bits
// wide, counts and dimensions 64.
#pragma once

#include <cstddef>
#include <cstdint>

namespace muster::cuda::cudnn {

// cudnnStatus_t
inline constexpr int kSuccess = 0;

// cudnnDataType_t
inline constexpr int kFloat32 = 0;
inline constexpr int kInteger32 = 4;
inline constexpr int kBfloat16 = 9;
inline constexpr int kBoolean = 11;

// cudnnBackendDescriptorType_t
inline constexpr int kPointwise = 0;
inline constexpr int kEngine = 2;
inline constexpr int kEngineConfig = 3;
inline constexpr int kHeuristic = 4;
inline constexpr int kExecutionPlan = 5;
inline constexpr int kPointwiseOperation = 13;
inline constexpr int kOperationGraph = 15;
inline constexpr int kVariantPack = 16;
inline constexpr int kTensor = 17;
inline constexpr int kMatmul = 18;
inline constexpr int kMatmulOperation = 19;
inline constexpr int kReduction = 21;
inline constexpr int kReductionOperation = 22;
inline constexpr int kReshapeOperation = 31;

// cudnnBackendAttributeType_t: what an attribute's elements are.
inline constexpr int kOfHandle = 0;
inline constexpr int kOfDataType = 1;
inline constexpr int kOfBoolean = 2;  // bool
inline constexpr int kOfInteger64 = 3;
inline constexpr int kOfPointer = 6;
inline constexpr int kOfHeuristicMode = 8;
inline constexpr int kOfNumericalNote = 11;
inline constexpr int kOfPointwiseMode = 14;
inline constexpr int kOfDescriptor = 15;
inline constexpr int kOfReductionOperator = 18;

// cudnnBackendAttributeName_t
inline constexpr int kPointwiseMode = 0;
inline constexpr int kPointwiseComputeType = 1;
inline constexpr int kPointwiseAxis = 9;
inline constexpr int kHeuristicModeName = 200;
inline constexpr int kHeuristicGraph = 201;
inline constexpr int kHeuristicResults = 202;
inline constexpr int kEngineConfigEngine = 300;
inline constexpr int kPlanHandle = 400;
inline constexpr int kPlanEngineConfig = 401;
inline constexpr int kPlanWorkspaceSize = 402;
inline constexpr int kOperationPointwise = 750;
inline constexpr int kOperationPointwiseX = 751;
inline constexpr int kOperationPointwiseB = 752;
inline constexpr int kOperationPointwiseY = 753;
inline constexpr int kOperationPointwiseT = 758;
inline constexpr int kGraphHandle = 800;
inline constexpr int kGraphOperations = 801;
inline constexpr int kTensorAlignment = 900;
inline constexpr int kTensorType = 901;
inline constexpr int kTensorDimensions = 902;
inline constexpr int kTensorStrides = 903;
inline constexpr int kTensorId = 906;
inline constexpr int kTensorIsVirtual = 907;
inline constexpr int kTensorIsByValue = 908;
inline constexpr int kPackIds = 1000;
inline constexpr int kPackPointers = 1001;
inline constexpr int kPackWorkspace = 1003;
inline constexpr int kEngineIndex = 1301;
inline constexpr int kEngineNumericalNote = 1303;
inline constexpr int kMatmulComputeType = 1500;
inline constexpr int kOperationMatmulA = 1520;
inline constexpr int kOperationMatmulB = 1521;
inline constexpr int kOperationMatmulC = 1522;
inline constexpr int kOperationMatmul = 1523;
inline constexpr int kReductionOperator = 1600;
inline constexpr int kReductionComputeType = 1601;
inline constexpr int kReductionIsDeterministic = 1602;
inline constexpr int kOperationReductionX = 1610;
inline constexpr int kOperationReductionY = 1611;
inline constexpr int kOperationReduction = 1612;
inline constexpr int kOperationReshapeX = 2200;
inline constexpr int kOperationReshapeY = 2201;

// cudnnPointwiseMode_t
inline constexpr int kAdd = 0;
inline constexpr int kMultiply = 1;
inline constexpr int kDivide = 6;
inline constexpr int kSubtract = 9;
inline constexpr int kExp = 13;
inline constexpr int kLog = 15;
inline constexpr int kGreaterOrEqual = 303;
inline constexpr int kIndexOf = 501;  // of each element along an axis
inline constexpr int kSelect = 601;   // t ? x : b

// cudnnReduceTensorOp_t
inline constexpr int kSum = 0;
inline constexpr int kMaximum = 3;

// cudnnBackendHeurMode_t and cudnnBackendNumericalNote_t
inline constexpr int kHeuristicModeA = 3;
inline constexpr int kNotDeterministic = 4;
inline constexpr int kNumericalNotes = 10;

// By their names in the library, without "cudnn". Handles, descriptors and streams are pointers.
struct Functions {
  std::size_t (*GetVersion)() = nullptr;
  void (*GetLastErrorString)(char* text, std::size_t size) = nullptr;
  int (*Create)(void** handle) = nullptr;
  int (*Destroy)(void* handle) = nullptr;
  int (*SetStream)(void* handle, void* stream) = nullptr;
  int (*BackendCreateDescriptor)(int type, void** descriptor) = nullptr;
  int (*BackendDestroyDescriptor)(void* descriptor) = nullptr;
  int (*BackendSetAttribute)(void* descriptor, int name, int type, std::int64_t count,
                             const void* elements) = nullptr;
  int (*BackendGetAttribute)(void* descriptor, int name, int type, std::int64_t requested,
                             std::int64_t* count, void* elements) = nullptr;
  int (*BackendFinalize)(void* descriptor) = nullptr;
  int (*BackendExecute)(void* handle, void* plan, void* pack) = nullptr;
};

}  // namespace muster::cuda::cudnn
