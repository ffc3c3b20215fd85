// Streams of lines over real sockets: however they are cut, held up, silent, stopped or broken.
#include <gtest/gtest.h>

#include <thread>

#include "operator/runtime/bounded_queue.h"
#include "tests/operator/kube/transport_fixture.h"

namespace muster::kube {
namespace {

TEST_F(TransportTest, LinesComeWholeHoweverTheyAreCut) {
  const std::string text = "{\"type\":\"ADDED\"}\n{\"type\":\"MODIFIED\",\"x\":\"yz\"}\n\nlast";
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    const std::size_t size = std::stoul(request.target.substr(1));
    connection.WriteHead(200, kChunked);
    for (std::size_t at = 0; at < text.size(); at += size) {
      connection.WriteChunk(text.substr(at, size));
    }
    return connection.WriteChunk("");
  });
  const auto transport = Make(Config(server.url()));
  for (const int size : {1, 3, 7, 17, 18, 1000}) {
    Lines lines;
    const auto response = transport->Stream(Get("/" + std::to_string(size)), Into(lines), {});
    ASSERT_TRUE(response.ok()) << base::Message(response.status());
    EXPECT_EQ(response->code, 200);
    EXPECT_EQ(lines,
              (Lines{"{\"type\":\"ADDED\"}", "{\"type\":\"MODIFIED\",\"x\":\"yz\"}", "last"}))
        << size;
  }
}

TEST_F(TransportTest, ALineReachesItsCallerBeforeTheNextIsWritten) {
  runtime::BoundedQueue<bool> go(1, runtime::WhenFull::kBlock);
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    for (int i = 0; i < 5; ++i) {
      connection.WriteChunk("line " + std::to_string(i) + "\n");
      if (!go.PopUntil(kClock.Now() + seconds(10))) return false;
    }
    return connection.WriteChunk("");
  });
  Lines lines;
  const auto response = Make(Config(server.url()))
                            ->Stream(Get("/"),
                                     [&](std::string_view line) {
                                       lines.emplace_back(line);
                                       go.Push(true);
                                       return true;
                                     },
                                     {});
  EXPECT_TRUE(response.ok()) << base::Message(response.status());
  EXPECT_EQ(lines.size(), 5u);
}

TEST_F(TransportTest, AnObjectOfOneAndAHalfMegabytesFitsInALine) {
  const std::string line(1'500'000, 'x');
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    connection.WriteChunk(line + "\n" + line + "\n");
    return connection.WriteChunk("");
  });
  Lines lines;
  ASSERT_TRUE(Make(Config(server.url()))->Stream(Get("/"), Into(lines), {}).ok());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[0] == line && lines[1] == line);
}

TEST_F(TransportTest, ALineBeyondTheBoundEndsTheStream) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    while (connection.WriteChunk(std::string(1000, 'x'))) {
    }
    return false;
  });
  CpprestOptions options;
  options.most_line_bytes = 100'000;
  Lines lines;
  const auto response = Make(Config(server.url()), options)->Stream(Get("/"), Into(lines), {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(lines.empty());
}

TEST_F(TransportTest, ASilentStreamIsDeadAfterItsIdleTimeoutAndNotBefore) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    for (int i = 0; i < 5; ++i) {
      connection.WriteChunk("beat\n");
      if (!connection.Sleep(milliseconds(150))) return false;
    }
    return connection.Sleep(seconds(30)) && false;
  });
  HttpRequest request = Get("/", milliseconds(1500));
  request.idle_timeout = milliseconds(600);
  Lines lines;
  const base::Time begun = kClock.Now();
  const auto response = Make(Config(server.url()))->Stream(request, Into(lines), {});
  const base::Duration took = kClock.Now() - begun;
  EXPECT_EQ(response.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(base::Message(response.status()).find("has fallen silent"), std::string::npos);
  EXPECT_EQ(lines.size(), 5u);
  EXPECT_GE(took, milliseconds(4 * 150 + 600));
  EXPECT_LT(took, seconds(6));
}

