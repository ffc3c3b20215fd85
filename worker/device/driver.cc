#include "worker/device/driver.h"

#include <dlfcn.h>

#include <array>
#include <cstddef>

#include "worker/device/choose.h"

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

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

// The name of the first function that is missing; null when all are there.
const char* FindAll(void* library, Functions& f) {
  if (!Find(library, "cuInit", f.init)) return "cuInit";
  if (!Find(library, "cuDriverGetVersion", f.driver_version)) return "cuDriverGetVersion";
  if (!Find(library, "cuDeviceGetCount", f.device_count)) return "cuDeviceGetCount";
  if (!Find(library, "cuDeviceGet", f.device)) return "cuDeviceGet";
  if (!Find(library, "cuDeviceGetName", f.name)) return "cuDeviceGetName";
  if (!Find(library, "cuDeviceGetAttribute", f.attribute)) return "cuDeviceGetAttribute";
  if (!Find(library, "cuDeviceTotalMem_v2", f.total_memory)) return "cuDeviceTotalMem_v2";
  if (!Find(library, "cuGetErrorName", f.error_name)) return "cuGetErrorName";
  return nullptr;
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
  void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const error = dlerror();
    return base::NotFound(error == nullptr ? library + " cannot be loaded" : error);
  }
  Functions functions;
  if (const char* const missing = FindAll(handle, functions)) {
    (void)dlclose(handle);  // nothing of it has run
    return base::FailedPrecondition(library + " has no function " + missing);
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
