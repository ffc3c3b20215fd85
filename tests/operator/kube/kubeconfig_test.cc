// Kubeconfig files as trees: merged, chosen from, and refused by name.
#include "operator/kube/kubeconfig.h"

#include <gtest/gtest.h>

#include "operator/api/json_node.h"
#include "operator/kube/kubeconfig_fields.h"

namespace muster::kube {
namespace {

api::Node Tree(std::string text) {
  std::replace(text.begin(), text.end(), '\'', '"');
  const auto node = api::NodeFromJson(text);
  EXPECT_TRUE(node.ok()) << text;
  return node.value_or(api::Node());
}

// One context `c` of cluster `k` and user `u`, whose fields are given.
std::string Simple(const std::string& cluster, const std::string& user) {
  return "{'apiVersion':'v1','kind':'Config','current-context':'c','contexts':[{'name':'c',"
         "'context':{'cluster':'k','user':'u','namespace':'ns'}}],'clusters':[{'name':'k',"
         "'cluster':" +
         cluster + "}],'users':[{'name':'u','user':" + user + "}]}";
}

absl::StatusOr<KubeconfigChoice> Choose(const std::vector<KubeconfigFile>& files,
                                        const KubeconfigOverrides& overrides = {}) {
  MUSTER_ASSIGN_OR_RETURN(const Kubeconfig config, MergeKubeconfigs(files));
  return ChooseContext(config, overrides);
}

TEST(KubeconfigTest, ReadsAContextWhole) {
  const auto choice = Choose(
      {{"/home/jane/.kube/config",
        Tree(Simple("{'server':'https://a:6443','certificate-authority':'ca.crt',"
                    "'tls-server-name':'api'}",
                    "{'client-certificate-data':'Y2VydA==','client-key-data':'a2V5','token':'t',"
                    "'tokenFile':'/run/token'}"))}});
  ASSERT_TRUE(choice.ok()) << base::Message(choice.status());
  EXPECT_EQ(choice->context, "c");
  EXPECT_EQ(choice->ns, "ns");
  ClusterEntry cluster;
  cluster.server = "https://a:6443";
  cluster.ca_file = "/home/jane/.kube/ca.crt";
  cluster.tls_server_name = "api";
  EXPECT_EQ(choice->cluster, cluster);
  UserEntry user;
  user.certificate_pem = "cert";
  user.key_pem = "key";
  user.token = "t";
  user.token_file = "/run/token";
  EXPECT_EQ(choice->user, user);
}

TEST(KubeconfigTest, DataGoesBeforeFiles) {
  const auto choice = Choose(
      {{"/d/config", Tree(Simple("{'server':'s','certificate-authority':'x',"
                                 "'certificate-authority-data':'Y2E='}",
                                 "{'client-certificate':'c.crt','client-key':'c.key',"
                                 "'client-certificate-data':'Yw==','client-key-data':'aw=='}"))}});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->cluster.ca_pem, "ca");
  EXPECT_EQ(choice->cluster.ca_file, "");
  EXPECT_EQ(choice->user.certificate_pem + choice->user.key_pem, "ck");
  EXPECT_EQ(choice->user.certificate_file + choice->user.key_file, "");
}

TEST(KubeconfigTest, TheFirstFileThatSaysItStandsAndPathsAreItsOwn) {
  const std::string first =
      "{'clusters':[{'name':'k','cluster':{'server':'first','certificate-authority':'ca'}}],"
      "'contexts':[{'name':'only-first','context':{'cluster':'k','user':'u'}}]}";
  const std::string second =
      "{'current-context':'both','clusters':[{'name':'k','cluster':{'server':'second'}}],"
      "'users':[{'name':'u','user':{'tokenFile':'token'}}],"
      "'contexts':[{'name':'both','context':{'cluster':'k','user':'u','namespace':'n2'}}]}";
  const std::vector<KubeconfigFile> files = {
      {"/a/one", Tree(first)}, {"/e/empty", api::Node()}, {"/b/two", Tree(second)}};
  const auto choice = Choose(files);
  ASSERT_TRUE(choice.ok()) << base::Message(choice.status());
  EXPECT_EQ(choice->context, "both");
  EXPECT_EQ(choice->cluster.server, "first");
  EXPECT_EQ(choice->cluster.ca_file, "/a/ca");
  EXPECT_EQ(choice->user.token_file, "/b/token");
  const auto other = Choose(files, {"only-first", "", "", ""});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->ns, "default");
}

