#include "tests/bench/nccl/member.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "worker/device/driver.h"
#include "worker/device/module.h"
#include "worker/loader/loader.h"

namespace muster::nccl_bench {
namespace {

constexpr int kWatchdogCode = 76;  // the worker's, docs/exit-codes.md

std::chrono::nanoseconds ToDuration(double seconds) {
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

// So that a quoted sentence stays one.
std::string Escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

template <typename T>
T NumberOf(int rank, std::size_t i) {
  return static_cast<T>(static_cast<std::int64_t>(i % 1000) + 1000 * (rank + 1));
}

}  // namespace

void Tell(const std::string& line) {
  const std::string whole = line + "\n";
  // A reader that is gone takes nothing from the exit status.
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, whole.data(), whole.size());
}

void Fail(int rank, const std::string& sentence) {
  Tell("{\"failed\": \"" + Escaped(sentence) + "\", \"rank\": " + std::to_string(rank) + "}");
  ::_exit(1);
}

void Require(int rank, const absl::Status& status, const char* what) {
  if (!status.ok()) Fail(rank, std::string(what) + ": " + base::Message(status));
}

Member::Member(const Settings& settings, Board& board, int rank)
    : settings_(settings), board_(board), rank_(rank) {
  const char* path = std::getenv("MUSTER_CUDA_MODULE");
  const auto module = device::LoadModule(path == nullptr ? "" : path);
  Require(rank, module.status(), "MUSTER_CUDA_MODULE");
  auto context = device::Context::Create(
      **module, 0, [rank](const std::string& sentence) { Fail(rank, sentence); });
  Require(rank, context.status(), "the device");
  context_ = *std::move(context);
  done_ = device::Event(*context_);
  auto library = nccl::Library::Load({});
  Require(rank, library.status(), "NCCL");
  library_ = *std::move(library);
  const MusterCudaRuntime& r = (*module)->runtime;
  api_ = library_->MakeApi({r.event_record, r.event_query, r.stream_wait, r.device_synchronise,
                            r.get_last_error, r.error_string});
  nccl::NcclOptions options;
  options.api = api_.get();
  options.stream = {context_->stream()};
  options.done = {done_.value()};
  // An abort is to be measured here, and not cut off at the worker's 5 s.
  options.limits.abort = ToDuration(settings.limit);
  if (settings.mode == "failed") options.limits.init = ToDuration(settings.init_seconds);
  options.bind_device = [this] { return context_->Bind(); };
  options.expired = [rank](const std::string& sentence) {
    Tell("{\"failed\": \"" + Escaped(sentence) + "\", \"rank\": " + std::to_string(rank) + "}");
    ::_exit(kWatchdogCode);
  };
  auto made = nccl::NcclCommunicator::Create(std::move(options));
  Require(rank, made.status(), "a communicator");
  communicator_ = *std::move(made);
  if (rank == 0) {
    Tell("{\"nccl\": \"" + library_->VersionText() + "\", \"library\": \"" +
         Escaped(library_->path()) + "\", \"module\": \"" + (*module)->architectures + "\"}");
  }
}

nccl::Usage Member::Usage() const {
  const auto usage = nccl::ReadUsage();
  Require(rank_, usage.status(), "/proc/self");
  return *usage;
}

std::int64_t Member::FreeBytes() const {
  const auto driver = loader::Open(device::kDriverLibrary);
  if (!driver.ok()) return -1;
  int (*ask)(std::size_t*, std::size_t*) = nullptr;
  if (!loader::Find(*driver, "cuMemGetInfo_v2", ask).ok()) return -1;
  std::size_t free = 0, total = 0;
  return ask(&free, &total) == 0 ? static_cast<std::int64_t>(free) : -1;
}

void Member::BeginInstall(std::size_t round, int size) {
  const nccl::Attempt attempt{base::Epoch(round + 1), 1};
  if (rank_ == 0) {
    const auto id = communicator_->Mint(attempt);
    Require(rank_, id.status(), "an id");
    board_.ids.at(round) = *id;
    board_.has_id.at(round) = true;
  }
  if (!Board::Soon(settings_.limit, [&] { return board_.has_id.at(round).load(); })) {
    Fail(rank_, "rank 0 made no id");
  }
  Require(rank_, communicator_->BeginInstall({attempt, {board_.ids.at(round), rank_, size}, {}}),
          "an install");
}

absl::Status Member::TryInstall(std::size_t round, int size) {
  BeginInstall(round, size);
  const auto status = communicator_->PollInstall(ToDuration(settings_.limit));
  return status ? *status : base::Unavailable("no answer in time");
}

double Member::Install(std::size_t round, int size) {
  const double begin = Seconds();
  Require(rank_, TryInstall(round, size), "an install");
  return Seconds() - begin;
}

double Member::AbortAndAwaitQuiet() {
  const double begin = Seconds();
  communicator_->Abort();
  const auto quiet = communicator_->AwaitQuiet(ToDuration(settings_.limit));
  if (!quiet) Fail(rank_, "NCCL is not quiet after its abort");
  Require(rank_, *quiet, "after an abort");
  return Seconds() - begin;
}

template <typename T>
void Member::Fill() {
  auto* const at = reinterpret_cast<T*>(numbers_.data());
  for (std::size_t i = 0; i < numbers_.size() / sizeof(T); ++i) at[i] = NumberOf<T>(rank_, i);
}

template <typename T>
bool Member::IsSum(int size) const {
  const auto* const at = reinterpret_cast<const T*>(read_.data());
  for (std::size_t i = 0; i < read_.size() / sizeof(T); ++i) {
    std::int64_t want = 0;
    for (int r = 0; r < size; ++r) want += NumberOf<std::int64_t>(r, i);
    if (at[i] != static_cast<T>(want)) return false;
  }
  return true;
}

void Member::Prepare(comm::ElementType type, std::int64_t bytes) {
  type_ = type;
  numbers_.resize(static_cast<std::size_t>(bytes));
  if (type == comm::ElementType::kInt32) Fill<std::int32_t>();
  if (type == comm::ElementType::kInt64) Fill<std::int64_t>();
  if (type == comm::ElementType::kFloat32) Fill<float>();
  in_ = device::Memory(*context_, bytes);
  out_ = device::Memory(*context_, bytes);
  context_->ToDevice(numbers_, in_.data());
  context_->Do(&MusterCudaModule::clear, out_.data(), bytes);
  context_->Synchronise();
}

void Member::BeginSum() {
  comm::Reduction reduction;
  reduction.type = type_;
  reduction.in = {in_.as<const std::byte>(), numbers_.size()};
  reduction.out = {out_.as<std::byte>(), numbers_.size()};
  Require(rank_, communicator_->BeginAllReduce(reduction), "a sum");
}

absl::Status Member::FinishSum() {
  const auto status = communicator_->Poll(ToDuration(settings_.limit));
  return status ? *status : base::Unavailable("the sum is not there in time");
}

double Member::TimedSum() {
  const double begin = Seconds();
  BeginSum();
  Require(rank_, FinishSum(), "a sum");
  return Seconds() - begin;
}

void Member::ExpectSum(int size) {
  read_.resize(numbers_.size());
  context_->ToHost(out_.data(), read_);
  context_->Synchronise();
  const bool right = type_ == comm::ElementType::kInt32   ? IsSum<std::int32_t>(size)
                     : type_ == comm::ElementType::kInt64 ? IsSum<std::int64_t>(size)
                                                          : IsSum<float>(size);
  if (!right) Fail(rank_, "a sum of " + std::to_string(numbers_.size()) + " bytes is wrong");
}

void Member::ExpectInputUntouched() const {
  read_.resize(numbers_.size());
  context_->ToHost(in_.data(), read_);
  context_->Synchronise();
  if (read_ != numbers_) Fail(rank_, "an aborted sum has changed its input (M4)");
}

}  // namespace muster::nccl_bench
