// Finds and loads libnccl.so.2 at run time: Muster neither ships it nor links to it.
//
// In this order: the file that MUSTER_NCCL_LIB names (and then nothing else), the loader's own
// search for the soname, the wheel in $VIRTUAL_ENV, the wheel that python3 knows. Versions before
// 2.28 are refused. A failure is one sentence that names what was tried. Not for two threads at
// once; what was loaded stays until the process ends, because NCCL's threads may be running in it.
#pragma once

#include <memory>
#include <string>

#include "operator/base/status.h"
#include "operator/base/time.h"
#include "worker/nccl/environment.h"
#include "worker/nccl/nccl_api.h"

namespace muster::nccl {

inline constexpr int kOldestVersion = 22800;  // as ncclGetVersion has it: 2.28.0

struct LibrarySearch {
  Getenv get = ProcessEnvironment;
  std::string soname = "libnccl.so.2";
  std::string python = "python3";  // empty: not asked; the launcher may have set MUSTER_NCCL_LIB
  base::Duration python_time = std::chrono::seconds(5);
};

// What the CUDA module gives; streams and events are pointers, results are cudaError_t. All set.
struct CudaFunctions {
  int (*event_record)(void* event, void* stream) = nullptr;
  int (*event_query)(void* event) = nullptr;
  int (*stream_wait)(void* stream, void* event) = nullptr;
  int (*device_synchronise)() = nullptr;
  int (*get_last_error)() = nullptr;
  const char* (*error_string)(int error) = nullptr;
};

class Library final {
 public:
  // NotFound: none was found. FailedPrecondition: one was, and is of no use.
  static absl::StatusOr<std::unique_ptr<Library>> Load(const LibrarySearch& search);
  ~Library();

  const std::string& path() const { return path_; }  // as it was given to the loader
  int version() const { return version_; }
  std::string VersionText() const;  // "2.28.9"

  // Outlived by the library. Thread rule: NcclApi's.
  std::unique_ptr<NcclApi> MakeApi(const CudaFunctions& cuda) const;

 private:
  struct Loaded;
  Library(std::string path, int version, std::unique_ptr<Loaded> loaded);
  static absl::StatusOr<std::unique_ptr<Library>> Open(const std::string& path);

  const std::string path_;
  const int version_;
  const std::unique_ptr<Loaded> loaded_;
};

}  // namespace muster::nccl
