// NCCL's stand-in over device memory that is the emulator's: what a worker process is made of, but for
// its trainer. Under AddressSanitizer that memory is poisoned for everybody but the device.
#include <algorithm>
#include <span>

#include "tests/worker/nccl/standin/processes.h"
#include "worker/device/context.h"
#include "worker/device/module.h"
#include "worker/nccl/communicator.h"

namespace muster::nccl {
namespace {

CudaFunctions FunctionsOf(const MusterCudaModule& module) {
  CudaFunctions cuda;
  cuda.event_record = module.runtime.event_record;
  cuda.event_query = module.runtime.event_query;
  cuda.stream_wait = module.runtime.stream_wait;
  cuda.device_synchronise = module.runtime.device_synchronise;
  cuda.get_last_error = module.runtime.get_last_error;
  cuda.error_string = module.runtime.error_string;
  return cuda;
}

// A rank's numbers on the device, and room for their sums.
class OnDevice {
 public:
  OnDevice(device::Context& context, int rank, std::size_t count)
      : context_(context),
        numbers_(rank, count),
        in_(context, static_cast<std::int64_t>(count * 8)),
        out_(context, static_cast<std::int64_t>(count * 8)) {
    context.ToDevice(std::as_bytes(std::span(numbers_.in)), in_.data());
    context.Synchronise();
  }
  comm::Reduction reduction() const {
    comm::Reduction r;
    const std::size_t bytes = numbers_.in.size() * 8;
    r.in = {in_.as<const std::byte>(), bytes};
    r.out = {out_.as<std::byte>(), bytes};
    return r;
  }
  const Numbers& Read() {
    context_.ToHost(out_.data(), std::as_writable_bytes(std::span(numbers_.out)));
    context_.Synchronise();
    return numbers_;
  }

 private:
  device::Context& context_;
  Numbers numbers_;
  device::Memory in_, out_;
};

void RunMember(Board& board, const MusterCudaModule& module, int rank) {
  auto made = device::Context::Create(
      module, 0, [](const std::string& sentence) { ADD_FAILURE() << sentence; });
  ASSERT_TRUE(made.ok()) << made.status();
  device::Context& context = **made;
  const device::Event done(context);
  const auto api = LoadStandin(FunctionsOf(module));
  NcclOptions options;
  options.api = api.get();
  options.stream = {context.stream()};
  options.done = {done.value()};
  options.bind_device = [&] { return context.Bind(); };
  options.expired = [](const std::string&) { ::_exit(70); };
  auto communicator = NcclCommunicator::Create(std::move(options));
  ASSERT_TRUE(communicator.ok());
  NcclCommunicator& nccl = **communicator;
  const Attempt attempt{base::Epoch(1), 1};
  if (rank == 0) {
    const auto id = nccl.Mint(attempt);
    ASSERT_TRUE(id.ok()) << id.status();
    board.GiveId(0, *id);
  }
  ASSERT_TRUE(nccl.BeginInstall({attempt, {board.AwaitId(0), rank, 3}, {}}).ok());
  ASSERT_EQ(nccl.PollInstall(kLongest), absl::OkStatus());
  OnDevice whole(context, rank, 300001), broken(context, rank, 1000);
  ASSERT_TRUE(nccl.BeginAllReduce(whole.reduction()).ok());
  ASSERT_EQ(nccl.Poll(kLongest), absl::OkStatus());
  EXPECT_TRUE(whole.Read().Right(3));
  board.Count(0);
  if (rank == 2) {
    (void)board.AwaitCount(1, 2);  // killed meanwhile
    return;
  }
  ASSERT_TRUE(nccl.BeginAllReduce(broken.reduction()).ok());
  const auto failed = nccl.Poll(kLongest);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->code(), absl::StatusCode::kUnavailable) << *failed;
  nccl.Abort();
  ASSERT_EQ(nccl.AwaitQuiet(kLongest), absl::OkStatus());
  EXPECT_TRUE(broken.Read().Spoilt());
  board.Count(1);
}

TEST(StandinDeviceTest, SumsAndAbortsInTheEmulatorsMemory) {
  Processes processes;
  processes.Run(3, [](NcclApi&, Board& board, int rank) {
    const auto module = device::LoadModule(MUSTER_CUDA_SIMT);
    ASSERT_TRUE(module.ok()) << module.status();
    RunMember(board, **module, rank);
  });
  ASSERT_TRUE(processes.board().AwaitCount(0, 3));
  processes.Kill(2);
  processes.ExpectAllWell();
}

}  // namespace
}  // namespace muster::nccl