TEST(KubeconfigTest, OverridesGoBeforeTheContext) {
  const std::string text =
      "{'current-context':'c','contexts':[{'name':'c','context':{'cluster':'k','user':'u',"
      "'namespace':'n'}}],'clusters':[{'name':'k','cluster':{'server':'s'}},{'name':'k2','cluster':"
      "{'server':'s2'}}],'users':[{'name':'u','user':{'token':'t'}},{'name':'u2','user':{'token':"
      "'t2'}}]}";
  const auto choice = Choose({{"f", Tree(text)}}, {"", "k2", "u2", "n2"});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->cluster.server, "s2");
  EXPECT_EQ(choice->user.token, "t2");
  EXPECT_EQ(choice->ns, "n2");
}

TEST(KubeconfigTest, ReadsAProgramForCredentials) {
  const auto choice = Choose(
      {{"/d/config",
        Tree(Simple("{'server':'s'}",
                    "{'exec':{'apiVersion':'client.authentication.k8s.io/v1','command':'./login',"
                    "'args':['get','token'],'env':[{'name':'A','value':'b'}],'installHint':'hint',"
                    "'interactiveMode':'IfAvailable','provideClusterInfo':true}}"))}});
  ASSERT_TRUE(choice.ok()) << base::Message(choice.status());
  ExecEntry exec;
  exec.api_version = "client.authentication.k8s.io/v1";
  exec.command = "/d/./login";
  exec.args = {"get", "token"};
  exec.env = {{"A", "b"}};
  exec.install_hint = "hint";
  exec.interactive_mode = "IfAvailable";
  exec.provide_cluster_info = true;
  EXPECT_EQ(choice->user.exec, exec);
}

TEST(KubeconfigTest, AProgramWithoutASlashIsLookedUpInPath) {
  const auto choice = Choose(
      {{"/d/config", Tree(Simple("{'server':'s'}",
                                 "{'exec':{'apiVersion':'client.authentication.k8s.io/v1beta1',"
                                 "'command':'aws'}}"))}});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->user.exec.command, "aws");
}

TEST(KubeconfigTest, ABrokenEntryNobodyAsksForHarmsNobody) {
  std::string text = Simple("{'server':'s'}", "{'token':'t'}");
  text.replace(text.find("'users':["), 9, "'users':[{'name':'odd','user':{'as':'root'}},");
  EXPECT_TRUE(Choose({{"f", Tree(text)}}).ok());
  EXPECT_FALSE(Choose({{"f", Tree(text)}}, {"", "", "odd", ""}).ok());
}

TEST(KubeconfigTest, AUserWithoutFieldsIsNobody) {
  for (const char* user : {"{}", "null"}) {
    const auto choice = Choose({{"f", Tree(Simple("{'server':'s'}", user))}});
    ASSERT_TRUE(choice.ok()) << user;
    EXPECT_EQ(choice->user, UserEntry());
  }
}

