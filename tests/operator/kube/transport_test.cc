// Exchanges over real sockets: deadlines, stops, bounds, refusals, and what is counted.
#include <gtest/gtest.h>

#include <thread>

#include "operator/runtime/bounded_queue.h"
#include "tests/operator/kube/transport_fixture.h"

namespace muster::kube {
namespace {

// ---- exchanges

TEST_F(TransportTest, SendsMethodTargetHeadersAndBody) {
  runtime::BoundedQueue<WireRequest> seen(10, runtime::WhenFull::kBlock);
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    seen.Push(request);
    return connection.Reply(201, "made", "Retry-After: 7\r\n");
  });
  const auto transport = Make(Config(server.url(), {"", "", "", "secret"}));
  for (const Method method :
       {Method::kGet, Method::kPost, Method::kPut, Method::kPatch, Method::kDelete}) {
    HttpRequest request = Get("/apis/a%2Fb?labelSelector=x%3D1%2Cy&limit=5");
    request.method = method;
    if (method != Method::kGet) {
      request.body = "{\"a\":\"\xC3\xA9\"}";
      request.content_type = "application/json-patch+json";
    }
    const auto response = transport->Send(request, {});
    ASSERT_TRUE(response.ok()) << base::Message(response.status());
    EXPECT_EQ(response->code, 201);
    EXPECT_EQ(response->body, "made");
    EXPECT_EQ(response->retry_after, seconds(7));
    const WireRequest got = *seen.Pop();
    EXPECT_EQ(got.method, ToString(method));
    EXPECT_EQ(got.target, request.target);
    EXPECT_EQ(got.body, request.body);
    EXPECT_EQ(got.headers.at("authorization"), "Bearer secret");
    EXPECT_EQ(got.headers.at("user-agent"), "muster/test");
    EXPECT_EQ(got.headers.at("accept"), "application/json");
    if (method != Method::kGet) {
      EXPECT_EQ(got.headers.at("content-type"), "application/json-patch+json");
    }
    LetConnectionBeKept();
  }
  EXPECT_EQ(server.connections(), 1) << "a connection is used again";
}

TEST_F(TransportTest, APathOfTheServerGoesBeforeTheTarget) {
  std::string target;
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    target = request.target;
    return connection.Reply(200, "");
  });
  const auto transport = Make(Config(server.url() + "/k8s/clusters/c-1"));
  ASSERT_TRUE(transport->Send(Get("/api/v1/pods?limit=1"), {}).ok());
  EXPECT_EQ(target, "/k8s/clusters/c-1/api/v1/pods?limit=1");
}

TEST_F(TransportTest, AnAnswerThatIsNoSuccessIsAnAnswer) {
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    return connection.Reply(std::stoi(request.target.substr(1)), "why");
  });
  const auto transport = Make(Config(server.url()));
  for (const int code : {302, 400, 401, 404, 409, 410, 422, 429, 500, 503}) {
    const auto response = transport->Send(Get("/" + std::to_string(code)), {});
    ASSERT_TRUE(response.ok()) << code << base::Message(response.status());
    EXPECT_EQ(response->code, code);
    EXPECT_EQ(response->body, "why") << code;
    EXPECT_FALSE(response->ok());
  }
}

TEST_F(TransportTest, ATenMegabyteAnswerComesWhole) {
  std::string body;
  while (body.size() < 10'500'000) body += "{\"n\":" + std::to_string(body.size()) + "},";
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    if (request.target == "/plain") return connection.Reply(200, body);
    connection.WriteHead(200, kChunked);
    for (std::size_t at = 0; at < body.size(); at += 30'000) {
      connection.WriteChunk(body.substr(at, 30'000));
    }
    return connection.WriteChunk("");
  });
  const auto transport = Make(Config(server.url()));
  for (const char* target : {"/plain", "/chunked"}) {
    const auto response = transport->Send(Get(target), {});
    ASSERT_TRUE(response.ok()) << base::Message(response.status());
    EXPECT_TRUE(response->body == body) << target << response->body.size();
  }
}

TEST_F(TransportTest, AnAnswerBeyondTheBoundIsRefused) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    return connection.Reply(200, std::string(100'000, 'x'));
  });
  CpprestOptions options;
  options.most_body_bytes = 50'000;
  const auto response = Make(Config(server.url()), options)->Send(Get("/"), {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(base::Message(response.status()).find("longer than 50000 bytes"), std::string::npos)
      << base::Message(response.status());
}

TEST_F(TransportTest, AServerThatDoesNotAnswerIsLeftAtTheDeadline) {
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    if (request.target == "/half") {
      connection.WriteHead(200, "Content-Length: 100\r\n");
      connection.Write("half");
    }
    connection.Sleep(seconds(30));
    return false;
  });
  const auto transport = Make(Config(server.url()));
  for (const char* target : {"/silent", "/half"}) {
    const base::Time begun = kClock.Now();
    const auto response = transport->Send(Get(target, milliseconds(300)), {});
    const base::Duration took = kClock.Now() - begun;
    EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded)
        << base::Message(response.status());
    EXPECT_GE(took, milliseconds(300));
    EXPECT_LT(took, seconds(3));
  }
}

TEST_F(TransportTest, AfterADeadlineNoConnectionIsUsedAgain) {
  std::atomic<bool> silent{false};
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    if (silent) return connection.Sleep(seconds(30)) && false;
    return connection.Reply(200, "");
  });
  const auto transport = Make(Config(server.url()));
  // Two kept connections, as an outage would leave them.
  std::vector<std::jthread> both;
  for (int i = 0; i < 2; ++i)
    both.emplace_back([&] { EXPECT_TRUE(transport->Send(Get("/"), {}).ok()); });
  both.clear();
  LetConnectionBeKept();
  silent = true;
  EXPECT_FALSE(transport->Send(Get("/", milliseconds(200)), {}).ok());
  silent = false;
  const int before = server.connections();
  EXPECT_TRUE(transport->Send(Get("/"), {}).ok());
  EXPECT_EQ(server.connections(), before + 1);
}

