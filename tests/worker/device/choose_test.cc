#include "worker/device/choose.h"

#include <gtest/gtest.h>

#include <vector>

namespace muster::device {
namespace {

using api::ExitCode;

constexpr std::int64_t kGib = std::int64_t{1} << 30;

Gpu H200(int ordinal) {
  return {.ordinal = ordinal,
          .product = "NVIDIA H200",
          .major = 9,
          .multiprocessors = 132,
          .memory_bytes = 140 * kGib};
}
Gpu A10(int ordinal) {
  return {.ordinal = ordinal,
          .product = "NVIDIA A10",
          .major = 8,
          .minor = 6,
          .multiprocessors = 72,
          .memory_bytes = 22 * kGib + kGib / 2};
}
Gpu V100(int ordinal) {
  return {.ordinal = ordinal,
          .product = "Tesla V100",
          .major = 7,
          .multiprocessors = 80,
          .memory_bytes = 32 * kGib};
}

const ModuleFindings kRight = RightModule{"sm_80"};
const ModuleFindings kMissing = NoModule{"libmuster_cuda.so: no such file"};
const ModuleFindings kOther = OtherModule{"the CUDA module is of another build"};

struct Fault {
  DriverFindings driver;
  ModuleFindings module;
  Needs needs;
  ExitCode code;
  std::string sentence;
  bool no_gpu = false;  // there is none, in contrast to one that does not serve
};

std::vector<Fault> Faults() {
  const Needs small{.bytes = 8 * kGib};
  const Needs large{.bytes = 22 * kGib + kGib / 2 + 1};
  const auto driver = [](std::vector<Gpu> gpus) { return WorkingDriver{13000, std::move(gpus)}; };
  return {
      {NoDriver{"libcuda.so.1: cannot open"}, kRight, small, ExitCode::kNoDevice,
       "there is no NVIDIA driver: libcuda.so.1: cannot open", true},
      {BrokenDriver{"cuInit returned 999 (CUDA_ERROR_UNKNOWN)"}, kRight, small, ExitCode::kNoDevice,
       "the NVIDIA driver does not work: cuInit returned 999 (CUDA_ERROR_UNKNOWN)"},
      {WorkingDriver{12090, {H200(0)}}, kMissing, small, ExitCode::kNoDevice,
       "the NVIDIA driver supports CUDA 12.9; CUDA 13.0 is needed, which drivers have from 580 on"},
      {driver({}), kRight, small, ExitCode::kNoDevice,
       "the NVIDIA driver shows no GPU: the pod may have asked for none, or CUDA_VISIBLE_DEVICES "
       "hides them",
       true},
      {driver({V100(0)}), kMissing, small, ExitCode::kNoDevice,
       "the GPU \"Tesla V100\" has compute capability 7.0; 8.0 (A100) or newer is needed"},
      {driver({V100(0), V100(1)}), kRight, small, ExitCode::kNoDevice,
       "the newest of 2 GPUs, \"Tesla V100\", has compute capability 7.0; 8.0 (A100) or newer is "
       "needed"},
      {driver({A10(0)}), kMissing, large, ExitCode::kNoDevice,
       "the CUDA module cannot be used: libmuster_cuda.so: no such file"},
      {driver({A10(0)}), kOther, large, ExitCode::kRefused, "the CUDA module is of another build"},
      {driver({A10(0)}), kRight, large, ExitCode::kOutOfMemory,
       "the job needs 22.6 GiB of GPU memory; the GPU \"NVIDIA A10\" has 22.5 GiB"},
      // The largest of those that can be used, not of all.
      {driver({V100(0), A10(1), A10(2)}), kRight, large, ExitCode::kOutOfMemory,
       "the job needs 22.6 GiB of GPU memory; the largest of 2 GPUs, \"NVIDIA A10\", has 22.5 GiB"},
      {driver({V100(0), H200(1)}),
       kRight,
       {.bytes = kGib, .process = 1},
       ExitCode::kNoDevice,
       "process 1 of this pod (they count from 0) needs a GPU of its own; this pod has 2, of which "
       "1 can be used"},
  };
}

TEST(ChooseTest, CudaRefusesEachFaultWithItsSentenceAndCode) {
  for (const Fault& fault : Faults()) {
    EXPECT_EQ(Choose(DeviceRequest::kCuda, fault.driver, fault.module, fault.needs),
              Choice(Refusal{fault.code, fault.sentence}))
        << fault.sentence;
  }
}

TEST(ChooseTest, AutoTakesTheCpuWhereThereIsNoGpuAndElseRefusesAsCudaDoes) {
  for (const Fault& fault : Faults()) {
    EXPECT_EQ(
        Choose(DeviceRequest::kAuto, fault.driver, fault.module, fault.needs),
        fault.no_gpu ? Choice(UseCpu{fault.sentence}) : Choice(Refusal{fault.code, fault.sentence}))
        << fault.sentence;
  }
}

TEST(ChooseTest, CpuIsTakenWhateverIsThere) {
  EXPECT_EQ(Choose(DeviceRequest::kCpu, WorkingDriver{13000, {H200(0)}}, kRight, {}),
            Choice(UseCpu{"the job asks for the CPU"}));
}

TEST(ChooseTest, TakesAGpuThatServes) {
  for (const DeviceRequest request : {DeviceRequest::kAuto, DeviceRequest::kCuda}) {
    EXPECT_EQ(
        Choose(request, WorkingDriver{13000, {H200(0)}}, kRight, {.bytes = 140 * kGib}),
        Choice(UseGpu{0, "GPU 0, \"NVIDIA H200\" with 140.0 GiB, of which 140.0 GiB are needed"}));
  }
}

TEST(ChooseTest, EachProcessOfAPodHasItsOwnOfThoseThatServe) {
  const WorkingDriver driver{13020, {V100(0), H200(1), A10(2), H200(3)}};
  const auto ordinal = [&](std::int64_t bytes, int process) {
    const Choice choice =
        Choose(DeviceRequest::kCuda, driver, kRight, {.bytes = bytes, .process = process});
    const auto* gpu = std::get_if<UseGpu>(&choice);
    return gpu == nullptr ? -1 : gpu->ordinal;
  };
  EXPECT_EQ(ordinal(kGib, 0), 1);
  EXPECT_EQ(ordinal(kGib, 1), 2);
  EXPECT_EQ(ordinal(kGib, 2), 3);
  EXPECT_EQ(ordinal(kGib, 3), -1);
  EXPECT_EQ(ordinal(100 * kGib, 1), 3) << "one that is too small is passed over";
  EXPECT_EQ(ordinal(100 * kGib, 2), -1);
}

TEST(ChooseTest, ThoseWhoShareTakeThemInTurn) {
  const WorkingDriver driver{13020, {H200(0), H200(1)}};
  for (int process = 0; process < 5; ++process) {
    const Choice choice = Choose(DeviceRequest::kCuda, driver, kRight,
                                 {.bytes = kGib, .process = process, .share = true});
    const auto* gpu = std::get_if<UseGpu>(&choice);
    ASSERT_NE(gpu, nullptr);
    EXPECT_EQ(gpu->ordinal, process % 2);
  }
}

}  // namespace
}  // namespace muster::device
