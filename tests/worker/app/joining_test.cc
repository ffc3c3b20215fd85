// A whole worker joins over TLS: what its files say is what the coordinator gets.
#include <signal.h>

#include <future>

#include "gtest/gtest.h"
#include "operator/runtime/signals.h"
#include "tests/worker/rpc/gate_ends.h"
#include "worker/app/worker.h"

namespace muster::app {
namespace {

TEST(JoiningTest, TokenOfTheFileAndThenACertificate) {
  auto signals = runtime::Signals::Create({SIGTERM});
  ASSERT_TRUE(signals.ok());
  const auto authority = rpc::MakeTestAuthority();
  rpc::TestGate gate(rpc::MakeTestKeys(authority));
  gate.welcomes = false;
  const ScratchFolder folder;
  WorkerOptions options;
  options.job_uid = rpc::kJob;
  options.member = {3, 2};
  options.token_file = folder.Write("token", "another token\n");
  options.ca_file = folder.Write("ca.crt", authority.certificate_pem);
  options.coordinators = {"localhost:" + std::to_string(gate->port())};
  gate.Change([&] {
    gate.verdict = [&](const std::string& token, base::MemberId) -> std::optional<absl::Status> {
      // Nobody could tell, so it comes again; by then the kubelet has replaced the token.
      if (token != "the next token") {
        folder.Write("token", "the next token\n");
        return base::Unavailable("the API server is away");
      }
      return absl::OkStatus();
    };
  });
  const runtime::Logger log({.level = runtime::LogLevel::kError});
  Worker worker(options, {}, log, **signals);
  auto exit_code = std::async(std::launch::async, [&] { return worker.Run(); });
  EXPECT_TRUE(gate.Await([&] { return gate->counts().signed_certificates == 1; }));
  rpc::StreamId stream = 0;
  gate.With([&] {
    ASSERT_EQ(gate.reviews.size(), 2u);
    EXPECT_EQ(gate.reviews[0], "another token for 3.2 of " + std::string(rpc::kJob));
    EXPECT_EQ(gate.reviews[1], "the next token for 3.2 of " + std::string(rpc::kJob));
    ASSERT_EQ(gate.Hellos().size(), 1u);
    EXPECT_EQ(gate.Hellos().front().token, "reviewed");
    stream = gate.delivered.front().stream;
  });
  gate->Send(stream, {{}, api::Refused{"enough seen"}});
  EXPECT_EQ(exit_code.get(), static_cast<int>(api::ExitCode::kRefused));
}

}  // namespace
}  // namespace muster::app
