// TLS of the transport: whom it believes, what it shows, and what happens when either is replaced.
#include <gtest/gtest.h>

#include "tests/operator/kube/transport_fixture.h"

namespace muster::kube {
namespace {

class TlsTest : public TransportTest {
 protected:
  static const Identity& Ca() {
    static const Identity ca = MakeAuthority("cluster CA");
    return ca;
  }
  static const Identity& OtherCa() {
    static const Identity ca = MakeAuthority("other CA");
    return ca;
  }
  static WireServer::Tls ServerTls(const std::vector<std::string>& names = {"IP:127.0.0.1"},
                                   const Identity& by = Ca()) {
    return {MakeLeaf(by, "server", names), ""};
  }
  // Answers with who the client is and whom it asked for.
  static bool Echo(const WireRequest& request, WireConnection& connection) {
    const auto token = request.headers.find("authorization");
    return connection.Reply(200, request.peer + "|" + request.server_name + "|" +
                                     (token == request.headers.end() ? "" : token->second));
  }
  static std::string Ask(HttpTransport& transport) {
    const auto response = transport.Send(Get("/"), {});
    return response.ok() ? response->body : base::Message(response.status());
  }
};

TEST_F(TlsTest, BelievesTheClustersAuthorityAlone) {
  const WireServer::Tls good = ServerTls();
  WireServer server(Echo, &good);
  EXPECT_EQ(Ask(*Make(Config(server.url(), {Ca().certificate_pem, "", "", "t"}))), "||Bearer t");
  const auto foreign = Make(Config(server.url(), {OtherCa().certificate_pem, "", "", ""}));
  EXPECT_EQ(foreign->Send(Get("/"), {}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(Ask(*foreign).find("handshake"), std::string::npos) << Ask(*foreign);
}

TEST_F(TlsTest, WithoutAnAuthorityTheMachinesRootsAreAskedAndDoNotKnowIt) {
  const WireServer::Tls good = ServerTls();
  WireServer server(Echo, &good);
  EXPECT_FALSE(Make(Config(server.url()))->Send(Get("/"), {}).ok());
}

TEST_F(TlsTest, ABundleHoldsTheOldAndTheNewAuthority) {
  const WireServer::Tls old_one = ServerTls();
  const WireServer::Tls new_one = ServerTls({"IP:127.0.0.1"}, OtherCa());
  WireServer first(Echo, &old_one);
  WireServer second(Echo, &new_one);
  const std::string bundle =
      Ca().certificate_pem + OtherCa().certificate_pem + Ca().certificate_pem;
  EXPECT_EQ(Ask(*Make(Config(first.url(), {bundle, "", "", ""}))), "||");
  EXPECT_EQ(Ask(*Make(Config(second.url(), {bundle, "", "", ""}))), "||");
}

TEST_F(TlsTest, TheServersNameIsChecked) {
  const WireServer::Tls named = ServerTls({"DNS:api.test"});
  WireServer server(Echo, &named);
  ClusterConfig config = Config(server.url(), {Ca().certificate_pem, "", "", ""});
  EXPECT_FALSE(Make(config)->Send(Get("/"), {}).ok()) << "the certificate is not for 127.0.0.1";
  config.tls_server_name = "api.test";
  EXPECT_EQ(Ask(*Make(config)), "|api.test|");
  config.tls_server_name = "other.test";
  EXPECT_FALSE(Make(config)->Send(Get("/"), {}).ok());
}

TEST_F(TlsTest, WhoAsksNotToVerifyIsNotProtected) {
  const WireServer::Tls wrong = ServerTls({"DNS:elsewhere"}, OtherCa());
  WireServer server(Echo, &wrong);
  ClusterConfig config = Config(server.url(), {Ca().certificate_pem, "", "", ""});
  EXPECT_FALSE(Make(config)->Send(Get("/"), {}).ok());
  config.insecure_skip_tls_verify = true;
  EXPECT_EQ(Ask(*Make(config)), "||");
}

TEST_F(TlsTest, ShowsItsCertificateWhenItIsAsked) {
  const WireServer::Tls mutual{ServerTls().identity, Ca().certificate_pem};
  WireServer server(Echo, &mutual);
  const Identity client = MakeLeaf(Ca(), "muster-operator", {});
  EXPECT_EQ(Ask(*Make(Config(server.url(),
                             {Ca().certificate_pem, client.certificate_pem, client.key_pem, ""}))),
            "muster-operator||");
  EXPECT_FALSE(
      Make(Config(server.url(), {Ca().certificate_pem, "", "", ""}))->Send(Get("/"), {}).ok());
  const Identity stranger = MakeLeaf(OtherCa(), "stranger", {});
  EXPECT_FALSE(Make(Config(server.url(),
                           {Ca().certificate_pem, stranger.certificate_pem, stranger.key_pem, ""}))
                   ->Send(Get("/"), {})
                   .ok());
}

TEST_F(TlsTest, StreamsOverTls) {
  const WireServer::Tls good = ServerTls();
  WireServer server(
      [&](const WireRequest&, WireConnection& connection) {
        connection.WriteHead(200, kChunked);
        for (int i = 0; i < 1000; ++i) connection.WriteChunk(std::string(3000, 'z') + "\n");
        return connection.WriteChunk("");
      },
      &good);
  Lines lines;
  const auto transport = Make(Config(server.url(), {Ca().certificate_pem, "", "", ""}));
  ASSERT_TRUE(transport->Stream(Get("/"), Into(lines), {}).ok());
  EXPECT_EQ(lines.size(), 1000u);
}

TEST_F(TlsTest, PemThatIsNoneIsRefusedByWhatItIs) {
  const Identity client = MakeLeaf(Ca(), "c", {});
  const Identity other = MakeLeaf(Ca(), "d", {});
  const struct {
    Access access;
    std::string named;
  } rows[] = {
      {{"no pem", "", "", ""}, "certificate authority"},
      {{Ca().certificate_pem, "no pem", client.key_pem, ""}, "client certificate"},
      {{Ca().certificate_pem, client.certificate_pem, "no pem", ""}, "private key"},
      {{Ca().certificate_pem, client.certificate_pem, "", ""}, "private key"},
      {{Ca().certificate_pem, client.certificate_pem, other.key_pem, ""}, "does not belong"},
  };
  for (const auto& row : rows) {
    const auto transport = MakeCpprestTransport(Config("https://127.0.0.1:1", row.access));
    ASSERT_FALSE(transport.ok()) << row.named;
    EXPECT_EQ(transport.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(base::Message(transport.status()).find(row.named), std::string::npos)
        << base::Message(transport.status());
  }
}

// A source whose access the test replaces.
class Changing final : public AccessSource {
 public:
  explicit Changing(Access access) { Set(std::move(access)); }
  void Set(Access access) { current_ = std::make_shared<const Access>(std::move(access)); }
  absl::StatusOr<std::shared_ptr<const Access>> Current() override { return current_; }
  void Refused(const Access& access) override { refused.push_back(access.token); }
  std::vector<std::string> refused;

 private:
  std::shared_ptr<const Access> current_;
};

TEST_F(TlsTest, AReplacedTokenNeedsNoNewConnectionAReplacedCertificateDoes) {
  const WireServer::Tls mutual{ServerTls().identity, Ca().certificate_pem};
  WireServer server(Echo, &mutual);
  const Identity one = MakeLeaf(Ca(), "one", {});
  const Identity two = MakeLeaf(Ca(), "two", {});
  const auto source = std::make_shared<Changing>(
      Access{Ca().certificate_pem, one.certificate_pem, one.key_pem, "a"});
  ClusterConfig config = Config(server.url());
  config.access = source;
  const auto transport = Make(config);
  EXPECT_EQ(Ask(*transport), "one||Bearer a");
  LetConnectionBeKept();
  source->Set({Ca().certificate_pem, one.certificate_pem, one.key_pem, "b"});
  EXPECT_EQ(Ask(*transport), "one||Bearer b");
  EXPECT_EQ(server.connections(), 1);
  source->Set({Ca().certificate_pem, two.certificate_pem, two.key_pem, "b"});
  EXPECT_EQ(Ask(*transport), "two||Bearer b");
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(TlsTest, ASourceIsToldWhatWasRefused) {
  WireServer server(
      [](const WireRequest&, WireConnection& connection) { return connection.Reply(401, ""); });
  const auto source = std::make_shared<Changing>(Access{"", "", "", "old"});
  ClusterConfig config = Config(server.url());
  config.access = source;
  (void)Make(config)->Send(Get("/"), {});
  EXPECT_EQ(source->refused, std::vector<std::string>{"old"});
}

}  // namespace
}  // namespace muster::kube
