// Which cluster a command is about: the kubeconfig that is named, those of the environment, the pod.
#include "operator/cli/cluster_access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace muster::cli {
namespace {

using testing::HasSubstr;

std::string Config(const std::string& server) {
  return "apiVersion: v1\nkind: Config\ncurrent-context: main\n"
         "contexts:\n"
         "- {name: main, context: {cluster: c, user: u, namespace: team}}\n"
         "- {name: other, context: {cluster: c, user: u}}\n"
         "clusters:\n- {name: c, cluster: {server: \"" +
         server + "\", insecure-skip-tls-verify: true}}\nusers:\n- {name: u, user: {token: t}}\n";
}

class ClusterAccessTest : public testing::Test {
 protected:
  absl::StatusOr<kube::ClusterConfig> Find(const ClusterFlags& flags = {}) {
    return FindCluster(
        flags,
        [this](const char* name) -> const char* {
          const auto at = variables_.find(name);
          return at == variables_.end() ? nullptr : at->second.c_str();
        },
        [this](const std::string& path) -> absl::StatusOr<std::string> {
          const auto at = files_.find(path);
          if (at == files_.end()) return base::NotFound("cannot read " + path);
          return at->second;
        },
        clock_);
  }
  std::map<std::string, std::string> variables_ = {{"HOME", "/home/me"}};
  std::map<std::string, std::string> files_;
  const runtime::RealClock clock_;
};

TEST_F(ClusterAccessTest, TheFileThatIsNamedComesFirstThenTheVariableThenTheHome) {
  files_["/home/me/.kube/config"] = Config("https://home");
  EXPECT_EQ(Find()->server, "https://home");
  EXPECT_EQ(Find()->ns, "team");
  variables_["KUBECONFIG"] = "/missing:/variable";
  files_["/variable"] = Config("https://variable");
  EXPECT_EQ(Find()->server, "https://variable");
  files_["/named"] = Config("https://named");
  EXPECT_EQ(Find({"/named", "", ""})->server, "https://named");
}

TEST_F(ClusterAccessTest, ContextAndNamespaceCanBeChosen) {
  files_["/home/me/.kube/config"] = Config("https://home");
  EXPECT_EQ(Find({"", "other", ""})->ns, "default");
  EXPECT_EQ(Find({"", "", "mine"})->ns, "mine");
  EXPECT_THAT(base::Message(Find({"", "none", ""}).status()), HasSubstr("none"));
}

TEST_F(ClusterAccessTest, WhatIsMissingIsSaidByName) {
  EXPECT_THAT(base::Message(Find().status()), HasSubstr("/home/me/.kube/config"));
  EXPECT_THAT(base::Message(Find({"/named", "", ""}).status()), HasSubstr("/named"));
  files_["/named"] = "clusters: [";
  EXPECT_THAT(base::Message(Find({"/named", "", ""}).status()), HasSubstr("/named:1"));
}

}  // namespace
}  // namespace muster::cli
