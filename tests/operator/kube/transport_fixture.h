// What the tests of the transport share.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operator/kube/cpprest_transport.h"
#include "operator/runtime/clock.h"
#include "tests/operator/kube/wire_server.h"

namespace muster::kube {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Lines = std::vector<std::string>;

inline const runtime::RealClock kClock;

class TransportTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { PrepareProcessForHttps(); }

  static ClusterConfig Config(const std::string& server, Access access = {}) {
    ClusterConfig config;
    config.server = server;
    config.user_agent = "muster/test";
    config.access = MakeStaticAccess(std::move(access));
    return config;
  }
  static std::unique_ptr<HttpTransport> Make(ClusterConfig config, CpprestOptions options = {}) {
    auto transport = MakeCpprestTransport(std::move(config), options);
    EXPECT_TRUE(transport.ok()) << base::Message(transport.status());
    return *std::move(transport);
  }
};

inline HttpRequest Get(std::string target, base::Duration timeout = seconds(20)) {
  HttpRequest request;
  request.target = std::move(target);
  request.timeout = timeout;
  request.idle_timeout = seconds(20);
  return request;
}

inline OnLine Into(Lines& lines) {
  return [&lines](std::string_view line) {
    lines.emplace_back(line);
    return true;
  };
}

// The library puts a connection back a moment after its answer is complete.
inline void LetConnectionBeKept() { std::this_thread::sleep_for(milliseconds(100)); }

inline constexpr char kChunked[] =
    "Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n";

}  // namespace muster::kube
