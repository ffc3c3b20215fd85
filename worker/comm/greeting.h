// The greeting: the first bytes on every data-plane socket, and their answer. Plain values and
// bytes.
//
// On the wire, little-endian: magic, version, kind (u32 each), epoch (u64), member ordinal and
// incarnation, rank (i32 each), lengths of job uid and token (u16 each), then both as text. Answer:
// one byte (Verdict), one byte length, a sentence of that length.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "operator/base/ids.h"
#include "operator/base/status.h"

namespace muster::comm {

inline constexpr std::uint32_t kGreetingMagic = 0x5254534d;  // "MSTR"
inline constexpr std::uint32_t kWireVersion = 1;
inline constexpr std::size_t kGreetingFixedBytes = 36;
inline constexpr std::size_t kMaxNameBytes = 512;  // of job uid and of token
inline constexpr std::size_t kMaxSentenceBytes = 255;

// A ring neighbour opens two sockets: one for data, one on which goodbye can be said at any moment.
enum class Kind : std::uint32_t { kRing = 1, kState = 2, kRingControl = 3 };

struct Greeting {
  Kind kind = Kind::kRing;
  base::Epoch epoch;
  base::MemberId member;
  std::int32_t rank = 0;
  std::string job_uid;
  std::string token;
  friend bool operator==(const Greeting&, const Greeting&) = default;
};

enum class Verdict : std::uint8_t {
  kWelcome = 0,
  kOtherJob = 1,
  kBadToken = 2,
  kStaleEpoch = 3,
  kOtherVersion = 4,
  kBusy = 5,
  kOtherMember = 6,  // than the one whose certificate it shows
};
inline constexpr Verdict kLastVerdict = Verdict::kOtherMember;

// Bytes to send. Names longer than kMaxNameBytes are a bug of the caller.
std::string EncodeGreeting(const Greeting& greeting);
// Whole length that the first kGreetingFixedBytes announce; InvalidArgument when they are no
// greeting.
absl::StatusOr<std::size_t> GreetingLength(std::string_view fixed);
absl::StatusOr<Greeting> DecodeGreeting(std::string_view bytes);

std::string EncodeAnswer(Verdict verdict, std::string_view sentence);

}  // namespace muster::comm
