// The server against a bare gRPC client: ids, malformed frames, ends, and addresses.
#include "operator/rpc/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "operator/wire/convert.h"
#include "operator/wire/membership.grpc.pb.h"

namespace muster::rpc {
namespace {

namespace v1 = membership::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    MembershipServer::Options options;
    options.on_message = [this](StreamId stream, api::FromMember) { Tell("message", stream); };
    options.on_closed = [this](StreamId stream) { Tell("closed", stream); };
    auto server = MembershipServer::Create(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = v1::Membership::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()));
  }

  static v1::MemberFrame Hello() {
    v1::MemberFrame frame;
    wire::ToProto(api::FromMember{{}, api::Hello{}}, &frame);
    return frame;
  }

  void Tell(const char* what, StreamId stream) {
    std::lock_guard lock(mutex_);
    told_.push_back(what + std::string(" ") + std::to_string(stream));
    changed_.notify_all();
  }
  // The first `count` of what the callbacks were told.
  std::vector<std::string> Told(std::size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return told_.size() >= count; });
    return told_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> told_;
  std::unique_ptr<v1::Membership::Stub> stub_;
  std::unique_ptr<MembershipServer> server_;
};

TEST_F(ServerTest, IdsGrowFromOneAndEachStreamClosesOnceAfterItsMessages) {
  for (int i = 0; i < 2; ++i) {
    grpc::ClientContext context;
    auto stream = stub_->Join(&context);
    EXPECT_TRUE(stream->Write(Hello()));
    EXPECT_TRUE(stream->Write(Hello()));
    EXPECT_TRUE(stream->WritesDone());
    v1::CoordinatorFrame none;
    EXPECT_FALSE(stream->Read(&none));
    EXPECT_TRUE(stream->Finish().ok()) << "a member that has said all is let go in peace";
    Told(static_cast<std::size_t>(3 * (i + 1)));
  }
  server_->Shutdown(std::chrono::seconds(1));
  EXPECT_THAT(Told(6), ElementsAre("message 1", "message 1", "closed 1", "message 2", "message 2",
                                   "closed 2"));
  EXPECT_EQ(server_->counts().opened, 2u);
  EXPECT_EQ(server_->counts().closed, 2u);
}

TEST_F(ServerTest, MalformedFrameEndsItsStreamWithTheFieldsName) {
  grpc::ClientContext context;
  auto stream = stub_->Join(&context);
  v1::MemberFrame frame = Hello();
  frame.mutable_hello()->set_pid(-3);
  EXPECT_TRUE(stream->Write(frame));
  v1::CoordinatorFrame none;
  EXPECT_FALSE(stream->Read(&none));
  const grpc::Status status = stream->Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("Hello.pid is -3"));
  EXPECT_THAT(Told(1), ElementsAre("closed 1"));
  EXPECT_EQ(server_->counts().cut_malformed, 1u);
}

TEST_F(ServerTest, CancelledStreamCloses) {
  grpc::ClientContext context;
  auto stream = stub_->Join(&context);
  EXPECT_TRUE(stream->Write(Hello()));
  EXPECT_THAT(Told(1), ElementsAre("message 1"));
  context.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  EXPECT_THAT(Told(2), ElementsAre("message 1", "closed 1"));
  EXPECT_FALSE(server_->Send(1, {{}, api::Release{}}));
  server_->CloseStream(1);
  server_->CloseStream(99);
}

TEST(ServerAddressTest, TakenOrImpossibleAddressIsNamed) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  MembershipServer::Options options;
  options.on_message = [](StreamId, api::FromMember) {};
  options.on_closed = [](StreamId) {};
  for (const std::string& bad :
       {"127.0.0.1:" + std::to_string(ntohs(address.sin_port)), std::string("nonsense")}) {
    options.address = bad;
    const auto server = MembershipServer::Create(options);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(base::Message(server.status()), HasSubstr("cannot listen on " + bad));
  }
  close(fd);
  EXPECT_FALSE(MembershipServer::Create({}).ok());
}

}  // namespace
}  // namespace muster::rpc
