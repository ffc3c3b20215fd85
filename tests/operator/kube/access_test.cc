// Where credentials come from: files that are replaced, the pod's own mounts, programs that print them.
#include "operator/kube/access.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "operator/kube/child_output.h"
#include "operator/kube/config.h"
#include "operator/kube/exec_access.h"
#include "operator/runtime/entropy.h"

namespace muster::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() / ("muster-kube-" + runtime::RandomToken(6))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return path_ / name;
  }
  std::string Script(const std::string& name, const std::string& text) const {
    const std::string path = Write(name, "#!/bin/sh\n" + text);
    chmod(path.c_str(), 0755);
    return path;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ / name);
    return std::string((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  }
  std::string path() const { return path_; }

 private:
  const std::filesystem::path path_;
};

TEST(FileAccessTest, ReadsEachFileAgainAfterAWhileAndKeepsTheObjectWhenNothingChanged) {
  const Folder folder;
  runtime::ManualClock clock;
  const std::string token = folder.Write("token", "one\n");
  const auto source = MakeFileAccess({"ca", "", "", ""}, {"", "", "", token}, clock);
  ASSERT_TRUE(source.ok());
  const auto first = *(*source)->Current();
  EXPECT_EQ(*first, (Access{"ca", "", "", "one"}));
  folder.Write("token", "two");
  clock.Advance(kFileRefresh / 2);
  EXPECT_EQ(*(*source)->Current(), first);
  clock.Advance(kFileRefresh);
  const auto second = *(*source)->Current();
  EXPECT_EQ(second->token, "two");
  clock.Advance(kFileRefresh);
  EXPECT_EQ(*(*source)->Current(), second) << "the same object, so that connections are kept";
}

TEST(FileAccessTest, ARefusalReadsAtOnce) {
  const Folder folder;
  runtime::ManualClock clock;
  clock.Advance(seconds(100));
  const std::string token = folder.Write("token", "one");
  const auto source = MakeFileAccess({}, {"", "", "", token}, clock);
  ASSERT_TRUE(source.ok());
  folder.Write("token", "two");
  EXPECT_EQ((*(*source)->Current())->token, "one");
  (*source)->Refused(**(*source)->Current());
  EXPECT_EQ((*(*source)->Current())->token, "two");
}

TEST(FileAccessTest, AFileThatVanishesLeavesWhatWasReadAndAnEmptyOneToo) {
  const Folder folder;
  runtime::ManualClock clock;
  const std::string token = folder.Write("token", "one");
  const auto source = MakeFileAccess({}, {"", "", "", token}, clock);
  ASSERT_TRUE(source.ok());
  folder.Write("token", "");
  clock.Advance(kFileRefresh);
  EXPECT_EQ((*(*source)->Current())->token, "one");
  std::filesystem::remove(token);
  clock.Advance(kFileRefresh);
  EXPECT_EQ((*(*source)->Current())->token, "one");
}

TEST(FileAccessTest, AFirstReadThatFailsNamesThePath) {
  const runtime::ManualClock clock;
  const auto source = MakeFileAccess({}, {"/nonexistent/ca.crt", "", "", ""}, clock);
  ASSERT_FALSE(source.ok());
  EXPECT_NE(base::Message(source.status()).find("/nonexistent/ca.crt"), std::string::npos);
}

TEST(InClusterConfigTest, ReadsThePodsMounts) {
  const Folder folder;
  const runtime::ManualClock clock;
  folder.Write("ca.crt", "CA");
  folder.Write("token", "T");
  folder.Write("namespace", "muster-system");
  const char* host = "10.96.0.1";
  const GetEnv get = [&](const char* name) {
    return std::string(name) == "KUBERNETES_SERVICE_HOST" ? host : "443";
  };
  auto config = InClusterConfig(get, clock, folder.path());
  ASSERT_TRUE(config.ok()) << base::Message(config.status());
  EXPECT_EQ(config->server, "https://10.96.0.1:443");
  EXPECT_EQ(config->ns, "muster-system");
  EXPECT_EQ(**config->access->Current(), (Access{"CA", "", "", "T"}));
  host = "fd00::1";
  EXPECT_EQ(InClusterConfig(get, clock, folder.path())->server,
            "https://kubernetes.default.svc:443");
}

TEST(InClusterConfigTest, OutsideOfAPodItSaysSo) {
  const runtime::ManualClock clock;
  const auto config = InClusterConfig([](const char*) { return nullptr; }, clock, "/nonexistent");
  EXPECT_EQ(config.status().code(), absl::StatusCode::kFailedPrecondition);
  const auto bare = InClusterConfig([](const char*) { return "1"; }, clock, "/nonexistent");
  EXPECT_NE(base::Message(bare.status()).find("service account"), std::string::npos);
}

