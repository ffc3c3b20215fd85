// The server's handshakes against a bare gRPC client: who gets through, as whom, and what is shown
// after a renewal.
#include <mutex>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "operator/rpc/server.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/clock.h"
#include "operator/wire/convert.h"
#include "operator/wire/membership.grpc.pb.h"

namespace muster::rpc {
namespace {

namespace v1 = membership::v1;
using runtime::Identity;
using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const api::JobMember kWho{"job-a", {3, 2}};

base::WallTime Now() { return runtime::RealClock().WallNow(); }

Identity Authority() {
  return *runtime::MakeAuthority("muster CA", {Now() - hours(100), Now() + hours(100)});
}

Identity Coordinator(const Identity& authority) {
  return *runtime::IssueServer(authority, {{"localhost"}, {"127.0.0.1"}},
                               runtime::ValidFor(Now(), hours(1)));
}

Identity Member(const Identity& authority, runtime::Validity validity) {
  const auto request = runtime::MakeRequest();
  return {*runtime::SignMember(authority, request->request_pem, kWho, validity), request->key_pem};
}

class ServerTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    authority_ = Authority();
    MembershipServer::Options options;
    options.tls = TlsOf(authority_, authority_.certificate_pem);
    options.on_open = [this](StreamId stream, std::optional<api::JobMember> peer) {
      Tell("open " + std::to_string(stream) + " " + (peer ? api::ToString(*peer) : "nobody"));
    };
    options.on_message = [this](StreamId stream, api::FromMember) {
      Tell("message " + std::to_string(stream));
    };
    options.on_closed = [](StreamId) {};
    auto server = MembershipServer::Create(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  static ServerTls TlsOf(const Identity& authority, const std::string& believed) {
    const Identity leaf = Coordinator(authority);
    return {leaf.certificate_pem, leaf.key_pem, believed};
  }

  // Says Hello with these certificates; the status that ends the stream when it does not open.
  grpc::Status Join(const std::string& believed, const Identity& shown = {}) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = believed;
    options.pem_cert_chain = shown.certificate_pem;
    options.pem_private_key = shown.key_pem;
    grpc::ChannelArguments own;
    own.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto stub = v1::Membership::NewStub(grpc::CreateCustomChannel(
        "127.0.0.1:" + std::to_string(server_->port()), grpc::SslCredentials(options), own));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    auto stream = stub->Join(&context);
    v1::MemberFrame hello;
    wire::ToProto(api::FromMember{{}, api::Hello{}}, &hello);
    stream->Write(hello);
    stream->WritesDone();
    v1::CoordinatorFrame frame;
    while (stream->Read(&frame)) {
    }
    return stream->Finish();
  }

  void Tell(const std::string& what) {
    std::lock_guard lock(mutex_);
    told_.push_back(what);
  }
  std::vector<std::string> Told() {
    std::lock_guard lock(mutex_);
    return std::exchange(told_, {});
  }

  std::mutex mutex_;
  std::vector<std::string> told_;
  Identity authority_;
  std::unique_ptr<MembershipServer> server_;
};

TEST_F(ServerTlsTest, CertificateSaysWhoItIsAndNobodyNeedsOne) {
  const std::string& believed = authority_.certificate_pem;
  EXPECT_TRUE(Join(believed).ok());
  EXPECT_THAT(Told(), ElementsAre("open 1 nobody", "message 1"));
  EXPECT_TRUE(Join(believed, Member(authority_, runtime::ValidFor(Now(), hours(1)))).ok());
  EXPECT_THAT(Told(), ElementsAre("open 2 member 3.2 of job job-a", "message 2"));
}

TEST_F(ServerTlsTest, BadCertificatesDoNotGetThrough) {
  const std::string& believed = authority_.certificate_pem;
  const Identity foreign = Member(Authority(), runtime::ValidFor(Now(), hours(1)));
  const Identity expired = Member(authority_, {Now() - hours(3), Now() - hours(2)});
  const Identity early = Member(authority_, {Now() + hours(2), Now() + hours(3)});
  for (const Identity& bad : {foreign, expired, early, Coordinator(authority_)}) {
    EXPECT_EQ(Join(believed, bad).error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(Told(), ElementsAre());
  }
  EXPECT_EQ(server_->counts().opened, 0u);
}

TEST_F(ServerTlsTest, NextHandshakeTakesWhatWasRenewedAndOpenStreamsStay) {
  const Identity next = Authority();
  const std::string& old_believed = authority_.certificate_pem;
  const Identity member = Member(authority_, runtime::ValidFor(Now(), hours(1)));
  const auto bundle = runtime::MakeBundle({old_believed, next.certificate_pem}, Now());
  ASSERT_TRUE(bundle.ok());

  auto credentials = grpc::SslCredentialsOptions();
  credentials.pem_root_certs = old_believed;
  const auto stub = v1::Membership::NewStub(grpc::CreateChannel(
      "127.0.0.1:" + std::to_string(server_->port()), grpc::SslCredentials(credentials)));
  grpc::ClientContext context;
  auto open = stub->Join(&context);
  v1::MemberFrame hello;
  wire::ToProto(api::FromMember{{}, api::Hello{}}, &hello);
  ASSERT_TRUE(open->Write(hello));

  ASSERT_TRUE(server_->RenewTls(TlsOf(next, *bundle)).ok());
  EXPECT_THAT(Join(old_believed).error_message(), HasSubstr("certificate verify failed"));
  EXPECT_TRUE(Join(*bundle, member).ok()) << "the bundle has the member's authority still";
  ASSERT_TRUE(server_->RenewTls(TlsOf(next, next.certificate_pem)).ok());
  EXPECT_FALSE(Join(*bundle, member).ok());
  EXPECT_TRUE(Join(*bundle).ok());

  EXPECT_TRUE(server_->Send(1, {{}, api::BeatAck{7}}));
  v1::CoordinatorFrame frame;
  ASSERT_TRUE(open->Read(&frame)) << "a renewal touches no stream";
  EXPECT_EQ(frame.beat_ack().sequence(), 7u);
  context.TryCancel();
  open->Finish();
}

TEST_F(ServerTlsTest, UnusableTextsAreRefusedByName) {
  const ServerTls good = TlsOf(authority_, authority_.certificate_pem);
  struct Case {
    ServerTls tls;
    const char* complaint;
  };
  const Case cases[] = {
      {{"", good.key_pem, good.client_ca_pem}, "the coordinator's certificate: "},
      {{good.chain_pem, Coordinator(authority_).key_pem, good.client_ca_pem},
       "the key is not the certificate's"},
      {{good.chain_pem, good.key_pem, ""}, "the authorities of members: "},
      {{good.chain_pem, good.key_pem, good.chain_pem}, "is not an authority's"},
  };
  for (const Case& bad : cases) {
    EXPECT_THAT(base::Message(server_->RenewTls(bad.tls)), HasSubstr(bad.complaint));
    MembershipServer::Options options;
    options.on_message = [](StreamId, api::FromMember) {};
    options.on_closed = [](StreamId) {};
    options.tls = bad.tls;
    const auto server = MembershipServer::Create(options);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(base::Message(server.status()), HasSubstr(bad.complaint));
    options.tls.reset();
    const auto plain = MembershipServer::Create(options);
    ASSERT_TRUE(plain.ok());
    EXPECT_THAT(base::Message((*plain)->RenewTls(good)), HasSubstr("plain text"));
  }
  EXPECT_TRUE(Join(authority_.certificate_pem).ok()) << "nothing has changed";
}

}  // namespace
}  // namespace muster::rpc
