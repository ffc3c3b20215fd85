// Every message survives the wire whole; what is not a message is refused by the name of its field.
#include "operator/wire/convert.h"

#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "gmock/gmock.h"
#include "google/protobuf/stubs/logging.h"
#include "gtest/gtest.h"
#include "operator/wire/membership.pb.h"
#include "tests/operator/wire/filled_messages.h"

namespace muster::wire {
namespace {

namespace v1 = membership::v1;
using ::testing::HasSubstr;

// Every field of `message` and of the messages in it is set to something that is not its default.
void ExpectFilled(const google::protobuf::Message& message) {
  const auto* descriptor = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  std::set<std::string> set;
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    set.insert(field->name());
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      ExpectFilled(reflection->GetMessage(message, field));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      ExpectFilled(reflection->GetRepeatedMessage(message, field, i));
    }
  }
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (field->containing_oneof() != nullptr) continue;
    EXPECT_TRUE(set.contains(field->name())) << field->full_name() << " is not written";
  }
}

template <typename Frame, typename Messages, typename Parse>
void ExpectRoundTrip(const Messages& messages, std::size_t alternatives, const Parse& parse) {
  std::set<std::size_t> kinds;
  for (const auto& message : messages) {
    SCOPED_TRACE("alternative " + std::to_string(message.message.index()));
    kinds.insert(message.message.index());
    Frame frame;
    ToProto(message, &frame);
    ExpectFilled(frame);
    const auto back = parse(Serialise(message));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, message);
  }
  EXPECT_EQ(kinds.size(), alternatives) << "a kind of message has no filled value";
  EXPECT_EQ(Frame::descriptor()->oneof_decl(0)->field_count(), static_cast<int>(alternatives));
}

TEST(ConvertTest, EveryMemberMessageComesBackWhole) {
  ExpectRoundTrip<v1::MemberFrame>(FilledMemberMessages(), std::variant_size_v<api::MemberMessage>,
                                   ParseFromMember);
}

TEST(ConvertTest, EveryCoordinatorMessageComesBackWhole) {
  ExpectRoundTrip<v1::CoordinatorFrame>(FilledCoordinatorMessages(),
                                        std::variant_size_v<api::CoordinatorMessage>,
                                        ParseFromCoordinator);
}

TEST(ConvertTest, DefaultsAndOddDoublesComeBack) {
  const api::FromMember hello{{}, api::Hello{}};
  EXPECT_EQ(*ParseFromMember(Serialise(hello)), hello);
  const api::FromCoordinator view{{}, api::InstallView{}};
  EXPECT_EQ(*ParseFromCoordinator(Serialise(view)), view);
  for (double loss : {-0.0, std::numeric_limits<double>::infinity(), 5e-324,
                      std::numeric_limits<double>::quiet_NaN()}) {
    const auto back = ParseFromMember(Serialise(api::FromMember{{}, api::Evaluated{{}, {}, loss}}));
    ASSERT_TRUE(back.ok());
    const double got = std::get<api::Evaluated>(back->message).held_out_loss;
    EXPECT_EQ(std::signbit(got), std::signbit(loss));
    EXPECT_TRUE(got == loss || (std::isnan(got) && std::isnan(loss)));
  }
}

TEST(ConvertTest, EveryEnumeratorComesBack) {
  for (int i = 0; i <= static_cast<int>(api::MemberPhase::kLeaving); ++i) {
    const api::FromMember beat{{}, api::Heartbeat{1, static_cast<api::MemberPhase>(i), {}, 0}};
    EXPECT_EQ(*ParseFromMember(Serialise(beat)), beat);
  }
  for (int i = 0; i <= static_cast<int>(api::Evidence::kChecksum); ++i) {
    const api::FromMember suspect{{}, api::Suspect{{}, {}, static_cast<api::Evidence>(i), ""}};
    EXPECT_EQ(*ParseFromMember(Serialise(suspect)), suspect);
  }
}

struct BadMember {
  const char* complaint;
  std::function<void(v1::MemberFrame*)> spoil;  // of a good Hello
};

