#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "worker/device/driver.h"

namespace muster::device {
namespace {

// In a process of its own, which alone has this environment. The exit code says how it went.
void InEnvironment(const char* gpus, const char* bytes, const std::function<bool()>& holds,
                   int code = 0, const std::string& sentence = "") {
  EXPECT_EXIT(
      {
        if (gpus != nullptr) ::setenv("MUSTER_STANDIN_GPUS", gpus, 1);
        if (bytes != nullptr) ::setenv("MUSTER_STANDIN_GPU_BYTES", bytes, 1);
        ::_exit(holds() ? 0 : 1);
      },
      testing::ExitedWithCode(code), sentence);
}

Gpu Emulated(int ordinal, std::int64_t bytes) {
  return {.ordinal = ordinal,
          .product = "MUSTER emulated GPU",
          .major = 9,
          .minor = 0,
          .multiprocessors = 132,
          .memory_bytes = bytes};
}

DriverFindings Look() { return LookForGpus(MUSTER_STANDIN_DRIVER); }

TEST(StandinDriverTest, HasOneGpuWhereNothingIsAsked) {
  EXPECT_EQ(Look(), DriverFindings(WorkingDriver{13000, {Emulated(0, std::int64_t{4} << 30)}}));
}

TEST(StandinDriverTest, HasTheGpusThatTheEnvironmentNames) {
  InEnvironment("3", "1000000", [] {
    return Look() ==
           DriverFindings(WorkingDriver{
               13000, {Emulated(0, 1000000), Emulated(1, 1000000), Emulated(2, 1000000)}});
  });
  InEnvironment("0", nullptr, [] { return Look() == DriverFindings(WorkingDriver{13000, {}}); });
}

TEST(StandinDriverTest, EndsWithASentenceWhereItCannotReadThem) {
  InEnvironment(
      "two", nullptr, [] { return Look() == DriverFindings(); }, 99,
      "MUSTER_STANDIN_GPUS is \"two\"; allowed is a number from 0 to 64");
  InEnvironment(
      "1", "0", [] { return Look() == DriverFindings(); }, 99,
      "MUSTER_STANDIN_GPU_BYTES is \"0\"; allowed is a number from 1 to 1099511627776");
}

}  // namespace
}  // namespace muster::device
