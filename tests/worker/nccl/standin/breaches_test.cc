// Breaches of NCCL's rules end the process; each test breaks one in a process of its own.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "tests/worker/nccl/standin/load.h"
#include "tests/worker/nccl/standin/nccl.h"
#include "tests/worker/nccl/standin/rules.h"

namespace muster::nccl {
namespace {

// One communicator of one rank, up.
struct Alone {
  Alone() : api(LoadStandin()) {
    UniqueId id;
    (void)api->GetUniqueId(&id);
    comm = Init(*api, id, 0, 1);
    if (Await(*api, comm) != Code::kSuccess) std::abort();
  }
  std::unique_ptr<NcclApi> api;
  CommHandle comm;
  Numbers numbers{0};
};

void ExpectBreach(const std::function<void()>& breaks, const std::string& sentence) {
  // Where it is no breach, the code is another.
  EXPECT_EXIT(
      {
        breaks();
        ::_exit(0);
      },
      testing::ExitedWithCode(standin::kBreachCode), sentence);
}

TEST(StandinBreachesTest, UseAfterTheEnd) {
  ExpectBreach(
      [] {
        Alone a;
        (void)a.api->Abort(a.comm);
        (void)a.api->AsyncError(a.comm);
      },
      "ncclCommGetAsyncError after ncclCommAbort");
  ExpectBreach(
      [] {
        Alone a;
        End(*a.api, a.comm);
        (void)a.api->Abort(a.comm);
      },
      "ncclCommAbort after ncclCommDestroy");
  ExpectBreach(
      [] {
        Alone a;
        (void)a.api->AllReduce({&a}, {}, a.numbers.piece());
      },
      "ncclAllReduce on what is no communicator");
}

TEST(StandinBreachesTest, EndsInTheWrongOrder) {
  ExpectBreach(
      [] {
        Alone a;
        (void)a.api->Destroy(a.comm);
      },
      "ncclCommDestroy before ncclCommFinalize succeeded");
  ExpectBreach(
      [] {
        Alone a;
        (void)a.api->Finalize(a.comm);
        (void)Await(*a.api, a.comm);
        (void)a.api->AllReduce(a.comm, {}, a.numbers.piece());
      },
      "ncclAllReduce after ncclCommFinalize");
  ExpectBreach([] { (void)LoadStandin()->GroupEnd(); }, "ncclGroupEnd without ncclGroupStart");
}

TEST(StandinBreachesTest, ASecondOperationWhileOneIsInProgress) {
  ExpectBreach(
      [] {
        ::setenv("MUSTER_STANDIN_NCCL_HANG_COLLECTIVE", "1", 1);
        Alone a;
        Launch(*a.api, a.comm, {a.numbers.piece()});
        Launch(*a.api, a.comm, {a.numbers.piece()});
      },
      "ncclAllReduce while an operation of this communicator is in progress");
  ExpectBreach(
      [] {
        ::setenv("MUSTER_STANDIN_NCCL_HANG_COLLECTIVE", "1", 1);
        Alone a;
        Launch(*a.api, a.comm, {a.numbers.piece()});
        (void)a.api->Finalize(a.comm);
      },
      "ncclCommFinalize while an operation of this communicator is in progress");
}

TEST(StandinBreachesTest, TwoThreadsAtOnce) {
  ExpectBreach(
      [] {
        ::setenv("MUSTER_STANDIN_NCCL_HANG_ABORT", "1", 1);
        Alone a;
        std::thread([&] { (void)a.api->Abort(a.comm); }).detach();
        const auto until = std::chrono::steady_clock::now() + kLongest;
        while (std::chrono::steady_clock::now() < until) (void)a.api->AsyncError(a.comm);
        ::_exit(1);
      },
      "while another thread uses this communicator");
}

TEST(StandinBreachesTest, AnOutputThatMeetsItsInput) {
  ExpectBreach(
      [] {
        Alone a;
        Piece piece = a.numbers.piece();
        piece.out = a.numbers.in.data() + 10;
        (void)a.api->AllReduce(a.comm, {}, piece);
      },
      "ncclAllReduce: the output meets the input");
}

TEST(StandinBreachesTest, AnIdThatOneRankUsesTwice) {
  ExpectBreach(
      [] {
        const auto api = LoadStandin();
        UniqueId id;
        (void)api->GetUniqueId(&id);
        AbortSoon(*api, Init(*api, id, 1, 2));
        (void)Init(*api, id, 1, 2);
      },
      "rank 1 has used this id before");
}

TEST(StandinBreachesTest, AnEnvironmentThatCannotBeRead) {
  ExpectBreach(
      [] {
        ::setenv("MUSTER_STANDIN_NCCL_HANG_INIT", "soon", 1);
        Alone a;
      },
      "MUSTER_STANDIN_NCCL_HANG_INIT is \"soon\"; allowed are N");
}

TEST(StandinBreachesTest, ABlockingConfig) {
  void* const library = ::dlopen(MUSTER_NCCL_STANDIN, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  const auto init = reinterpret_cast<decltype(&ncclCommInitRankConfig)>(
      ::dlsym(library, "ncclCommInitRankConfig"));
  const auto make_id =
      reinterpret_cast<decltype(&ncclGetUniqueId)>(::dlsym(library, "ncclGetUniqueId"));
  const auto text =
      reinterpret_cast<decltype(&ncclGetErrorString)>(::dlsym(library, "ncclGetErrorString"));
  ASSERT_NE(init, nullptr);
  ASSERT_NE(make_id, nullptr);
  ASSERT_NE(text, nullptr);
  EXPECT_STREQ(text(standin::kRemoteError), "a peer is gone");
  EXPECT_STREQ(text(99), "an unknown result");
  // NCCL's default is blocking.
  for (const int blocking : {1, INT_MIN}) {
    ExpectBreach(
        [&] {
          ncclUniqueId id{};
          (void)make_id(&id);
          const ncclConfig config{sizeof(ncclConfig), 0xcafebeef, 22800, blocking};
          void* comm = nullptr;
          (void)init(&comm, 1, id, 0, &config);
        },
        "ncclCommInitRankConfig with a blocking config");
  }
}

}  // namespace
}  // namespace muster::nccl