TEST(ConvertTest, BadFieldOfAMemberIsNamed) {
  const BadMember cases[] = {
      {"envelope is missing", [](auto* f) { f->clear_envelope(); }},
      {"MemberFrame.message is missing", [](auto* f) { f->clear_message(); }},
      {"Hello.member is missing", [](auto* f) { f->mutable_hello()->clear_member(); }},
      {"Hello.member: MemberId.ordinal is -1; at least 0 is allowed",
       [](auto* f) { f->mutable_hello()->mutable_member()->set_ordinal(-1); }},
      {"Hello.pid is -5", [](auto* f) { f->mutable_hello()->set_pid(-5); }},
      {"Hello.phase is 0; 1 to 11 are allowed",
       [](auto* f) { f->mutable_hello()->set_phase(v1::MEMBER_PHASE_UNSPECIFIED); }},
      {"Hello.phase is 99",
       [](auto* f) { f->mutable_hello()->set_phase(static_cast<v1::MemberPhase>(99)); }},
      {"Hello.committed is -1", [](auto* f) { f->mutable_hello()->set_committed(-1); }},
      {"Hello.kept is missing", [](auto* f) { f->mutable_hello()->clear_kept(); }},
      {"Hello.kept: KeptSums.tag is missing",
       [](auto* f) { f->mutable_hello()->mutable_kept()->clear_tag(); }},
      {"Hello.kept: KeptSums.slots is -2",
       [](auto* f) { f->mutable_hello()->mutable_kept()->add_slots(-2); }},
      {"Hello.kernel_families has 66 entries; at most 64 are allowed",
       [](auto* f) {
         for (int i = 0; i < 64; ++i) f->mutable_hello()->add_kernel_families("x");
       }},
      {"CannotReach.peers has 20000 entries; at most 16384 are allowed",
       [](auto* f) {
         for (int i = 0; i < 20000; ++i) f->mutable_cannot_reach()->add_peers();
       }},
      {"Suspect.evidence is 0",
       [](auto* f) { f->mutable_suspect()->mutable_peer()->set_ordinal(1); }},
      {"Committed.samples.slot is -1",
       [](auto* f) { f->mutable_committed()->add_samples()->set_slot(-1); }},
      {"Hello.token has 16385 bytes; at most 16384 are allowed",
       [](auto* f) { f->mutable_hello()->set_token(std::string(16385, 'x')); }},
      {"CertificateRequest.request_pem has 65537 bytes",
       [](auto* f) { f->mutable_certificate_request()->set_request_pem(std::string(65537, 'x')); }},
      {"Killed.member is missing", [](auto* f) { f->mutable_killed(); }},
  };
  for (const BadMember& bad : cases) {
    v1::MemberFrame frame;
    ToProto(FilledMemberMessages()[0], &frame);
    ASSERT_TRUE(FromProto(frame).ok());
    bad.spoil(&frame);
    const auto got = FromProto(frame);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << bad.complaint;
    EXPECT_THAT(base::Message(got.status()), HasSubstr(bad.complaint));
  }
}

struct BadCoordinator {
  const char* complaint;
  std::function<void(v1::CoordinatorFrame*)> spoil;
};

TEST(ConvertTest, BadFieldOfACoordinatorIsNamed) {
  const auto view = [](v1::CoordinatorFrame* f) {
    return f->mutable_install_view()->mutable_view();
  };
  const BadCoordinator cases[] = {
      {"InstallView.view is missing", [](auto* f) { f->mutable_install_view(); }},
      {"InstallView.view: View.goal is 0", [&](auto* f) { view(f)->mutable_resume_tag(); }},
      {"View.resume_tag is missing", [&](auto* f) { view(f)->set_goal(v1::VIEW_GOAL_TRAIN); }},
      {"View.members: ViewMember.id is missing",
       [&](auto* f) {
         view(f)->set_goal(v1::VIEW_GOAL_TRAIN);
         view(f)->add_members();
       }},
      {"Welcome.heartbeat_seconds is 0", [](auto* f) { f->mutable_welcome(); }},
      {"Welcome.heartbeat_timeout_seconds is -1",
       [](auto* f) {
         f->mutable_welcome()->set_heartbeat_seconds(1);
         f->mutable_welcome()->set_heartbeat_timeout_seconds(-1);
       }},
      {"CheckpointCommitted.checkpoint is missing",
       [](auto* f) { f->mutable_checkpoint_committed(); }},
      {"CommitAck.step is -7", [](auto* f) { f->mutable_commit_ack()->set_step(-7); }},
      {"Certificate.chain_pem has 65537 bytes",
       [](auto* f) { f->mutable_certificate()->set_chain_pem(std::string(65537, 'x')); }},
      {"Certificate.ca_bundle_pem has 65537 bytes",
       [](auto* f) { f->mutable_certificate()->set_ca_bundle_pem(std::string(65537, 'x')); }},
  };
  for (const BadCoordinator& bad : cases) {
    v1::CoordinatorFrame frame;
    frame.mutable_envelope();
    bad.spoil(&frame);
    const auto got = FromProto(frame);
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument) << bad.complaint;
    EXPECT_THAT(base::Message(got.status()), HasSubstr(bad.complaint));
  }
}

// No prefix and no flipped byte of a message may do more than be refused or read as another
// message.
TEST(ConvertTest, MalformedBytesAreRefusedWithoutHarm) {
  const google::protobuf::LogSilencer quiet;
  EXPECT_FALSE(ParseFromMember("").ok());
  EXPECT_THAT(base::Message(ParseFromMember("\xff\xff\xff").status()),
              HasSubstr("these 3 bytes are no MemberFrame"));
  int refused = 0;
  for (const api::FromMember& message : FilledMemberMessages()) {
    const std::string bytes = Serialise(message);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (!ParseFromMember(std::string_view(bytes).substr(0, i)).ok()) ++refused;
      std::string flipped = bytes;
      flipped[i] = static_cast<char>(flipped[i] ^ 0xff);
      if (!ParseFromMember(flipped).ok()) ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace muster::wire
