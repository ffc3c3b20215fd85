// How much memory there is, and the sentence when it is too little.
#include "worker/app/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/worker/scratch_folder.h"
#include "worker/train/host_engine.h"

namespace muster::app {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr char kMemInfo[] =
    "MemTotal:        8000000 kB\nMemFree:          100000 kB\nMemAvailable:    2000000 kB\n";

TEST(AvailableMemoryTest, IsTheLessOfTheMachineAndTheGroupWhoseCacheIsFree) {
  struct Case {
    const char* limit;
    const char* current;
    const char* stat;
    std::int64_t expected;
  };
  const std::int64_t machine = std::int64_t{2'000'000} * 1024;
  const Case cases[] = {
      {"max\n", "5000\n", "anon 5000\n", machine},
      {"1000000\n", "400000\n", "anon 400000\n", 600'000},
      // Reading the data filled the group with pages that can be dropped.
      {"1000000\n", "990000\n", "anon 200000\ninactive_file 700000\nactive_file 90000\n", 800'000},
      {"1000000\n", "1000500\n", "anon 1000500\n", 0},
      {"9000000000000\n", "1\n", "anon 1\n", machine},
  };
  for (const Case& c : cases) {
    ScratchFolder proc, group;
    proc.Write("meminfo", kMemInfo);
    group.Write("memory.max", c.limit);
    group.Write("memory.current", c.current);
    group.Write("memory.stat", c.stat);
    EXPECT_EQ(AvailableMemory(proc.path(), group.path()), c.expected) << c.limit << c.stat;
  }
  ScratchFolder proc, nothing;
  EXPECT_EQ(AvailableMemory(nothing.path(), nothing.path()), std::nullopt);
  proc.Write("meminfo", kMemInfo);
  EXPECT_EQ(AvailableMemory(proc.path(), nothing.path()), machine);
}

TEST(CheckMemoryTest, SaysWhatTheHostOfAGpuLacks) {
  EXPECT_TRUE(CheckHostMemory(3 << 20, 3 << 20).ok());
  EXPECT_TRUE(CheckHostMemory(3 << 20, std::nullopt).ok()) << "nothing is known";
  EXPECT_THAT(base::Message(CheckHostMemory(5 << 20, 3 << 20)),
              HasSubstr("need 5 MiB, 3 MiB are available; give the worker more memory"));
}

TEST(CheckMemoryTest, SaysHowMuchIsMissingAndWhatWouldHelp) {
  api::TrainingJobSpec spec;
  spec.program.builtin = api::Builtin::kBench;
  spec.program.config.state_bytes = std::int64_t{12} << 20;
  const auto program = model::MakeProgram(spec.program, 1);
  ASSERT_TRUE(program.ok()) << program.status();
  const std::int64_t needed = train::HostBytesNeeded(spec, **program);
  EXPECT_TRUE(CheckMemory(spec, **program, needed).ok());
  EXPECT_TRUE(CheckMemory(spec, **program, std::nullopt).ok()) << "nothing is known";
  spec.training.reduction = api::Reduction::kExact64;
  EXPECT_THAT(base::Message(CheckMemory(spec, **program, 3 << 20)),
              AllOf(HasSubstr("1048576 parameters need "), HasSubstr("3 MiB are available"),
                    HasSubstr("reduction Exact32")));
  EXPECT_FALSE(CheckMemory(spec, **program, 0).ok()) << "a group that is full has nothing left";
  spec.training.reduction = api::Reduction::kExact32;
  EXPECT_THAT(base::Message(CheckMemory(spec, **program, 3 << 20)),
              AllOf(HasSubstr("spec.program.config smaller"), Not(HasSubstr("Exact32"))));
}

}  // namespace
}  // namespace muster::app
