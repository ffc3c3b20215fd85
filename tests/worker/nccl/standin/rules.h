// What the stand-in does about a caller who breaks NCCL's rules, and what it does wrong on demand.
//
// Thread rule: any thread.
#pragma once

#include <string>

namespace muster::standin {

inline constexpr int kBreachCode = 99;

// Says the sentence on standard error and ends the process with kBreachCode: a test of a whole job
// sees both.
[[noreturn]] void EndForBreach(const std::string& sentence);

// "N": the Nth time in this process, counted from 1. "N@R": ... and only when it is rank R's.
struct When {
  int time = 0;  // 0: never
  int rank = -1;
  bool Is(int now, int of_rank) const { return now == time && (rank < 0 || rank == of_rank); }
};
// False when it is neither. Pure.
bool ReadWhen(const std::string& text, When* when);

enum class Call { kInit, kCollective, kAbort };
// Counts the call, and says whether it is the one that the environment wants to hang
// (MUSTER_STANDIN_NCCL_HANG_INIT, _HANG_COLLECTIVE, _HANG_ABORT). A value that cannot be read is a
// breach.
bool HasToHang(Call call, int rank);
// As it, for a group that ends with an error of the network though nobody has died
// (MUSTER_STANDIN_NCCL_BREAK_COLLECTIVE).
bool HasToBreak(int rank);
// How many descriptors each init leaves open for ever (MUSTER_STANDIN_NCCL_LEAK), as NCCL is read to do
// where one fails.
int DescriptorsToLeak();

}  // namespace muster::standin
