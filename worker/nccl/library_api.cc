#include "worker/nccl/library_api.h"

#include <cstring>
#include <string>

#include "operator/base/check.h"

namespace muster::nccl {
namespace {

// Of cudaError_t; the same in every version of CUDA since 4.
constexpr int kCudaSuccess = 0;
constexpr int kCudaNotReady = 600;

Code CodeOfResult(int result) {
  switch (result) {
    case abi::kSuccess:
      return Code::kSuccess;
    case abi::kUnhandledCudaError:
      return Code::kCudaError;
    case abi::kSystemError:
      return Code::kSystemError;
    case abi::kInternalError:
      return Code::kInternalError;
    case abi::kInvalidArgument:
      return Code::kInvalidArgument;
    case abi::kInvalidUsage:
      return Code::kInvalidUsage;
    case abi::kRemoteError:
      return Code::kRemoteError;
    case abi::kInProgress:
      return Code::kInProgress;
    case abi::kTimeout:
      return Code::kTimeout;
    default:
      return Code::kUnknown;
  }
}

int TypeOf(comm::ElementType type) {
  switch (type) {
    case comm::ElementType::kInt32:
      return abi::kInt32;
    case comm::ElementType::kInt64:
      return abi::kInt64;
    case comm::ElementType::kFloat32:
      return abi::kFloat32;
  }
  return -1;
}

class LibraryApi final : public NcclApi {
 public:
  LibraryApi(const abi::Functions& nccl, const CudaFunctions& cuda) : nccl_(nccl), cuda_(cuda) {
    MUSTER_CHECK(cuda.event_record != nullptr && cuda.event_query != nullptr &&
                     cuda.stream_wait != nullptr && cuda.device_synchronise != nullptr &&
                     cuda.get_last_error != nullptr && cuda.error_string != nullptr,
                 "the CUDA module does not give all functions");
  }

  Result GetUniqueId(UniqueId* id) override {
    abi::Id raw{};
    const Result result = Nccl(nccl_.GetUniqueId(&raw));
    std::memcpy(id->bytes.data(), &raw, sizeof(raw));
    return result;
  }

  Result InitRankNonBlocking(const InitConfig& config, CommHandle* comm) override {
    abi::Id raw{};
    std::memcpy(&raw, config.id.bytes.data(), sizeof(raw));
    abi::Config settings;
    settings.blocking = 0;
    return Nccl(nccl_.CommInitRankConfig(&comm->value, config.size, raw, config.rank, &settings));
  }

  Result AsyncError(CommHandle comm) override {
    int error = abi::kSuccess;
    const int asked = nccl_.CommGetAsyncError(comm.value, &error);
    return Nccl(asked == abi::kSuccess ? error : asked);
  }

  Result GroupStart() override { return Nccl(nccl_.GroupStart()); }
  Result GroupEnd() override { return Nccl(nccl_.GroupEnd()); }

  Result AllReduce(CommHandle comm, Stream stream, const Piece& piece) override {
    const int op = piece.op == comm::ReduceOp::kMax ? abi::kMax : abi::kSum;
    return Nccl(nccl_.AllReduce(piece.in, piece.out, piece.elements, TypeOf(piece.type), op,
                                comm.value, stream.value));
  }

  Result Broadcast(CommHandle comm, Stream stream, const Piece& piece) override {
    return Nccl(nccl_.Broadcast(piece.in, piece.out, piece.elements, TypeOf(piece.type), piece.root,
                                comm.value, stream.value));
  }

  Result Abort(CommHandle comm) override { return Nccl(nccl_.CommAbort(comm.value)); }
  Result Finalize(CommHandle comm) override { return Nccl(nccl_.CommFinalize(comm.value)); }
  Result Destroy(CommHandle comm) override { return Nccl(nccl_.CommDestroy(comm.value)); }

  Result StreamWait(Stream stream, Event event) override {
    return Cuda(cuda_.stream_wait(stream.value, event.value));
  }
  Result RecordEvent(Event event, Stream stream) override {
    return Cuda(cuda_.event_record(event.value, stream.value));
  }

  EventState QueryEvent(Event event) override {
    switch (cuda_.event_query(event.value)) {
      case kCudaSuccess:
        return EventState::kDone;
      case kCudaNotReady:
        return EventState::kPending;
      default:
        return EventState::kFailed;
    }
  }

  Result DeviceSynchronise() override { return Cuda(cuda_.device_synchronise()); }

  // "Not ready" is what a query left behind, and no error.
  Result LastDeviceError() override {
    const int error = cuda_.get_last_error();
    return Cuda(error == kCudaNotReady ? kCudaSuccess : error);
  }

 private:
  // The text is NCCL's last warning of this process: of the error, or of one before it.
  Result Nccl(int result) const {
    const Code code = CodeOfResult(result);
    if (code == Code::kSuccess || code == Code::kInProgress) return {code, ""};
    const char* text = nccl_.GetLastError(nullptr);
    return {code, text == nullptr ? "" : text};
  }
  Result Cuda(int error) const {
    if (error == kCudaSuccess) return {};
    const char* text = cuda_.error_string(error);
    return {Code::kCudaError, text == nullptr ? std::to_string(error) : text};
  }

  const abi::Functions nccl_;
  const CudaFunctions cuda_;
};

}  // namespace

std::unique_ptr<NcclApi> MakeLibraryApi(const abi::Functions& nccl, const CudaFunctions& cuda) {
  return std::make_unique<LibraryApi>(nccl, cuda);
}

}  // namespace muster::nccl
