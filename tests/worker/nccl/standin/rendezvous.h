// Where the ranks of one id meet: its maker listens on loopback, and each rank brings its own port
// and takes all the others'.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/worker/nccl/standin/nccl.h"
#include "tests/worker/nccl/standin/socket.h"

namespace muster::standin {

// A result as NCCL numbers it, and what its last warning would say. kInProgress: it was stopped.
struct Outcome {
  int result = kSuccess;
  std::string warning;
};
// `peer` is who broke it, for the warning.
Outcome OutcomeOf(Flow flow, const std::string& peer);

using Key = std::array<std::uint8_t, 16>;
struct Place {
  std::uint16_t port = 0;
  Key key{};
};
// False for bytes that no stand-in made.
bool ReadId(const ncclUniqueId& id, Place* place);

// Begins to listen, with a thread that lives until all ranks came, or for ten minutes.
Outcome MakeId(ncclUniqueId* id);

struct Seat {
  Place place;
  std::int32_t rank = 0, size = 1;
};
// The ports of all ranks, when they all came. Members that disagree on the size: kInvalidUsage for
// those that came later, and the others wait on.
Outcome Meet(const Seat& seat, std::uint16_t my_port, const Patience& patience,
             std::vector<std::uint16_t>* ports);

// As NCCL with the settings that Muster gives it: 8 tries, each pause 25 ms longer.
Flow ConnectStubbornly(std::uint16_t port, const Patience& patience, Socket* out);

}  // namespace muster::standin
