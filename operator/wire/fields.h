// Inside operator/wire: each message's own conversion, and the checks that name a bad field.
//
// Write fills an empty message. Read checks as it copies and returns the first complaint; what it
// has copied by then is not to be used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "operator/api/messages.h"
#include "operator/base/status.h"
#include "operator/wire/membership.pb.h"

namespace muster::wire {

namespace v1 = membership::v1;

// Bounds of lists, far above anything a job has: a broken peer must not make us allocate without
// end.
inline constexpr std::int64_t kMaxMembers = 1 << 14;
inline constexpr std::int64_t kMaxSlots = 1 << 20;
inline constexpr std::int64_t kMaxSamples = 1 << 20;  // of one slot
inline constexpr std::int64_t kMaxFamilies = 64;
inline constexpr std::int64_t kMaxCheckpoints = 1 << 12;
inline constexpr std::size_t kMaxPemBytes = 1 << 16;    // a bundle of two authorities has 1,300
inline constexpr std::size_t kMaxTokenBytes = 1 << 14;  // a service account's has some 1,200

// Checks the fields of one message and keeps the first complaint: "Hello.pid is -3; at least 0 is
// allowed".
class Check {
 public:
  explicit Check(std::string_view message) : message_(message) {}

  void NonNegative(std::string_view field, std::int64_t value);
  // How many entries a list has.
  void Bounded(std::string_view field, std::int64_t count, std::int64_t limit);
  // How long a text is.
  void AtMostBytes(std::string_view field, std::size_t size, std::size_t limit);
  void Present(std::string_view field, bool present);
  // A finite number above zero.
  void Positive(std::string_view field, double value);
  // What reading a field's own message said.
  void Nested(std::string_view field, const absl::Status& status);

  // Protobuf's numbers are ours plus one: 0 means that the sender did not say. `last` is our last
  // value.
  template <typename E>
  E Enumerator(std::string_view field, int wire, E last) {
    const int value = wire - 1;
    if (value < 0 || value > static_cast<int>(last)) {
      Complain(field, wire, "1 to " + std::to_string(static_cast<int>(last) + 1) + " are allowed");
      return E{};
    }
    return static_cast<E>(value);
  }

  bool ok() const { return status_.ok(); }
  absl::Status status() const { return status_; }

 private:
  void Complain(std::string_view field, std::int64_t value, const std::string& allowed);
  void Set(std::string_view field, const std::string& rest);

