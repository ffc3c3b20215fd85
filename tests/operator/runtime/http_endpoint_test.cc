// The listener over real sockets: pages, health, a taken port, and a quick end.
#include "operator/runtime/http_endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "operator/runtime/clock.h"

namespace muster::runtime {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

int Connect(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  return fd;
}

std::string Ask(int port, const std::string& what) {
  const int fd = Connect(port);
  const std::string request = what + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(send(fd, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(n));
  }
  close(fd);
  return answer;
}

TEST(HttpEndpointTest, AnswersItsPagesAndNoOthers) {
  std::atomic<bool> ready = false;
  HttpEndpoint::Options options;
  options.metrics = [] { return std::string("muster_x 1\n"); };
  options.ready = [&] {
    return ready ? absl::OkStatus() : base::Unavailable("cache is not in step yet");
  };
  options.json_path = "/status";
  options.json = [] { return std::string("{\"a\":1}"); };
  auto endpoint = HttpEndpoint::Create(options);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  const int port = (*endpoint)->port();
  ASSERT_GT(port, 0);
  EXPECT_THAT(Ask(port, "GET /healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask(port, "GET /readyz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Ask(port, "GET /readyz"), HasSubstr("cache is not in step yet"));
  ready = true;
  EXPECT_THAT(Ask(port, "GET /readyz"), StartsWith("HTTP/1.1 200"));
  const std::string metrics = Ask(port, "GET /metrics");
  EXPECT_THAT(metrics, StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(metrics, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(metrics, EndsWith("muster_x 1\n"));
  EXPECT_THAT(Ask(port, "GET /status"), EndsWith("{\"a\":1}"));
  EXPECT_THAT(Ask(port, "GET /other"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Ask(port, "GET /other"), HasSubstr("there are /healthz, /readyz, /metrics, /status"));
  EXPECT_THAT(Ask(port, "POST /metrics"), StartsWith("HTTP/1.1 405"));
}

TEST(HttpEndpointTest, PagesThatWereNotGivenAreNotThere) {
  auto endpoint = HttpEndpoint::Create({});
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  EXPECT_THAT(Ask((*endpoint)->port(), "GET /readyz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Ask((*endpoint)->port(), "GET /metrics"), StartsWith("HTTP/1.1 404"));
}

TEST(HttpEndpointTest, TakenPortIsNamed) {
  auto first = HttpEndpoint::Create({});
  ASSERT_TRUE(first.ok()) << first.status();
  const int port = (*first)->port();
  const auto second = HttpEndpoint::Create({.port = port});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(base::Message(second.status()),
              HasSubstr("port " + std::to_string(port) + " of 127.0.0.1 is taken"));
}

TEST(HttpEndpointTest, BadAddressesAreRefused) {
  EXPECT_THAT(base::Message(HttpEndpoint::Create({.host = "nowhere"}).status()),
              HasSubstr("'nowhere'"));
  EXPECT_THAT(base::Message(HttpEndpoint::Create({.port = 70000}).status()), HasSubstr("70000"));
}

TEST(HttpEndpointTest, StopsQuicklyAfterAScrapeAndGivesThePortBack) {
  HttpEndpoint::Options options;
  options.metrics = [] { return std::string("muster_x 1\n"); };
  auto endpoint = HttpEndpoint::Create(options);
  ASSERT_TRUE(endpoint.ok()) << endpoint.status();
  options.port = (*endpoint)->port();
  Ask(options.port, "GET /metrics");
  const int idle = Connect(options.port);  // a scraper's kept connection must not hold it up
  // Accepted for certain before the end begins: see the header.
  Ask(options.port, "GET /metrics");
  const RealClock clock;
  const base::Time start = clock.Now();
  endpoint->reset();
  EXPECT_LT(clock.Now() - start, milliseconds(100));
  close(idle);
  EXPECT_TRUE(HttpEndpoint::Create(options).ok());
}

}  // namespace
}  // namespace muster::runtime