KubeconfigChoice Choice(UserEntry user) {
  KubeconfigChoice choice;
  choice.context = "c";
  choice.cluster_name = "k";
  choice.user_name = "u";
  choice.ns = "n";
  choice.cluster.server = "https://a";
  choice.cluster.ca_pem = "CA";
  choice.user = std::move(user);
  return choice;
}

TEST(ConfigFromChoiceTest, ATokenFileGoesBeforeTheTokenAndBothBeforeAProgram) {
  const Folder folder;
  const runtime::ManualClock clock;
  UserEntry user;
  user.token = "text";
  user.exec.command = "/nonexistent/program";
  EXPECT_EQ((*ConfigFromChoice(Choice(user), clock)->access->Current())->token, "text");
  user.token_file = folder.Write("token", "file");
  const auto config = ConfigFromChoice(Choice(user), clock);
  EXPECT_EQ(**config->access->Current(), (Access{"CA", "", "", "file"}));
  EXPECT_EQ(config->ns, "n");
  EXPECT_TRUE(config->user_agent.starts_with("muster/"));
}

TEST(ConfigFromChoiceTest, AMissingFileIsNamedWithItsContextAndUser) {
  const runtime::ManualClock clock;
  UserEntry user;
  user.token_file = "/nonexistent/token";
  const auto config = ConfigFromChoice(Choice(user), clock);
  ASSERT_FALSE(config.ok());
  for (const char* named : {"context 'c'", "user 'u'", "/nonexistent/token"}) {
    EXPECT_NE(base::Message(config.status()).find(named), std::string::npos) << named;
  }
}

// ---- programs

constexpr char kV1[] = "client.authentication.k8s.io/v1";

std::string Credential(const std::string& status) {
  return std::string("{\"apiVersion\":\"") + kV1 + "\",\"kind\":\"ExecCredential\",\"status\":{" +
         status + "}}";
}

ExecEntry Exec(const std::string& command) {
  ExecEntry exec;
  exec.api_version = kV1;
  exec.command = command;
  return exec;
}

TEST(ExecCredentialTest, ReadsWhatAProgramPrints) {
  const auto read = ParseExecCredential(
      Credential("\"token\":\"t\",\"clientCertificateData\":\"C\",\"clientKeyData\":\"K\","
                 "\"expirationTimestamp\":\"1970-01-01T00:01:40Z\""),
      Exec("p"), "u");
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, (ExecCredential{"t", "C", "K", base::WallTime(seconds(100))}));
  EXPECT_EQ(ParseExecCredential(Credential("\"token\":\"t\""), Exec("p"), "u")->expires,
            std::nullopt);
}

TEST(ExecCredentialTest, RefusalsNameUserAndProgram) {
  const std::string rows[][2] = {
      {"no json", "is not a JSON object"},
      {"{\"kind\":\"Other\"}", "is no ExecCredential"},
      {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"v2\"}", "has apiVersion 'v2'"},
      {Credential(""), "has neither a token nor a client certificate"},
      {Credential("\"clientKeyData\":\"K\""), "without the other"},
      {Credential("\"token\":\"t\",\"expirationTimestamp\":\"soon\""), "'soon', which is no time"},
  };
  for (const auto& [output, named] : rows) {
    const auto read = ParseExecCredential(output, Exec("prog"), "jane");
    ASSERT_FALSE(read.ok()) << output;
    const std::string message = base::Message(read.status());
    EXPECT_NE(message.find(named), std::string::npos) << message;
    EXPECT_NE(message.find("user 'jane': exec: the output of prog"), std::string::npos) << message;
  }
}

TEST(ExecInfoTest, TellsTheClusterOnlyWhenItIsAskedTo) {
  ClusterEntry cluster;
  cluster.server = "https://a";
  cluster.tls_server_name = "api";
  ExecEntry exec = Exec("p");
  EXPECT_EQ(ExecInfo(exec, cluster, "CA"),
            std::string("{\"apiVersion\":\"") + kV1 +
                "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false}}");
  exec.provide_cluster_info = true;
  EXPECT_NE(ExecInfo(exec, cluster, "CA")
                .find("\"cluster\":{\"certificate-authority-data\":\"Q0E=\","
                      "\"server\":\"https://a\",\"tls-server-name\":\"api\"}"),
            std::string::npos);
}

