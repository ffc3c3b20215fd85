#include "worker/comm/greeting.h"

#include <bit>
#include <cstring>

#include "operator/base/check.h"

namespace muster::comm {
namespace {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

template <typename T>
void Put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <typename T>
T Take(std::string_view& in) {
  T value;
  std::memcpy(&value, in.data(), sizeof(value));
  in.remove_prefix(sizeof(value));
  return value;
}

}  // namespace

std::string EncodeGreeting(const Greeting& greeting) {
  MUSTER_CHECK(greeting.job_uid.size() <= kMaxNameBytes && greeting.token.size() <= kMaxNameBytes,
               "job uid or token is too long for a greeting");
  std::string out;
  Put(out, kGreetingMagic);
  Put(out, kWireVersion);
  Put(out, static_cast<std::uint32_t>(greeting.kind));
  Put(out, greeting.epoch.value);
  Put(out, greeting.member.ordinal);
  Put(out, greeting.member.incarnation);
  Put(out, greeting.rank);
  Put(out, static_cast<std::uint16_t>(greeting.job_uid.size()));
  Put(out, static_cast<std::uint16_t>(greeting.token.size()));
  MUSTER_CHECK(out.size() == kGreetingFixedBytes, "the greeting's fixed part has changed");
  return out + greeting.job_uid + greeting.token;
}

absl::StatusOr<std::size_t> GreetingLength(std::string_view fixed) {
  if (fixed.size() < kGreetingFixedBytes) return base::InvalidArgument("greeting is too short");
  std::uint16_t sizes[2];
  std::uint32_t magic = 0;
  std::memcpy(&magic, fixed.data(), sizeof(magic));
  std::memcpy(sizes, fixed.data() + kGreetingFixedBytes - sizeof(sizes), sizeof(sizes));
  if (magic != kGreetingMagic)
    return base::InvalidArgument("the peer does not speak this protocol");
  if (sizes[0] > kMaxNameBytes || sizes[1] > kMaxNameBytes) {
    return base::InvalidArgument("greeting announces a name of more than 512 bytes");
  }
  return kGreetingFixedBytes + sizes[0] + sizes[1];
}

absl::StatusOr<Greeting> DecodeGreeting(std::string_view bytes) {
  MUSTER_ASSIGN_OR_RETURN(const std::size_t length, GreetingLength(bytes));
  if (bytes.size() != length) return base::InvalidArgument("greeting has the wrong length");
  Take<std::uint32_t>(bytes);
  const auto version = Take<std::uint32_t>(bytes);
  if (version != kWireVersion) {
    return base::FailedPrecondition("the peer speaks data-plane version " +
                                    std::to_string(version) + ", this member " +
                                    std::to_string(kWireVersion));
  }
  Greeting greeting;
  const auto kind = Take<std::uint32_t>(bytes);
  if (kind < 1 || kind > 3) {
    return base::InvalidArgument("greeting of kind " + std::to_string(kind) + ", known are 1 to 3");
  }
  greeting.kind = static_cast<Kind>(kind);
  greeting.epoch = base::Epoch(Take<std::uint64_t>(bytes));
  greeting.member.ordinal = Take<std::int32_t>(bytes);
  greeting.member.incarnation = Take<std::int32_t>(bytes);
  greeting.rank = Take<std::int32_t>(bytes);
  const auto job = Take<std::uint16_t>(bytes);
  Take<std::uint16_t>(bytes);
  greeting.job_uid = std::string(bytes.substr(0, job));
  greeting.token = std::string(bytes.substr(job));
  return greeting;
}

std::string EncodeAnswer(Verdict verdict, std::string_view sentence) {
  sentence = sentence.substr(0, kMaxSentenceBytes);
  std::string out;
  Put(out, verdict);
  Put(out, static_cast<std::uint8_t>(sentence.size()));
  return out.append(sentence);
}

}  // namespace muster::comm
