// The stand-in as the worker has it: found by MUSTER_NCCL_LIB.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "worker/nccl/library.h"

namespace muster::nccl {

// Far above what anything here takes, for a machine that is busy with other things.
inline constexpr std::chrono::seconds kLongest{30};

// A device on which everything is done as soon as it is asked for.
inline CudaFunctions ReadyDevice() {
  CudaFunctions cuda;
  cuda.event_record = [](void*, void*) { return 0; };
  cuda.event_query = [](void*) { return 0; };
  cuda.stream_wait = [](void*, void*) { return 0; };
  cuda.device_synchronise = [] { return 0; };
  cuda.get_last_error = [] { return 0; };
  cuda.error_string = [](int) { return "no error"; };
  return cuda;
}

inline std::unique_ptr<NcclApi> LoadStandin(const CudaFunctions& cuda = ReadyDevice()) {
  LibrarySearch search;
  search.get = [](const std::string& name) -> std::optional<std::string> {
    if (name == "MUSTER_NCCL_LIB") return MUSTER_NCCL_STANDIN;
    return std::nullopt;
  };
  const auto library = Library::Load(search);
  if (!library.ok()) {
    ADD_FAILURE() << library.status();
    return nullptr;
  }
  EXPECT_EQ((*library)->version(), 22809);
  // What was loaded stays, and the interface outlives the Library.
  return (*library)->MakeApi(cuda);
}

// What it answers when it is in progress no more, or kInProgress when `wait` was not enough.
inline Code Await(NcclApi& api, CommHandle comm, std::chrono::milliseconds wait = kLongest) {
  const auto until = std::chrono::steady_clock::now() + wait;
  while (true) {
    const Code code = api.AsyncError(comm).code;
    if (code != Code::kInProgress || std::chrono::steady_clock::now() > until) return code;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

inline CommHandle Init(NcclApi& api, const UniqueId& id, int rank, int size) {
  CommHandle comm;
  const Result begun = api.InitRankNonBlocking({id, rank, size}, &comm);
  EXPECT_EQ(begun.code, Code::kInProgress) << begun.detail;
  return comm;
}

inline void End(NcclApi& api, CommHandle comm) {
  EXPECT_EQ(api.Finalize(comm).code, Code::kInProgress);
  EXPECT_EQ(Await(api, comm), Code::kSuccess);
  EXPECT_TRUE(api.Destroy(comm).ok());
}

// What a rank gives to a sum, whose right answer every rank can tell: rank r gives r + 1 + i.
struct Numbers {
  explicit Numbers(int rank, std::size_t count = 1000) : in(count), out(count, -1) {
    for (std::size_t i = 0; i < count; ++i) in[i] = rank + 1 + static_cast<std::int64_t>(i);
  }
  Piece piece() {
    return {comm::ReduceOp::kSum, comm::ElementType::kInt64, in.data(), out.data(), in.size()};
  }
  bool Right(std::int64_t ranks) const {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::int64_t want = ranks * (ranks + 1) / 2 + ranks * static_cast<std::int64_t>(i);
      if (out[i] != want) return false;
    }
    return true;
  }
  bool Spoilt() const {
    for (const std::int64_t x : out) {
      if (static_cast<std::uint64_t>(x) != 0xababababababababu) return false;
    }
    return true;
  }
  std::vector<std::int64_t> in, out;
};

inline void Launch(NcclApi& api, CommHandle comm, const std::vector<Piece>& pieces) {
  EXPECT_TRUE(api.GroupStart().ok());
  for (const Piece& piece : pieces) EXPECT_TRUE(api.AllReduce(comm, {}, piece).ok());
  EXPECT_EQ(api.GroupEnd().code, Code::kInProgress);
}

// Aborts, within a time that tells an abort from a wait for anybody else.
inline void AbortSoon(NcclApi& api, CommHandle comm) {
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(api.Abort(comm).ok());
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
}

}  // namespace muster::nccl
