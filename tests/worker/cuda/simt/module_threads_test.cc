// The emulator as a worker process has it: a module that is loaded by its path and used by several
// threads, of which no two use it at the same time.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "worker/device/context.h"
#include "worker/device/module.h"

namespace muster::device {
namespace {

constexpr int kSuccess = 0;

void OnAnotherThread(const std::function<void()>& run) { std::thread(run).join(); }

const MusterCudaModule* Load() {
  const auto loaded = LoadModule(MUSTER_CUDA_SIMT);
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return loaded.ok() ? *loaded : nullptr;
}

absl::StatusOr<std::unique_ptr<Context>> MakeContext(const MusterCudaModule& module, int ordinal) {
  return Context::Create(module, ordinal, [](const std::string& sentence) { FAIL() << sentence; });
}

// 1^2 + 2^2 + ... as a kernel adds it up, by one block.
double Squares(Context& context, int count) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i + 1);
  Memory from(context, count * 4), to(context, 8);
  context.ToDevice(std::as_bytes(std::span(values)), from.data());
  MusterCudaSums sums{};
  sums.kind = MUSTER_CUDA_FLOAT;
  sums.device_sums = from.data();
  sums.length = count;
  context.Do(&MusterCudaModule::squares, &sums, 1.0, to.as<double>());
  double out = 0;
  context.ToHost(to.data(), std::as_writable_bytes(std::span(&out, 1)));
  context.Synchronise();
  return out;
}
double Wanted(int n) { return n * (n + 1.0) * (2.0 * n + 1) / 6; }

TEST(ModuleThreadsTest, AContextMayBeUsedByOneThreadAfterAnother) {
  const MusterCudaModule* const module = Load();
  ASSERT_NE(module, nullptr);
  std::unique_ptr<Context> context;
  Event event;
  OnAnotherThread([&] {
    auto made = MakeContext(*module, 0);
    ASSERT_TRUE(made.ok()) << made.status();
    context = *std::move(made);
    event = Event(*context);
  });
  ASSERT_NE(context, nullptr);
  // The third thread goes on with stacks that the ones before have made.
  for (const int count : {100, 1000, 500}) {
    OnAnotherThread([&] {
      EXPECT_EQ(Squares(*context, count), Wanted(count));
      ASSERT_TRUE(context->Bind().ok());
      EXPECT_EQ(module->runtime.event_record(event.value(), context->stream()), kSuccess);
    });
    OnAnotherThread([&] {
      EXPECT_EQ(module->runtime.event_query(event.value()), kSuccess);
      EXPECT_EQ(module->runtime.device_synchronise(), kSuccess);
      EXPECT_EQ(module->runtime.get_last_error(), kSuccess);
    });
  }
  EXPECT_EQ(Squares(*context, 300), Wanted(300));
}

TEST(ModuleThreadsTest, AnErrorIsTheThreadsThatMadeIt) {
  const MusterCudaModule* const module = Load();
  ASSERT_NE(module, nullptr);
  int no_event = 0;
  OnAnotherThread([&] {
    const int error = module->runtime.event_query(&no_event);
    EXPECT_NE(error, kSuccess);
    OnAnotherThread([&] { EXPECT_EQ(module->runtime.get_last_error(), kSuccess); });
    EXPECT_EQ(module->runtime.get_last_error(), error);
    EXPECT_EQ(module->runtime.get_last_error(), kSuccess) << "it was told";
  });
}

// In a process of its own, and before the other tests (GoogleTest runs those of this name first): the
// emulator asks the environment once.
TEST(ModuleEnvironmentDeathTest, HasTheGpusOfTheDriversStandin) {
  EXPECT_EXIT(
      {
        ::setenv("MUSTER_STANDIN_GPUS", "2", 1);
        ::setenv("MUSTER_STANDIN_GPU_BYTES", "1000", 1);
        const MusterCudaModule* const module = Load();
        auto second = MakeContext(*module, 1);
        const bool has_two = second.ok() && !MakeContext(*module, 2).ok();
        bool stream_is_its = false;
        OnAnotherThread([&] {
          Event event(**second);
          stream_is_its =
              (*second)->Bind().ok() &&
              module->runtime.event_record(event.value(), (*second)->stream()) == kSuccess;
        });
        char text[256] = "";
        MusterCudaContext* raw = nullptr;
        void* memory = nullptr;
        const bool is_full = module->create(0, &raw, {text, sizeof text}) == 0 &&
                             module->allocate(raw, 1001, &memory, {text, sizeof text}) != 0 &&
                             module->allocate(raw, 1000, &memory, {text, sizeof text}) == 0;
        ::_exit(has_two && stream_is_its && is_full ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace muster::device
