// NCCL's environment under elasticity: what is forced, what is only a default, what is cleared.
#include "worker/nccl/environment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

namespace muster::nccl {
namespace {

using Environment = std::map<std::string, std::string>;

Environment After(Environment environment) {
  const auto changes = MakeChanges([&](const std::string& name) -> std::optional<std::string> {
    const auto it = environment.find(name);
    if (it == environment.end()) return std::nullopt;
    return it->second;
  });
  for (const Change& c : changes) {
    EXPECT_FALSE(c.reason.empty()) << c.name;
    c.value ? void(environment[c.name] = *c.value) : void(environment.erase(c.name));
  }
  return environment;
}

const Environment kElastic{{"NCCL_NVLS_ENABLE", "0"},
                           {"NCCL_COLLNET_ENABLE", "0"},
                           {"NCCL_RAS_ENABLE", "0"},
                           {"NCCL_GIN_ENABLE", "0"},
                           {"NCCL_RUNTIME_CONNECT", "0"},
                           {"NCCL_SOCKET_RETRY_CNT", "8"},
                           {"NCCL_SOCKET_RETRY_SLEEP_MSEC", "25"}};

TEST(EnvironmentTest, SetsAllAndNothingElse) {
  EXPECT_EQ(After({}), kElastic);
  EXPECT_EQ(After(kElastic), kElastic);
}

TEST(EnvironmentTest, ForcesAndClearsButLeavesDefaultsAlone) {
  Environment set = kElastic;
  set["NCCL_COMM_BLOCKING"] = "1";
  set["NCCL_COMM_ID"] = "10.0.0.1:1";
  set["NCCL_NVLS_ENABLE"] = "1";
  set["NCCL_SOCKET_RETRY_CNT"] = "34";
  set["NCCL_DEBUG"] = "INFO";
  Environment want = kElastic;
  want["NCCL_SOCKET_RETRY_CNT"] = "34";
  want["NCCL_DEBUG"] = "INFO";
  EXPECT_EQ(After(set), want);
}

TEST(EnvironmentTest, AppliesToThisProcess) {
  ApplyToProcess({{"MUSTER_TEST_VARIABLE", "a", ""}});
  EXPECT_EQ(ProcessEnvironment("MUSTER_TEST_VARIABLE"), "a");
  ApplyToProcess({{"MUSTER_TEST_VARIABLE", std::nullopt, ""}});
  EXPECT_EQ(ProcessEnvironment("MUSTER_TEST_VARIABLE"), std::nullopt);
}

TEST(EnvironmentTest, ProcessesThatShareAGpuAreHostsOfTheirOwn) {
  const Environment set = {{"NCCL_BUFFSIZE", "4194304"}};
  const Getenv get = [&](const std::string& name) -> std::optional<std::string> {
    const auto it = set.find(name);
    return it == set.end() ? std::nullopt : std::optional(it->second);
  };
  std::map<std::string, std::string> one, other;
  for (const Change& c : MakeSharedGpuChanges(get, 17)) one[c.name] = c.value.value();
  for (const Change& c : MakeSharedGpuChanges(get, 18)) other[c.name] = c.value.value();
  EXPECT_EQ(one.size(), SharedGpuSettings().size() - 1);
  EXPECT_FALSE(one.contains("NCCL_BUFFSIZE")) << "what somebody has set stays";
  EXPECT_EQ(one["NCCL_HOSTID"], "muster-17");
  EXPECT_EQ(other["NCCL_HOSTID"], "muster-18");
  EXPECT_EQ(one["NCCL_P2P_DISABLE"], "1");
  one.erase("NCCL_HOSTID");
  other.erase("NCCL_HOSTID");
  EXPECT_EQ(one, other);
}

// The page's table is written by hand: each setting, with its reason, is a row of it.
TEST(EnvironmentTest, TheDocumentHasTheTable) {
  std::ifstream file(std::string(MUSTER_SOURCE_DIR) + "/docs/nccl.md");
  std::stringstream text;
  text << file.rdbuf();
  std::vector<Setting> all(ElasticSettings().begin(), ElasticSettings().end());
  all.insert(all.end(), SharedGpuSettings().begin(), SharedGpuSettings().end());
  for (const Setting& s : all) {
    const std::string value = s.value == nullptr ? "cleared" : "`" + std::string(s.value) + "`";
    const std::string rule = s.rule == Rule::kDefault ? "if unset" : "always";
    const std::string row =
        "| `" + std::string(s.name) + "` | " + value + " | " + rule + " | " + s.reason + " |";
    EXPECT_NE(text.str().find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace muster::nccl
