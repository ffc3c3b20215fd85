// TLS between members: who is let in and who is not, at either end.

#include "worker/comm/tls.h"

#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <future>

#include "tests/worker/comm/tls_ends.h"
#include "worker/comm/dial.h"

namespace muster::comm {
namespace {

using std::chrono::hours;
using testing::HasSubstr;

// The words by which each end refuses, for a leaf that is wrong in one way.
struct Leaf {
  const char* name;
  std::shared_ptr<const runtime::Identity> identity;
  std::string who_refuses;     // the sentence of the end to which it is shown
  std::string who_is_refused;  // the status of the end that shows it
};

// Leaves that say they are `member`'s and must not be believed to be.
std::vector<Leaf> BadLeaves(const runtime::Identity& authority, base::MemberId member) {
  const base::WallTime now = WallNow();
  const auto server = runtime::IssueServer(authority, {{"localhost"}, {"127.0.0.1"}},
                                           runtime::ValidFor(now, hours(1)));
  return {
      {"foreign authority", MakeLeaf(MakeTestAuthority(), member),
       "is not believed: unable to get local issuer certificate", "unknown ca"},
      {"another job", MakeLeaf(authority, member, "job-2"), "and this member is of job job-1",
       "refused this member's handshake"},
      {"expired", MakeLeaf(authority, member, "job-1", {{now - hours(3), now - hours(1)}}),
       "of job job-1, which is not believed: certificate has expired", "certificate expired"},
      {"not yet valid", MakeLeaf(authority, member, "job-1", {{now + hours(1), now + hours(2)}}),
       "is not believed: certificate is not yet valid", "bad certificate"},
      {"coordinator's", std::make_shared<const runtime::Identity>(*server),
       "a certificate of no member", "refused this member's handshake"},
      {"authority itself", std::make_shared<const runtime::Identity>(authority),
       "a certificate of no member", "refused this member's handshake"},
  };
}

TEST_F(TlsTest, WhoAcceptsRefusesWhoIsNobody) {
  const auto own = Papers(kListening);
  for (const Leaf& bad : BadLeaves(authority_, kCaller)) {
    SCOPED_TRACE(bad.name);
    Port port(own->tls());
    const absl::Status status = Call(port, *Papers(bad.identity));
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(base::Message(status), HasSubstr(bad.who_is_refused));
    const std::string sentence = port.Sentence();
    EXPECT_THAT(sentence, HasSubstr("data plane refused a peer: 127.0.0.1:"));
    EXPECT_THAT(sentence, HasSubstr(bad.who_refuses));
    EXPECT_EQ(port.listener->refused(), 1);
    ExpectStillOpen(port);
  }
}

TEST_F(TlsTest, WhoDialsRefusesWhoIsNotTheMemberThatItWants) {
  auto leaves = BadLeaves(authority_, kListening);
  leaves.push_back({"another member", MakeLeaf(authority_, {7, 3}),
                    "it shows a certificate of member 7.3 of job job-1, and not of member 0.0",
                    ""});
  for (const Leaf& bad : leaves) {
    SCOPED_TRACE(bad.name);
    const auto papers = Papers(bad.identity);
    Port port(papers->tls());
    const auto own = Papers(kCaller);
    Port caller(own->tls());
    DialOptions dial{caller.listener.get(), kListening, port.listener->address(),
                     From(kCaller),         In(2000),   In(2000),
                     std::nullopt};
    AbortFlag never;
    const Dialled dialled = Dial(dial, never);
    EXPECT_TRUE(dialled.reached);
    EXPECT_TRUE(absl::IsPermissionDenied(dialled.channel.status())) << dialled.channel.status();
    EXPECT_THAT(base::Message(dialled.channel.status()), HasSubstr(bad.who_refuses));
    EXPECT_THAT(caller.Sentence(), HasSubstr("member 0.0 at " + port.listener->address()));
    EXPECT_THAT(port.Sentence(), HasSubstr("it refused this member's handshake"));
  }
}

TEST_F(TlsTest, AGreetingInAnotherMembersNameIsRefused) {
  const auto own = Papers(kListening);
  Port port(own->tls());
  const absl::Status status = Call(port, *Papers(kCaller), {2, 0});
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(base::Message(status), HasSubstr("member 2.0 shows the certificate of member 1.0"));
  EXPECT_THAT(port.Sentence(), HasSubstr("member 2.0 shows the certificate of member 1.0"));
  ExpectStillOpen(port);
}

TEST_F(TlsTest, PlainTextIsRefusedAtBothEnds) {
  const auto own = Papers(kListening);
  AbortFlag never;
  {
    Port port(own->tls());
    Channel plain = Open(port.listener->address());
    const absl::Status status = Greet(plain, From(kCaller), In(2000), never);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(port.Sentence(), HasSubstr("it does not speak TLS 1.3"));
    ExpectStillOpen(port);
  }
  {
    Port port(own->tls());
    Channel web = Open(port.listener->address());
    const std::string http = "GET / HTTP/1.1\r\nHost: somebody.example\r\n\r\n";
    EXPECT_TRUE(WriteAll(web, std::as_bytes(std::span(http)), In(2000), never).ok());
    EXPECT_THAT(port.Sentence(), HasSubstr("it does not speak TLS 1.3"));
  }
  Port port(nullptr);
  const absl::Status status = Call(port, *Papers(kCaller));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(base::Message(status), HasSubstr("it does not speak TLS 1.3"));
  EXPECT_THAT(port.Sentence(), HasSubstr("the peer does not speak this protocol"));
}

// Played with OpenSSL alone: our own end cannot be made to do it.
TEST_F(TlsTest, NoCertificateAndAnOlderTlsAreRefused) {
  const auto own = Papers(kListening);
  const std::pair<int, const char*> cases[] = {{TLS1_3_VERSION, "it shows no certificate"},
                                               {TLS1_2_VERSION, "it does not speak TLS 1.3"}};
  for (const auto& [version, words] : cases) {
    Port port(own->tls());
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_method()),
                                                                    SSL_CTX_free);
    SSL_CTX_set_max_proto_version(context.get(), version);
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    Channel socket = Open(port.listener->address());
    SSL_set_fd(ssl.get(), socket.get());
    SSL_set_connect_state(ssl.get());
    AbortFlag never;
    for (int result = 0; (result = SSL_do_handshake(ssl.get())) != 1;) {
      if (SSL_get_error(ssl.get(), result) != SSL_ERROR_WANT_READ) break;
      if (!WaitReady(socket.get(), POLLIN, In(2000), never).ok()) break;
    }
    EXPECT_THAT(port.Sentence(), HasSubstr(words));
    ExpectStillOpen(port);
  }
}