TEST(ExecAccessTest, RunsTheProgramOnceUntilItExpiresOrIsRefused) {
  const Folder folder;
  runtime::ManualClock clock(base::WallTime(seconds(1000)));
  const std::string program = folder.Script(
      "login", "echo x >> " + folder.path() + "/runs\necho \"$A|$KUBERNETES_EXEC_INFO|$1\" > " +
                   folder.path() + "/seen\nn=$(wc -l < " + folder.path() + "/runs)\n" +
                   "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":"
                   "\"ExecCredential\",\"status\":{\"token\":\"t'$n'\",\"expirationTimestamp\":"
                   "\"1970-01-01T01:00:00Z\"}}'\n");
  UserEntry user;
  user.exec = Exec(program);
  user.exec.args = {"arg"};
  user.exec.env = {{"A", "b"}};
  const auto config = ConfigFromChoice(Choice(user), clock);
  ASSERT_TRUE(config.ok());
  AccessSource& source = *config->access;
  const auto first = source.Current();
  ASSERT_TRUE(first.ok()) << base::Message(first.status());
  EXPECT_EQ(**first, (Access{"CA", "", "", "t1"}));
  EXPECT_TRUE(folder.Read("seen").starts_with("b|{\"apiVersion\"")) << folder.Read("seen");
  EXPECT_TRUE(folder.Read("seen").ends_with("|arg\n"));
  EXPECT_EQ(*source.Current(), *first);
  clock.Advance(seconds(2580));  // 3,580 s of 3,600
  EXPECT_EQ((*source.Current())->token, "t1");
  clock.Advance(seconds(15));
  EXPECT_EQ((*source.Current())->token, "t2") << "a little before it expires";
  const auto refused = *source.Current();
  source.Refused(*refused);
  const auto after = *source.Current();
  EXPECT_NE(after->token, refused->token);
  source.Refused(*refused);
  const std::string runs = folder.Read("runs");
  clock.Advance(seconds(-3000));  // what it prints is good again
  EXPECT_EQ(*source.Current(), after) << "a late refusal of the old one runs nothing";
  EXPECT_EQ(folder.Read("runs"), runs);
}

TEST(ExecAccessTest, AFailureHasTheInstallHint) {
  const runtime::ManualClock clock;
  UserEntry user;
  user.exec = Exec("/nonexistent/login");
  user.exec.install_hint = "get it from there";
  const auto access = ConfigFromChoice(Choice(user), clock)->access->Current();
  ASSERT_FALSE(access.ok());
  for (const char* named : {"user 'u'", "/nonexistent/login", "get it from there"}) {
    EXPECT_NE(base::Message(access.status()).find(named), std::string::npos);
  }
}

TEST(OutputOfTest, GivesWhatAProgramPrints) {
  setenv("MUSTER_KUBE_TEST", "ours", 1);
  const auto output =
      OutputOf({"sh", {"-c", "echo $MUSTER_KUBE_TEST $0; cat"}, {}}, seconds(20), 100);
  ASSERT_TRUE(output.ok()) << base::Message(output.status());
  EXPECT_EQ(*output, "ours sh\n") << "and there is no input";
  EXPECT_EQ(*OutputOf({"sh", {"-c", "echo $MUSTER_KUBE_TEST"}, {{"MUSTER_KUBE_TEST", "theirs"}}},
                      seconds(20), 100),
            "theirs\n");
}

TEST(OutputOfTest, SaysHowAProgramFailed) {
  EXPECT_EQ(OutputOf({"/nonexistent/x", {}, {}}, seconds(20), 100).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(base::Message(OutputOf({"sh", {"-c", "exit 3"}, {}}, seconds(20), 100).status()),
            "sh ended with exit status 3");
  EXPECT_EQ(base::Message(OutputOf({"sh", {"-c", "kill -9 $$"}, {}}, seconds(20), 100).status()),
            "sh ended with signal 9");
}

TEST(OutputOfTest, AProgramThatIsSlowOrEndlessIsKilledWithItsChildren) {
  const Folder folder;
  const runtime::RealClock clock;
  const base::Time begun = clock.Now();
  // The grandchild holds the pipe as well.
  const auto slow =
      OutputOf({"sh", {"-c", "sleep 60 & echo $! > " + folder.path() + "/pid; wait"}, {}},
               milliseconds(500), 100);
  EXPECT_EQ(slow.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(clock.Now() - begun, seconds(10));
  const pid_t grandchild = std::atoi(folder.Read("pid").c_str());
  ASSERT_GT(grandchild, 0);
  const auto gone = [&] {
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string pid, name, state;
    return !(stat >> pid >> name >> state) || state == "Z";
  };
  while (!gone() && clock.Now() - begun < seconds(20)) std::this_thread::sleep_for(milliseconds(5));
  EXPECT_TRUE(gone());
  EXPECT_EQ(OutputOf({"sh", {"-c", "while :; do echo 0123456789; done"}, {}}, seconds(20), 10'000)
                .status()
                .code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(OutputOfTest, AProgramThatClosesItsOutputAndStaysIsKilledToo) {
  const auto output = OutputOf({"sh", {"-c", "exec >&-; sleep 60"}, {}}, milliseconds(300), 100);
  EXPECT_EQ(output.status().code(), absl::StatusCode::kDeadlineExceeded);
}

}  // namespace
}  // namespace muster::kube
