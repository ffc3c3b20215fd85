#include "worker/nccl/library.h"

#include <glob.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "worker/loader/loader.h"
#include "worker/nccl/abi.h"
#include "worker/nccl/ask_python.h"
#include "worker/nccl/library_api.h"

namespace muster::nccl {
namespace {

std::string VersionOf(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

absl::Status FindAll(void* handle, abi::Functions& f) {
  using loader::Find;
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclGetUniqueId", f.GetUniqueId));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclCommInitRankConfig", f.CommInitRankConfig));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclCommGetAsyncError", f.CommGetAsyncError));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclCommAbort", f.CommAbort));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclCommFinalize", f.CommFinalize));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclCommDestroy", f.CommDestroy));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclGroupStart", f.GroupStart));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclGroupEnd", f.GroupEnd));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclAllReduce", f.AllReduce));
  MUSTER_RETURN_IF_ERROR(Find(handle, "ncclBroadcast", f.Broadcast));
  return Find(handle, "ncclGetLastError", f.GetLastError);
}

// The newest Python's, when an environment has several. As text 3.9 would come after 3.12.
std::string WheelIn(const std::string& environment) {
  const std::string python = "/lib/python3.";
  const std::string pattern = environment + python + "*/site-packages/nvidia/nccl/lib/libnccl.so.2";
  std::pair<int, std::string> newest{-1, ""};
  glob_t matches{};
  if (::glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
    for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
      const std::string path = matches.gl_pathv[i];
      const int minor = std::atoi(path.c_str() + path.rfind(python) + python.size());
      newest = std::max(newest, std::pair(minor, path));
    }
  }
  ::globfree(&matches);
  return newest.second;
}

}  // namespace

struct Library::Loaded {
  abi::Functions functions;
};

Library::Library(std::string path, int version, std::unique_ptr<Loaded> loaded)
    : path_(std::move(path)), version_(version), loaded_(std::move(loaded)) {}
Library::~Library() = default;

std::string Library::VersionText() const { return VersionOf(version_); }

std::unique_ptr<NcclApi> Library::MakeApi(const CudaFunctions& cuda) const {
  return MakeLibraryApi(loaded_->functions, cuda);
}

// NotFound when there is no such file; FailedPrecondition when there is and it will not do. A
// refused library is closed again: nothing of it has run but its constructors and GetVersion.
absl::StatusOr<std::unique_ptr<Library>> Library::Open(const std::string& path) {
  MUSTER_ASSIGN_OR_RETURN(void* const handle, loader::Open(path));
  auto loaded = std::make_unique<Loaded>();
  int version = 0;
  absl::Status status = loader::Find(handle, "ncclGetVersion", loaded->functions.GetVersion);
  if (status.ok() && loaded->functions.GetVersion(&version) != abi::kSuccess) {
    status = base::FailedPrecondition("it does not tell its version");
  }
  if (status.ok() && version < kOldestVersion) {
    status = base::FailedPrecondition("it is NCCL " + VersionOf(version) + ", and " +
                                      VersionOf(kOldestVersion) + " or later is needed");
  }
  if (status.ok()) status = FindAll(handle, loaded->functions);
  if (!status.ok()) {
    loader::Close(handle);
    return status;
  }
  return std::unique_ptr<Library>(new Library(path, version, std::move(loaded)));
}

absl::StatusOr<std::unique_ptr<Library>> Library::Load(const LibrarySearch& search) {
  if (const auto named = search.get("MUSTER_NCCL_LIB"); named && !named->empty()) {
    auto library = Open(*named);
    if (library.ok()) return library;
    return base::Annotate(library.status(), "MUSTER_NCCL_LIB is " + *named);
  }
  std::string tried;
  bool found = false;
  const auto try_path = [&](const std::string& path) -> std::unique_ptr<Library> {
    auto library = Open(path);
    if (library.ok()) return std::move(library).value();
    found |= !absl::IsNotFound(library.status());
    tried += (tried.empty() ? "" : "; ") + path + ": " + base::Message(library.status());
    return nullptr;
  };

  if (auto library = try_path(search.soname)) return library;
  const auto environment = search.get("VIRTUAL_ENV");
  if (!environment || environment->empty()) {
    tried += "; VIRTUAL_ENV is not set";
  } else if (const std::string wheel = WheelIn(*environment); wheel.empty()) {
    tried += "; " + *environment + " has no nvidia-nccl";
  } else if (auto library = try_path(wheel)) {
    return library;
  }
  if (!search.python.empty()) {
    auto path = AskPython(search.python, search.python_time);
    if (!path.ok()) {
      tried += "; " + base::Message(path.status());
    } else if (auto library = try_path(*path)) {
      return library;
    }
  }
  const std::string sentence = "no usable NCCL (set MUSTER_NCCL_LIB to its full path): " + tried;
  if (found) return base::FailedPrecondition(sentence);
  return base::NotFound(sentence);
}

}  // namespace muster::nccl