  std::string_view message_;
  absl::Status status_;
};

template <typename E>
int WireEnumerator(E value) {
  return static_cast<int>(value) + 1;
}

using SlotField = google::protobuf::RepeatedField<std::int32_t>;
using IdField = google::protobuf::RepeatedPtrField<v1::MemberId>;
void WriteSlots(const std::vector<api::Slot>& from, SlotField* to);
void ReadSlots(std::string_view field, const SlotField& from, std::vector<api::Slot>* to,
               Check* check);
void WriteIds(const std::vector<base::MemberId>& from, IdField* to);
void ReadIds(std::string_view field, const IdField& from, std::vector<base::MemberId>* to,
             Check* check);
base::Step ReadStep(std::string_view field, std::int64_t from, Check* check);

// Shared parts (shared_fields.cc).
void Write(base::MemberId from, v1::MemberId* to);
void Write(const api::SumTag& from, v1::SumTag* to);
void Write(const api::KeptSums& from, v1::KeptSums* to);
void Write(const api::CheckpointRef& from, v1::CheckpointRef* to);
absl::Status Read(const v1::MemberId& from, base::MemberId* to);
absl::Status Read(const v1::SumTag& from, api::SumTag* to);
absl::Status Read(const v1::KeptSums& from, api::KeptSums* to);
absl::Status Read(const v1::CheckpointRef& from, api::CheckpointRef* to);

// The view (view_fields.cc).
void Write(const api::View& from, v1::View* to);
absl::Status Read(const v1::View& from, api::View* to);

// Member -> coordinator (member_fields.cc).
void Write(const api::Hello& from, v1::Hello* to);
void Write(const api::Warm& from, v1::Warm* to);
void Write(const api::Heartbeat& from, v1::Heartbeat* to);
void Write(const api::Ready& from, v1::Ready* to);
void Write(const api::Installed& from, v1::Installed* to);
void Write(const api::CannotReach& from, v1::CannotReach* to);
void Write(const api::Suspect& from, v1::Suspect* to);
void Write(const api::Committed& from, v1::Committed* to);
void Write(const api::Evaluated& from, v1::Evaluated* to);
void Write(const api::CheckpointPart& from, v1::CheckpointPart* to);
void Write(const api::ManifestWritten& from, v1::ManifestWritten* to);
void Write(const api::Leave& from, v1::Leave* to);
void Write(const api::Failing& from, v1::Failing* to);
void Write(const api::CertificateRequest& from, v1::CertificateRequest* to);
void Write(const api::Killed& from, v1::Killed* to);
absl::Status Read(const v1::Hello& from, api::Hello* to);
absl::Status Read(const v1::Warm& from, api::Warm* to);
absl::Status Read(const v1::Heartbeat& from, api::Heartbeat* to);
absl::Status Read(const v1::Ready& from, api::Ready* to);
absl::Status Read(const v1::Installed& from, api::Installed* to);
absl::Status Read(const v1::CannotReach& from, api::CannotReach* to);
absl::Status Read(const v1::Suspect& from, api::Suspect* to);
absl::Status Read(const v1::Committed& from, api::Committed* to);
absl::Status Read(const v1::Evaluated& from, api::Evaluated* to);
absl::Status Read(const v1::CheckpointPart& from, api::CheckpointPart* to);
absl::Status Read(const v1::ManifestWritten& from, api::ManifestWritten* to);
absl::Status Read(const v1::Leave& from, api::Leave* to);
absl::Status Read(const v1::Failing& from, api::Failing* to);
absl::Status Read(const v1::CertificateRequest& from, api::CertificateRequest* to);
absl::Status Read(const v1::Killed& from, api::Killed* to);

// Coordinator -> member (coordinator_fields.cc).
void Write(const api::Welcome& from, v1::Welcome* to);
void Write(const api::Fenced& from, v1::Fenced* to);
void Write(const api::Refused& from, v1::Refused* to);
void Write(const api::Interrupt& from, v1::Interrupt* to);
void Write(const api::InstallView& from, v1::InstallView* to);
void Write(const api::BeatAck& from, v1::BeatAck* to);
void Write(const api::CommitAck& from, v1::CommitAck* to);
void Write(const api::RequestCheckpoint& from, v1::RequestCheckpoint* to);
void Write(const api::WriteManifest& from, v1::WriteManifest* to);
void Write(const api::CheckpointCommitted& from, v1::CheckpointCommitted* to);
void Write(const api::Release& from, v1::Release* to);
void Write(const api::Finish& from, v1::Finish* to);
void Write(const api::Certificate& from, v1::Certificate* to);
absl::Status Read(const v1::Welcome& from, api::Welcome* to);
absl::Status Read(const v1::Fenced& from, api::Fenced* to);
absl::Status Read(const v1::Refused& from, api::Refused* to);
absl::Status Read(const v1::Interrupt& from, api::Interrupt* to);
absl::Status Read(const v1::InstallView& from, api::InstallView* to);
absl::Status Read(const v1::BeatAck& from, api::BeatAck* to);
absl::Status Read(const v1::CommitAck& from, api::CommitAck* to);
absl::Status Read(const v1::RequestCheckpoint& from, api::RequestCheckpoint* to);
absl::Status Read(const v1::WriteManifest& from, api::WriteManifest* to);
absl::Status Read(const v1::CheckpointCommitted& from, api::CheckpointCommitted* to);
absl::Status Read(const v1::Release& from, api::Release* to);
absl::Status Read(const v1::Finish& from, api::Finish* to);
absl::Status Read(const v1::Certificate& from, api::Certificate* to);

}  // namespace muster::wire