TEST_F(TlsTest, AMemberWithoutPapersLetsNobodyInAndReachesNobody) {
  const auto own = Papers(std::shared_ptr<const runtime::Identity>());
  Port port(own->tls());
  const absl::Status status = Call(port, *Papers(kCaller));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(port.Sentence(), HasSubstr("it has no certificate yet"));
  AbortFlag never;
  auto fd = Connect(port.listener->address(), In(2000), never);
  ASSERT_TRUE(fd.ok());
  EXPECT_TRUE(absl::IsUnavailable(own->tls()->Begin(*std::move(fd), kListening).status()));
  // Its certificate has come.
  own->Show(MakeLeaf(authority_, kListening));
  ExpectStillOpen(port);
}

// What came in one record with the greeting is not seen by poll: it must not be waited for.
TEST_F(TlsTest, BytesBehindTheGreetingAreNotLost) {
  const auto own = Papers(kListening);
  auto listener = MakeListener("job-1", "secret", nullptr, own->tls());
  std::promise<std::string> heard;
  listener->RegisterKind(Kind::kState, [&](Channel channel, const Greeting&) {
    EXPECT_EQ(channel.peer()->member, kCaller);
    std::string bytes(5, '\0');
    AbortFlag never;
    EXPECT_TRUE(ReadAll(channel, std::as_writable_bytes(std::span(bytes)), In(1000), never).ok());
    heard.set_value(bytes);
  });
  const auto papers = Papers(kCaller);
  Channel channel = Open(listener->address(), papers->tls(), kListening);
  AbortFlag never;
  const std::string all = EncodeGreeting(From(kCaller)) + "after";
  ASSERT_TRUE(WriteAll(channel, std::as_bytes(std::span(all)), In(2000), never).ok());
  EXPECT_EQ(heard.get_future().get(), "after");
}

TEST_F(TlsTest, HalfClosedPeersAreLetGo) {
  const auto own = Papers(kListening);
  Port port(own->tls());
  AbortFlag never;
  std::byte one[1];
  // Before its handshake.
  Channel raw = Open(port.listener->address());
  shutdown(raw.get(), SHUT_WR);
  EXPECT_TRUE(absl::IsUnavailable(ReadAll(raw, one, In(1000), never)));
  // After a part of its greeting.
  const auto papers = Papers(kCaller);
  Channel channel = Open(port.listener->address(), papers->tls(), kListening);
  const std::string part = EncodeGreeting(From(kCaller)).substr(0, 10);
  ASSERT_TRUE(WriteAll(channel, std::as_bytes(std::span(part)), In(2000), never).ok());
  shutdown(channel.get(), SHUT_WR);
  EXPECT_TRUE(absl::IsUnavailable(ReadAll(channel, one, In(1000), never)));
  EXPECT_EQ(port.listener->refused(), 0) << testing::PrintToString(port.Sentences());
  ExpectStillOpen(port);
}

}  // namespace
}  // namespace muster::comm
