#include "operator/wire/convert.h"

#include <variant>

#include "operator/wire/fields.h"

namespace muster::wire {
namespace {

// Puts a message into its place in the frame.
struct IntoMemberFrame {
  v1::MemberFrame* to;
  void operator()(const api::Hello& m) const { Write(m, to->mutable_hello()); }
  void operator()(const api::Warm& m) const { Write(m, to->mutable_warm()); }
  void operator()(const api::Heartbeat& m) const { Write(m, to->mutable_heartbeat()); }
  void operator()(const api::Ready& m) const { Write(m, to->mutable_ready()); }
  void operator()(const api::Installed& m) const { Write(m, to->mutable_installed()); }
  void operator()(const api::CannotReach& m) const { Write(m, to->mutable_cannot_reach()); }
  void operator()(const api::Suspect& m) const { Write(m, to->mutable_suspect()); }
  void operator()(const api::Committed& m) const { Write(m, to->mutable_committed()); }
  void operator()(const api::Evaluated& m) const { Write(m, to->mutable_evaluated()); }
  void operator()(const api::CheckpointPart& m) const { Write(m, to->mutable_checkpoint_part()); }
  void operator()(const api::ManifestWritten& m) const { Write(m, to->mutable_manifest_written()); }
  void operator()(const api::Leave& m) const { Write(m, to->mutable_leave()); }
  void operator()(const api::Failing& m) const { Write(m, to->mutable_failing()); }
  void operator()(const api::CertificateRequest& m) const {
    Write(m, to->mutable_certificate_request());
  }
  void operator()(const api::Killed& m) const { Write(m, to->mutable_killed()); }
};

struct IntoCoordinatorFrame {
  v1::CoordinatorFrame* to;
  void operator()(const api::Welcome& m) const { Write(m, to->mutable_welcome()); }
  void operator()(const api::Fenced& m) const { Write(m, to->mutable_fenced()); }
  void operator()(const api::Refused& m) const { Write(m, to->mutable_refused()); }
  void operator()(const api::Interrupt& m) const { Write(m, to->mutable_interrupt()); }
  void operator()(const api::InstallView& m) const { Write(m, to->mutable_install_view()); }
  void operator()(const api::BeatAck& m) const { Write(m, to->mutable_beat_ack()); }
  void operator()(const api::CommitAck& m) const { Write(m, to->mutable_commit_ack()); }
  void operator()(const api::RequestCheckpoint& m) const {
    Write(m, to->mutable_request_checkpoint());
  }
  void operator()(const api::WriteManifest& m) const { Write(m, to->mutable_write_manifest()); }
  void operator()(const api::CheckpointCommitted& m) const {
    Write(m, to->mutable_checkpoint_committed());
  }
  void operator()(const api::Release& m) const { Write(m, to->mutable_release()); }
  void operator()(const api::Finish& m) const { Write(m, to->mutable_finish()); }
  void operator()(const api::Certificate& m) const { Write(m, to->mutable_certificate()); }
};

void WriteEnvelope(const api::Envelope& from, v1::Envelope* to) {
  to->set_term(from.term.value);
  to->set_epoch(from.epoch.value);
}

template <typename Frame>
absl::Status ReadEnvelope(const Frame& from, api::Envelope* to) {
  if (!from.has_envelope()) return base::InvalidArgument("the frame's envelope is missing");
  to->term = base::Term(from.envelope().term());
  to->epoch = base::Epoch(from.envelope().epoch());
  return absl::OkStatus();
}

template <typename T, typename Message, typename Variant>
absl::Status As(const Message& from, Variant* to) {
  return Read(from, &to->template emplace<T>());
}

absl::Status ReadMessage(const v1::MemberFrame& from, api::MemberMessage* to) {
  using Case = v1::MemberFrame;
  switch (from.message_case()) {
    case Case::kHello:
      return As<api::Hello>(from.hello(), to);
    case Case::kWarm:
      return As<api::Warm>(from.warm(), to);
    case Case::kHeartbeat:
      return As<api::Heartbeat>(from.heartbeat(), to);
    case Case::kReady:
      return As<api::Ready>(from.ready(), to);
    case Case::kInstalled:
      return As<api::Installed>(from.installed(), to);
    case Case::kCannotReach:
      return As<api::CannotReach>(from.cannot_reach(), to);
    case Case::kSuspect:
      return As<api::Suspect>(from.suspect(), to);
    case Case::kCommitted:
      return As<api::Committed>(from.committed(), to);
    case Case::kEvaluated:
      return As<api::Evaluated>(from.evaluated(), to);
    case Case::kCheckpointPart:
      return As<api::CheckpointPart>(from.checkpoint_part(), to);
    case Case::kManifestWritten:
      return As<api::ManifestWritten>(from.manifest_written(), to);
    case Case::kLeave:
      return As<api::Leave>(from.leave(), to);
    case Case::kFailing:
      return As<api::Failing>(from.failing(), to);
    case Case::kCertificateRequest:
      return As<api::CertificateRequest>(from.certificate_request(), to);
    case Case::kKilled:
      return As<api::Killed>(from.killed(), to);
    case Case::MESSAGE_NOT_SET:
      break;
  }
  return base::InvalidArgument("MemberFrame.message is missing or of a kind not known here");
}

absl::Status ReadMessage(const v1::CoordinatorFrame& from, api::CoordinatorMessage* to) {
  using Case = v1::CoordinatorFrame;
  switch (from.message_case()) {
    case Case::kWelcome:
      return As<api::Welcome>(from.welcome(), to);
    case Case::kFenced:
      return As<api::Fenced>(from.fenced(), to);
    case Case::kRefused:
      return As<api::Refused>(from.refused(), to);
    case Case::kInterrupt:
      return As<api::Interrupt>(from.interrupt(), to);
    case Case::kInstallView:
      return As<api::InstallView>(from.install_view(), to);
    case Case::kBeatAck:
      return As<api::BeatAck>(from.beat_ack(), to);
    case Case::kCommitAck:
      return As<api::CommitAck>(from.commit_ack(), to);
    case Case::kRequestCheckpoint:
      return As<api::RequestCheckpoint>(from.request_checkpoint(), to);
    case Case::kWriteManifest:
      return As<api::WriteManifest>(from.write_manifest(), to);
    case Case::kCheckpointCommitted:
      return As<api::CheckpointCommitted>(from.checkpoint_committed(), to);
    case Case::kRelease:
      return As<api::Release>(from.release(), to);
    case Case::kFinish:
      return As<api::Finish>(from.finish(), to);
    case Case::kCertificate:
      return As<api::Certificate>(from.certificate(), to);
    case Case::MESSAGE_NOT_SET:
      break;
  }
  return base::InvalidArgument("CoordinatorFrame.message is missing or of a kind not known here");
}

template <typename Frame, typename Message>
std::string SerialiseAs(const Message& message) {
  Frame frame;
  ToProto(message, &frame);
  return frame.SerializeAsString();
}

template <typename Frame>
auto ParseAs(std::string_view bytes) -> decltype(FromProto(Frame())) {
  Frame frame;
  if (bytes.size() > static_cast<std::size_t>(kMaxFrameBytes) ||
      !frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return base::InvalidArgument("these " + std::to_string(bytes.size()) + " bytes are no " +
                                 Frame::descriptor()->name());
  }
  return FromProto(frame);
}

}  // namespace

void ToProto(const api::FromMember& from, v1::MemberFrame* to) {
  to->Clear();
  WriteEnvelope(from.envelope, to->mutable_envelope());
  std::visit(IntoMemberFrame{to}, from.message);
}

void ToProto(const api::FromCoordinator& from, v1::CoordinatorFrame* to) {
  to->Clear();
  WriteEnvelope(from.envelope, to->mutable_envelope());
  std::visit(IntoCoordinatorFrame{to}, from.message);
}

absl::StatusOr<api::FromMember> FromProto(const v1::MemberFrame& from) {
  api::FromMember to;
  MUSTER_RETURN_IF_ERROR(ReadEnvelope(from, &to.envelope));
  MUSTER_RETURN_IF_ERROR(ReadMessage(from, &to.message));
  return to;
}

absl::StatusOr<api::FromCoordinator> FromProto(const v1::CoordinatorFrame& from) {
  api::FromCoordinator to;
  MUSTER_RETURN_IF_ERROR(ReadEnvelope(from, &to.envelope));
  MUSTER_RETURN_IF_ERROR(ReadMessage(from, &to.message));
  return to;
}

std::size_t FrameBytes(const api::FromMember& message) {
  v1::MemberFrame frame;
  ToProto(message, &frame);
  return frame.ByteSizeLong();
}

std::string Serialise(const api::FromMember& message) {
  return SerialiseAs<v1::MemberFrame>(message);
}

std::string Serialise(const api::FromCoordinator& message) {
  return SerialiseAs<v1::CoordinatorFrame>(message);
}

absl::StatusOr<api::FromMember> ParseFromMember(std::string_view bytes) {
  return ParseAs<v1::MemberFrame>(bytes);
}

absl::StatusOr<api::FromCoordinator> ParseFromCoordinator(std::string_view bytes) {
  return ParseAs<v1::CoordinatorFrame>(bytes);
}

}  // namespace muster::wire
