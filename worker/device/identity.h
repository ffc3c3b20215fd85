// What must be the same on all members of a job that trains exactly on GPUs (E3): other hardware,
// another library or another build may give other bits.
//
// The product's name alone is not enough: one name is sold with different numbers of
// multiprocessors, and libraries choose their algorithms by that number. Pure.
#pragma once

#include <string>

namespace muster::device {

struct Identity {
  std::string product;      // "NVIDIA H200"
  int multiprocessors = 0;  // 132
  std::string cuda;         // versions as "13.0"; empty: not used
  std::string cublas;
  std::string cudnn;
  std::string nccl;
  std::string build_id;  // of program and module
  friend bool operator==(const Identity&, const Identity&) = default;
};

// One line that two identities share when they are equal, and not otherwise: what a member says of
// itself (api::Warm::device), and what a person reads when it is refused.
std::string ToText(const Identity& identity);

}  // namespace muster::device
