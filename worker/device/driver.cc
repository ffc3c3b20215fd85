#include "worker/device/driver.h"

#include <array>
#include <cstddef>

#include "worker/device/choose.h"
#include "worker/loader/loader.h"

namespace muster::device {
namespace {

// CUresult and CUdevice are ints; these are the values of CUDA's stable interface.
constexpr int kSuccess = 0;
constexpr int kNoDevice = 100;
constexpr int kMultiprocessorCount = 16;
constexpr int kCapabilityMajor = 75;
constexpr int kCapabilityMinor = 76;

struct Functions {
  int (*init)(unsigned flags) = nullptr;
  int (*driver_version)(int* version) = nullptr;
  int (*device_count)(int* count) = nullptr;
  int (*device)(int* device, int ordinal) = nullptr;
  int (*name)(char* name, int size, int device) = nullptr;
  int (*attribute)(int* value, int attribute, int device) = nullptr;
  int (*total_memory)(std::size_t* bytes, int device) = nullptr;
  int (*error_name)(int error, const char** name) = nullptr;
};

absl::Status FindAll(void* library, Functions& f) {
  using loader::Find;
  MUSTER_RETURN_IF_ERROR(Find(library, "cuInit", f.init));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDriverGetVersion", f.driver_version));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDeviceGetCount", f.device_count));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDeviceGet", f.device));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDeviceGetName", f.name));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDeviceGetAttribute", f.attribute));
  MUSTER_RETURN_IF_ERROR(Find(library, "cuDeviceTotalMem_v2", f.total_memory));
  return Find(library, "cuGetErrorName", f.error_name);
}

class LoadedDriver final : public GpuDriver {
 public:
  explicit LoadedDriver(const Functions& functions) : f_(functions) {}

  absl::StatusOr<int> CudaVersion() override {
    int version = 0;
    MUSTER_RETURN_IF_ERROR(Checked("cuDriverGetVersion", f_.driver_version(&version)));
    return version;
  }

  absl::StatusOr<std::vector<Gpu>> Gpus() override {
    int count = 0;
    int error = f_.init(0);
    if (error == kNoDevice) return std::vector<Gpu>{};
    MUSTER_RETURN_IF_ERROR(Checked("cuInit", error));
    error = f_.device_count(&count);
    if (error == kNoDevice) return std::vector<Gpu>{};
    MUSTER_RETURN_IF_ERROR(Checked("cuDeviceGetCount", error));
    std::vector<Gpu> gpus;
    for (int ordinal = 0; ordinal < count; ++ordinal) {
      MUSTER_ASSIGN_OR_RETURN(Gpu gpu, Describe(ordinal));
      gpus.push_back(gpu);
    }
    return gpus;
  }

 private:
  absl::Status Checked(const char* call, int error) const {
    if (error == kSuccess) return {};
    const char* name = nullptr;
    if (f_.error_name(error, &name) != kSuccess || name == nullptr) name = "an unknown error";
    return base::FailedPrecondition(std::string(call) + " returned " + std::to_string(error) +
                                    " (" + name + ")");
  }

  absl::StatusOr<Gpu> Describe(int ordinal) const {
    Gpu gpu;
    gpu.ordinal = ordinal;
    int device = 0;
    std::array<char, 256> name{};
    std::size_t bytes = 0;
    MUSTER_RETURN_IF_ERROR(Checked("cuDeviceGet", f_.device(&device, ordinal)));
    // One less, so that a zero stands at the end whatever it writes.
    MUSTER_RETURN_IF_ERROR(Checked(
        "cuDeviceGetName", f_.name(name.data(), static_cast<int>(name.size() - 1), device)));
    MUSTER_RETURN_IF_ERROR(Checked("cuDeviceTotalMem_v2", f_.total_memory(&bytes, device)));
    const auto attribute = [&](int which, int& value) {
      return Checked("cuDeviceGetAttribute", f_.attribute(&value, which, device));
    };
    MUSTER_RETURN_IF_ERROR(attribute(kCapabilityMajor, gpu.major));
    MUSTER_RETURN_IF_ERROR(attribute(kCapabilityMinor, gpu.minor));
    MUSTER_RETURN_IF_ERROR(attribute(kMultiprocessorCount, gpu.multiprocessors));
    gpu.product = name.data();
    gpu.memory_bytes = static_cast<std::int64_t>(bytes);
    return gpu;
  }

  const Functions f_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GpuDriver>> OpenGpuDriver(const std::string& library) {
  MUSTER_ASSIGN_OR_RETURN(void* const handle, loader::Open(library));
  Functions functions;
  if (const absl::Status found = FindAll(handle, functions); !found.ok()) {
    loader::Close(handle);  // nothing of it has run
    return base::Annotate(found, library);
  }
  return std::make_unique<LoadedDriver>(functions);
}

DriverFindings AskDriver(GpuDriver& driver) {
  const auto version = driver.CudaVersion();
  if (!version.ok()) return BrokenDriver{base::Message(version.status())};
  if (*version < kLeastCudaVersion) return WorkingDriver{*version, {}};
  auto gpus = driver.Gpus();
  if (!gpus.ok()) return BrokenDriver{base::Message(gpus.status())};
  return WorkingDriver{*version, *std::move(gpus)};
}

DriverFindings LookForGpus(const std::string& library) {
  auto driver = OpenGpuDriver(library);
  if (driver.ok()) return AskDriver(**driver);
  if (absl::IsNotFound(driver.status())) return NoDriver{base::Message(driver.status())};
  return BrokenDriver{base::Message(driver.status())};
}

}  // namespace muster::device