TEST_F(TransportTest, AStopEndsAStreamAndItsConnection) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    connection.WriteChunk("first\n");
    return connection.Sleep(seconds(30)) && false;
  });
  const auto transport = Make(Config(server.url()));
  for (int round = 0; round < 20; ++round) {
    std::stop_source stop;
    const auto response = transport->Stream(
        Get("/"),
        [&](std::string_view) {
          // From another thread, while the stream waits for its next line.
          std::thread([stop]() mutable { stop.request_stop(); }).join();
          return true;
        },
        stop.get_token());
    EXPECT_EQ(response.status().code(), absl::StatusCode::kCancelled);
  }
  const base::Time until = kClock.Now() + seconds(10);
  while (server.open() > 0 && kClock.Now() < until) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_EQ(server.open(), 0);
}

TEST_F(TransportTest, ACallerThatHasEnoughEndsTheStreamWell) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    while (connection.WriteChunk("line\n")) {
    }
    return false;
  });
  int count = 0;
  const auto response = Make(Config(server.url()))
                            ->Stream(Get("/"), [&](std::string_view) { return ++count < 10; }, {});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->code, 200);
  EXPECT_EQ(count, 10);
}

TEST_F(TransportTest, ASlowCallerHoldsTheServerBackAndLosesNothing) {
  std::atomic<std::size_t> written{0};
  const std::string line(9'999, 'y');
  constexpr int kLineCount = 3000;  // 30 MB
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    for (int i = 0; i < kLineCount; ++i) {
      if (!connection.WriteChunk(line + "\n")) return false;
      written += line.size();
    }
    return connection.WriteChunk("");
  });
  int count = 0;
  std::size_t held = 0;
  HttpRequest request = Get("/");
  const auto response = Make(Config(server.url()))
                            ->Stream(request,
                                     [&](std::string_view got) {
                                       EXPECT_EQ(got.size(), line.size());
                                       if (++count == 1) {
                                         std::this_thread::sleep_for(milliseconds(700));
                                         held = written;
                                       }
                                       return true;
                                     },
                                     {});
  EXPECT_TRUE(response.ok()) << base::Message(response.status());
  EXPECT_EQ(count, kLineCount);
  // What lay in our buffer and in both kernels' sockets; without a pause it would be all of it.
  EXPECT_LT(held, 16'000'000u);
}

TEST_F(TransportTest, ARefusedStreamGivesItsWholeAnswer) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    return connection.Reply(410, "{\"kind\":\"Status\"}\nmore", "Retry-After: 2\r\n");
  });
  Lines lines;
  const auto response = Make(Config(server.url()))->Stream(Get("/"), Into(lines), {});
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->code, 410);
  EXPECT_EQ(response->body, "{\"kind\":\"Status\"}\nmore");
  EXPECT_EQ(response->retry_after, seconds(2));
  EXPECT_TRUE(lines.empty());
}

TEST_F(TransportTest, AStreamThatBreaksOffIsUnavailable) {
  WireServer server([&](const WireRequest&, WireConnection& connection) {
    connection.WriteHead(200, kChunked);
    connection.WriteChunk("first\nhalf of");
    return false;
  });
  Lines lines;
  const auto response = Make(Config(server.url()))->Stream(Get("/"), Into(lines), {});
  EXPECT_EQ(response.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(lines, Lines{"first"});
}

TEST_F(TransportTest, StreamsDoNotTakeTheRequestsPermits) {
  WireServer server([&](const WireRequest& request, WireConnection& connection) {
    if (request.target == "/get") return connection.Reply(200, "");
    connection.WriteHead(200, kChunked);
    connection.WriteChunk("open\n");
    return connection.Sleep(seconds(30)) && false;
  });
  CpprestOptions options;
  options.most_in_flight = 1;
  const auto transport = Make(Config(server.url()), options);
  std::stop_source stop;
  std::atomic<int> open{0};
  std::vector<std::jthread> watchers;
  for (int i = 0; i < 10; ++i) {
    watchers.emplace_back([&] {
      (void)transport->Stream(
          Get("/watch"),
          [&](std::string_view) {
            ++open;
            return true;
          },
          stop.get_token());
    });
  }
  while (open < 10) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(transport->Send(Get("/get"), {}).ok());
  stop.request_stop();
}

}  // namespace
}  // namespace muster::kube