TEST(KubeconfigTest, RefusalsNameTheEntryAndTheField) {
  const std::string good = "{'server':'s'}";
  const std::string exec = "'apiVersion':'client.authentication.k8s.io/v1'";
  const struct {
    std::string text;
    std::string named;
  } rows[] = {
      {"[]", "f is not a kubeconfig"},
      {"{'clusters':{}}", "f: clusters is not a list"},
      {"{'users':[{'user':{}}]}", "f: users: an entry has no name"},
      {"{}", "no current-context"},
      {"{'current-context':'x','contexts':[{'name':'y','context':{}}]}",
       "current-context names the context 'x', which the kubeconfig does not have; there are y"},
      {"{'current-context':'x','contexts':[{'name':'x','context':{'cluster':'k'}}]}",
       "context 'x' names the cluster 'k', which the kubeconfig does not have; there is none"},
      {"{'current-context':'x','contexts':[{'name':'x'}]}", "context 'x' is not a map"},
      {Simple("{}", "{}"), "cluster 'k': server is not set"},
      {Simple("{'server':[]}", "{}"), "cluster 'k': server is not a text"},
      {Simple("{'server':'s','proxy-url':'http://p'}", "{}"),
       "cluster 'k': proxy-url is not supported"},
      {Simple("{'server':'s','certificate-authority-data':'%%'}", "{}"),
       "cluster 'k': certificate-authority-data is not base64"},
      {Simple("{'server':'s','insecure-skip-tls-verify':'maybe'}", "{}"),
       "cluster 'k': insecure-skip-tls-verify is 'maybe'"},
      {Simple("{'server':'s','insecure-skip-tls-verify':true,'certificate-authority':'x'}", "{}"),
       "cluster 'k': insecure-skip-tls-verify is true beside"},
      {Simple(good, "{'auth-provider':{'name':'gcp'}}"),
       "user 'u': auth-provider is not supported"},
      {Simple(good, "{'username':'a','password':'b'}"), "user 'u': username is not supported"},
      {Simple(good, "{'as':'root'}"), "user 'u': as is not supported"},
      {Simple(good, "{'client-certificate':'x'}"), "user 'u': client-key is not set"},
      {Simple(good, "{'client-key':'x'}"), "user 'u': client-certificate is not set"},
      {Simple(good, "{'client-key-data':'x'}"), "user 'u': client-key-data is not base64"},
      {Simple(good, "{'exec':[]}"), "user 'u': exec is not a map"},
      {Simple(good,
              "{'exec':{'command':'x','apiVersion':'client.authentication.k8s.io/v1alpha1'}}"),
       "user 'u': exec: apiVersion is 'client.authentication.k8s.io/v1alpha1'; allowed are"},
      {Simple(good, "{'exec':{" + exec + "}}"), "user 'u': exec: command is not set"},
      {Simple(good, "{'exec':{" + exec + ",'command':'x','args':'y'}}"),
       "exec: args is not a list"},
      {Simple(good, "{'exec':{" + exec + ",'command':'x','args':[[]]}}"), "exec: args holds"},
      {Simple(good, "{'exec':{" + exec + ",'command':'x','env':[{'name':'A'}]}}"),
       "exec: env holds"},
      {Simple(good, "{'exec':{" + exec + ",'command':'x','interactiveMode':'Always'}}"),
       "user 'u': exec: interactiveMode is Always"},
  };
  for (const auto& row : rows) {
    const auto choice = Choose({{"f", Tree(row.text)}});
    ASSERT_FALSE(choice.ok()) << row.text;
    EXPECT_NE(base::Message(choice.status()).find(row.named), std::string::npos)
        << row.text << "\n  " << base::Message(choice.status());
  }
  const auto missing = Choose({{"f", Tree(Simple(good, "{}"))}}, {"", "", "v", ""});
  EXPECT_EQ(base::Message(missing.status()).substr(0, 25), "--user names the user 'v'");
}

TEST(KubeconfigTest, NoErrorShowsASecret) {
  const auto choice = Choose({{"f", Tree(Simple("{'server':'s'}", "{'token':['hush']}"))}});
  ASSERT_FALSE(choice.ok());
  EXPECT_EQ(base::Message(choice.status()).find("hush"), std::string::npos);
}

TEST(KubeconfigPathsTest, TheVariablesPathsElseTheHome) {
  using Paths = std::vector<std::string>;
  EXPECT_EQ(KubeconfigPaths("", "/home/j"), Paths{"/home/j/.kube/config"});
  EXPECT_EQ(KubeconfigPaths("/a:/b::/a", "/home/j"), (Paths{"/a", "/b"}));
  EXPECT_EQ(KubeconfigPaths(":", ""), Paths{});
}

TEST(Base64Test, DecodesWhatItEncodes) {
  for (std::size_t size = 0; size < 70; ++size) {
    std::string bytes;
    for (std::size_t i = 0; i < size; ++i) bytes += static_cast<char>(i * 37);
    EXPECT_EQ(*DecodeBase64(EncodeBase64(bytes)), bytes) << size;
  }
  EXPECT_EQ(*DecodeBase64("YWJj\nZGVm\n"), "abcdef");
  for (const char* bad : {"a", "ab", "abc", "a===", "ab!d", "===="}) {
    EXPECT_FALSE(DecodeBase64(bad).ok() && *DecodeBase64(bad) != "") << bad;
  }
}

}  // namespace
}  // namespace muster::kube
