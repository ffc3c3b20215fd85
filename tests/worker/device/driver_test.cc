#include "worker/device/driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <utility>

namespace muster::device {
namespace {

using testing::HasSubstr;

std::string FakeDriver(const std::string& name) {
  return std::string(MUSTER_FAKES) + "/lib" + name + ".so";
}

TEST(DriverTest, FindsTheVersionAndEveryGpu) {
  EXPECT_EQ(LookForGpus(FakeDriver("fake_cuda_good")),
            DriverFindings(WorkingDriver{13000,
                                         {{.ordinal = 0,
                                           .product = "Fake H200",
                                           .major = 9,
                                           .minor = 0,
                                           .multiprocessors = 132,
                                           .memory_bytes = 150754820096},
                                          {.ordinal = 1,
                                           .product = "Fake V100",
                                           .major = 7,
                                           .minor = 5,
                                           .multiprocessors = 80,
                                           .memory_bytes = 17179869184}}}));
}

TEST(DriverTest, DoesNotAskADriverThatIsTooOldForItsGpus) {
  EXPECT_EQ(LookForGpus(FakeDriver("fake_cuda_old")), DriverFindings(WorkingDriver{12040, {}}));
}

TEST(DriverTest, ADriverWithoutGpusWorks) {
  EXPECT_EQ(LookForGpus(FakeDriver("fake_cuda_empty")), DriverFindings(WorkingDriver{13010, {}}))
      << "that cuInit finds no device is no fault of the driver";
  EXPECT_EQ(LookForGpus(FakeDriver("fake_cuda_none")), DriverFindings(WorkingDriver{13000, {}}));
}

TEST(DriverTest, SaysWhichCallFailedAndHow) {
  const std::pair<const char*, const char*> cases[] = {
      {"fake_cuda_broken", "cuInit returned 999 (CUDA_ERROR_UNKNOWN)"},
      {"fake_cuda_unversioned", "cuDriverGetVersion returned 34 (an unknown error)"},
      {"fake_cuda_nameless", "cuDeviceGetName returned 999 (CUDA_ERROR_UNKNOWN)"},
  };
  for (const auto& [library, sentence] : cases) {
    EXPECT_EQ(LookForGpus(FakeDriver(library)), DriverFindings(BrokenDriver{sentence})) << library;
  }
}

TEST(DriverTest, NamesAFunctionThatIsMissing) {
  const std::string path = FakeDriver("fake_cuda_lacking");
  EXPECT_EQ(LookForGpus(path),
            DriverFindings(BrokenDriver{path + ": it has no function cuDeviceTotalMem_v2"}));
}

TEST(DriverTest, ALibraryThatCannotBeLoadedIsABrokenDriver) {
  const std::string path = testing::TempDir() + "muster-driver-text.so";
  std::ofstream(path) << std::string(1000, 'x');
  EXPECT_EQ(LookForGpus(path), DriverFindings(BrokenDriver{path + ": invalid ELF header"}));
}

TEST(DriverTest, AnAbsentLibraryIsNoDriver) {
  const DriverFindings found = LookForGpus(FakeDriver("fake_cuda_absent"));
  ASSERT_TRUE(std::holds_alternative<NoDriver>(found));
  EXPECT_THAT(std::get<NoDriver>(found).why, HasSubstr("fake_cuda_absent.so"));
}

}  // namespace
}  // namespace muster::device
