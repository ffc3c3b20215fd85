// Whose kernels a test launches: those of the emulator (simt/simt.h), which the program is linked
// with, or those of the module that MUSTER_TEST_CUDA_MODULE names. The second is for machines with a
// GPU: the same tests then hold the real module, on its first device, against the CPU. What a test
// does to the emulator then changes nothing, and what it says of it is not asked (ON_EMULATOR_ONLY).
//
// Thread rule: one thread.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "worker/cuda/module.h"
#include "worker/device/module.h"

extern "C" const MusterCudaModule* muster_cuda_module();

namespace muster::cuda {

inline const char* NamedModule() { return std::getenv("MUSTER_TEST_CUDA_MODULE"); }
inline bool OnEmulator() { return NamedModule() == nullptr; }

inline const MusterCudaModule& TestedModule() {
  static const MusterCudaModule* const module = [] {
    if (OnEmulator()) return muster_cuda_module();
    const auto loaded = device::LoadModule(NamedModule());
    if (!loaded.ok()) {
      ADD_FAILURE() << "MUSTER_TEST_CUDA_MODULE: " << base::Message(loaded.status());
      std::exit(2);
    }
    return *loaded;
  }();
  return *module;
}

// For a test of the emulator itself, or of what it alone can see. A device's run lists it.
#define MUSTER_ON_EMULATOR_ONLY() \
  if (!OnEmulator()) GTEST_SKIP() << "of the emulator alone"

// Waits for what was launched, and fills `values`.
template <typename T>
void ReadModuleArray(MusterCudaContext* context, const T* device, std::vector<T>& values) {
  std::array<char, 256> text{};
  const MusterCudaText message{text.data(), static_cast<std::int32_t>(text.size())};
  const auto bytes = static_cast<std::int64_t>(values.size() * sizeof(T));
  EXPECT_EQ(TestedModule().to_host(context, device, values.data(), bytes, message), 0)
      << text.data();
  EXPECT_EQ(TestedModule().synchronise(context, message), 0) << text.data();
}

// An array of the tested module's device, through its table.
template <typename T>
class ModuleArray {
 public:
  ModuleArray(MusterCudaContext* context, std::size_t size)
      : ModuleArray(context, std::vector<T>(size)) {}
  ModuleArray(MusterCudaContext* context, const std::vector<T>& values)
      : context_(context), size_(values.size()) {
    EXPECT_EQ(TestedModule().allocate(context_, Bytes(), &data_, Text()), 0) << text_.data();
    EXPECT_EQ(TestedModule().to_device(context_, values.data(), data_, Bytes(), Text()), 0)
        << text_.data();
    EXPECT_EQ(TestedModule().synchronise(context_, Text()), 0) << text_.data();
  }
  ModuleArray(const ModuleArray&) = delete;
  ModuleArray& operator=(const ModuleArray&) = delete;
  ~ModuleArray() { TestedModule().release(context_, data_); }

  T* data() const { return static_cast<T*>(data_); }
  std::vector<T> Read() {
    std::vector<T> values(size_);
    ReadModuleArray(context_, data(), values);
    return values;
  }

 private:
  std::int64_t Bytes() const { return static_cast<std::int64_t>(size_ * sizeof(T)); }
  MusterCudaText Text() { return {text_.data(), static_cast<std::int32_t>(text_.size())}; }

  MusterCudaContext* const context_;
  const std::size_t size_;
  void* data_ = nullptr;
  std::array<char, 256> text_{};
};

// Which library takes cuBLASLt's place, while it lives.
class UseCublasLt {
 public:
  explicit UseCublasLt(const char* library) {
    if (const char* named = std::getenv(kVariable)) before_ = named;
    EXPECT_EQ(setenv(kVariable, library, 1), 0);
  }
  UseCublasLt(const UseCublasLt&) = delete;
  UseCublasLt& operator=(const UseCublasLt&) = delete;
  ~UseCublasLt() {
    EXPECT_EQ(before_ ? setenv(kVariable, before_->c_str(), 1) : unsetenv(kVariable), 0);
  }

 private:
  static constexpr const char* kVariable = "MUSTER_CUBLASLT_LIB";
  std::optional<std::string> before_;
};

}  // namespace muster::cuda
