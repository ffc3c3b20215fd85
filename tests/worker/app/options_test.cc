#include "worker/app/options.h"

#include <gtest/gtest.h>

#include <map>

#include "worker/app/test_hooks.h"

namespace muster::app {
namespace {

using Environment = std::map<std::string, std::string>;

absl::StatusOr<WorkerOptions> Read(const Environment& env) {
  return ReadWorkerOptions([&](const char* name) -> const char* {
    const auto found = env.find(name);
    return found == env.end() ? nullptr : found->second.c_str();
  });
}

const Environment kGood = {{"MUSTER_JOB_UID", "u"},
                           {"MUSTER_MEMBER", "3.2"},
                           {"MUSTER_TOKEN", "t"},
                           {"MUSTER_COORDINATOR", "127.0.0.1:1,127.0.0.2:2"}};

TEST(WorkerOptionsTest, ReadsTheEnvironment) {
  auto options = Read(kGood);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->member, (base::MemberId{3, 2}));
  EXPECT_EQ(options->coordinators, (std::vector<std::string>{"127.0.0.1:1", "127.0.0.2:2"}));
  EXPECT_EQ(options->metrics_port, -1);
  EXPECT_EQ(options->threads, 1);
  EXPECT_TRUE(options->cuda_graphs);
  Environment env = kGood;
  env["MUSTER_CUDA_GRAPHS"] = "0";
  options = Read(env);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_FALSE(options->cuda_graphs);
}

TEST(WorkerOptionsTest, EveryErrorNamesTheVariable) {
  for (const auto& [name, value] : Environment{{"MUSTER_JOB_UID", ""},
                                               {"MUSTER_MEMBER", "3"},
                                               {"MUSTER_TOKEN", ""},
                                               {"MUSTER_TOKEN_FILE", "/token"},
                                               {"MUSTER_COORDINATOR", ","},
                                               {"MUSTER_METRICS_PORT", "70000"},
                                               {"MUSTER_THREADS", "0"},
                                               {"MUSTER_CUDA_GRAPHS", "yes"}}) {
    Environment env = kGood;
    env[name] = value;
    const auto options = Read(env);
    ASSERT_FALSE(options.ok()) << name;
    EXPECT_NE(base::Message(options.status()).find(name), std::string::npos) << options.status();
  }
}

TEST(WorkerOptionsTest, TokenOrItsFileWhichNeedsACaFile) {
  Environment env = kGood;
  env.erase("MUSTER_TOKEN");
  EXPECT_EQ(base::Message(Read(env).status()).find("neither of MUSTER_TOKEN and"), 0u);
  env["MUSTER_TOKEN_FILE"] = "/secrets/token";
  EXPECT_NE(base::Message(Read(env).status())
                .find("MUSTER_TOKEN_FILE='/secrets/token' needs "
                      "MUSTER_CA_FILE"),
            std::string::npos);
  env["MUSTER_CA_FILE"] = "/ca/ca.crt";
  const auto options = Read(env);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->token, "");
  EXPECT_EQ(options->token_file, "/secrets/token");
  EXPECT_EQ(options->ca_file, "/ca/ca.crt");
  env["MUSTER_TOKEN"] = "t";
  EXPECT_EQ(base::Message(Read(env).status()).find("both of MUSTER_TOKEN and"), 0u);
  env.erase("MUSTER_TOKEN_FILE");
  EXPECT_TRUE(Read(env).ok()) << "TLS with a token of its own";
}

TEST(TestHooksTest, ParsesAndRefuses) {
  auto hooks = ParseTestHooks("saturate=7,build-id=abc,family=Haswell,slow-disk=20");
  ASSERT_TRUE(hooks.ok()) << hooks.status();
  EXPECT_EQ(hooks->saturate_once, base::Step(7));
  EXPECT_EQ(hooks->slow_disk, std::chrono::milliseconds(20));
  EXPECT_EQ(hooks->build_id, "abc");
  EXPECT_EQ(hooks->family, "Haswell");
  EXPECT_TRUE(ParseTestHooks("").ok());
  for (const char* bad : {"saturate", "saturate=x", "saturate=0", "nothing=1",
                          "family=", "slow-disk=", "slow-disk=0"}) {
    EXPECT_FALSE(ParseTestHooks(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace muster::app