TEST_F(TransportTest, AStopEndsAnExchangeAtOnce) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    return connection.Sleep(seconds(30)) && false;
  });
  const auto transport = Make(Config(server.url()));
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(100));
    stop.request_stop();
  });
  const base::Time begun = kClock.Now();
  const auto response = transport->Send(Get("/"), stop.get_token());
  EXPECT_EQ(response.status().code(), absl::StatusCode::kCancelled);
  EXPECT_LT(kClock.Now() - begun, seconds(3));
  EXPECT_EQ(transport->Send(Get("/"), stop.get_token()).status().code(),
            absl::StatusCode::kCancelled)
      << "and one that was stopped before it began";
}

TEST_F(TransportTest, ARefusedConnectionIsUnavailable) {
  int port = 0;
  {
    port = WireServer([](const WireRequest&, WireConnection&) { return false; }).port();
  }
  const auto transport = Make(Config("http://127.0.0.1:" + std::to_string(port)));
  const auto response = transport->Send(Get("/"), {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(
      base::Message(response.status()).find("no answer from the API server at http://127.0.0.1"),
      std::string::npos)
      << base::Message(response.status());
  EXPECT_EQ(transport->Stream(Get("/"), [](std::string_view) { return true; }, {}).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(TransportTest, AnAnswerThatBreaksOffIsUnavailable) {
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    if (request.target == "/mute") return false;
    connection.WriteHead(200, "Content-Length: 100\r\n");
    connection.Write("half");
    return false;
  });
  const auto transport = Make(Config(server.url()));
  for (const char* target : {"/mute", "/half"}) {
    EXPECT_EQ(transport->Send(Get(target), {}).status().code(), absl::StatusCode::kUnavailable);
  }
}

TEST_F(TransportTest, NoMoreRequestsThanPermitsAreInFlight) {
  std::atomic<int> now{0};
  std::atomic<int> most{0};
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    const int busy = ++now;
    int seen = most;
    while (busy > seen && !most.compare_exchange_weak(seen, busy)) {
    }
    connection.Sleep(milliseconds(30));
    --now;
    return connection.Reply(200, "");
  });
  CpprestOptions options;
  options.most_in_flight = 3;
  const auto transport = Make(Config(server.url()), options);
  std::vector<std::jthread> callers;
  std::atomic<int> good{0};
  for (int i = 0; i < 12; ++i) {
    callers.emplace_back([&] { good += transport->Send(Get("/"), {}).ok() ? 1 : 0; });
  }
  callers.clear();
  EXPECT_EQ(good, 12);
  EXPECT_EQ(most, 3);
}

TEST_F(TransportTest, WaitingForAPermitEndsAtTheDeadlineAndAtAStop) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    return connection.Sleep(seconds(30)) && false;
  });
  CpprestOptions options;
  options.most_in_flight = 1;
  const auto transport = Make(Config(server.url()), options);
  std::stop_source stop;
  std::jthread holder([&] { (void)transport->Send(Get("/"), stop.get_token()); });
  while (server.open() == 0) std::this_thread::sleep_for(milliseconds(1));
  const auto late = transport->Send(Get("/", milliseconds(100)), {});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(base::Message(late.status()).find("in flight"), std::string::npos);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(milliseconds(50));
    stop.request_stop();
  });
  EXPECT_EQ(transport->Send(Get("/"), stop.get_token()).status().code(),
            absl::StatusCode::kCancelled);
  holder.join();
  // The permit of the stopped one came back.
  EXPECT_NE(base::Message(transport->Send(Get("/", milliseconds(100)), {}).status())
                .find("does not answer"),
            std::string::npos);
}

// ---- metrics

TEST_F(TransportTest, CountsRequestsByMethodAndCode) {
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    if (request.target == "/gone") return false;
    return connection.Reply(request.target == "/404" ? 404 : 200, "");
  });
  runtime::Metrics metrics;
  CpprestOptions options;
  options.metrics = &metrics;
  const auto transport = Make(Config(server.url()), options);
  (void)transport->Send(Get("/"), {});
  (void)transport->Send(Get("/"), {});
  (void)transport->Send(Get("/404"), {});
  (void)transport->Send(Get("/gone"), {});
  const std::string text = metrics.Text();
  for (const char* line : {"rest_client_requests_total{code=\"200\",method=\"GET\"} 2\n",
                           "rest_client_requests_total{code=\"404\",method=\"GET\"} 1\n",
                           "rest_client_requests_total{code=\"<error>\",method=\"GET\"} 1\n",
                           "rest_client_request_duration_seconds_count{method=\"GET\"} 4\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

// ---- configuration

TEST_F(TransportTest, AServerThatIsNoUrlIsRefusedByItsName) {
  for (const char* server :
       {"", "10.0.0.1:6443", "ftp://x", "https://", "https://a b", "https://[::1]:6443"}) {
    const auto transport = MakeCpprestTransport(Config(server));
    ASSERT_FALSE(transport.ok()) << server;
    EXPECT_NE(base::Message(transport.status()).find("server '" + std::string(server) + "'"),
              std::string::npos);
  }
}

TEST_F(TransportTest, ATokenIsNotSentInTheClear) {
  EXPECT_FALSE(MakeCpprestTransport(Config("http://10.0.0.1:80", {"", "", "", "secret"})).ok());
  EXPECT_TRUE(MakeCpprestTransport(Config("http://10.0.0.1:80")).ok());
}

}  // namespace
}  // namespace muster::kube
