// Worker processes train over rings and state transfers with TLS: the operator's machine and gate
// are here, between them and the workers is nothing that is played.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <functional>
#include <map>
#include <thread>

#include "operator/api/training_job_json.h"
#include "operator/membership/machine.h"
#include "operator/runtime/bounded_queue.h"
#include "tests/worker/rpc/gate_ends.h"
#include "worker/comm/channel.h"

namespace muster::app {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr char kJob[] = "6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21";
constexpr char kToken[] = "of one machine";
constexpr base::Duration kPatience = seconds(60);

// Slow enough for a process to start meanwhile; how long a slot takes is not in the result.
api::TrainingJobSpec Spec(double slot_milliseconds) {
  api::TrainingJobSpec spec;
  spec.workers = {.replicas = 3, .min_replicas = 1, .max_replicas = 3};
  spec.program.builtin = api::Builtin::kBench;
  spec.program.config.slot_milliseconds = slot_milliseconds;
  spec.program.config.state_bytes = 3 << 20;
  spec.training.steps = 120;
  spec.training.slots = 6;
  return spec;
}

// The machine behind the gate, with a record in memory.
class Coordinator {
 public:
  // Without keys: plain text on the loopback interface.
  Coordinator(std::optional<rpc::GateKeys> keys, int members) : machine_(Config(keys.has_value())) {
    rpc::Gate::Options options;
    options.keys = keys;
    options.insecure_for_loopback = !keys;
    options.rules.admitted_token = kToken;
    if (keys) {
      options.review = [this](rpc::StreamId stream, const std::string& token, const std::string&,
                              base::MemberId member) {
        const bool right = token == "token of " + base::ToString(member);
        gate_->Reviewed(stream, right ? absl::OkStatus() : base::PermissionDenied("not its own"));
      };
    }
    options.deliver = [this](rpc::StreamId stream, const std::string&, api::FromMember message) {
      Tell(membership::Received{stream, std::move(message)});
    };
    options.closed = [this](rpc::StreamId stream, const std::string&) {
      Tell(membership::StreamClosed{stream});
    };
    auto gate = rpc::Gate::Create(std::move(options));
    EXPECT_TRUE(gate.ok()) << gate.status();
    gate_ = *std::move(gate);
    Tell(membership::Start{});
    Tell(membership::SetTarget{members, 1});
    thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  }
  ~Coordinator() {
    thread_.request_stop();
    thread_.join();
    events_.Close();
    gate_->Shutdown(milliseconds(200));
  }

  int port() const { return gate_->port(); }
  rpc::Gate& gate() { return *gate_; }
  void Tell(membership::Event event) { events_.Push(std::move(event)); }

  struct Seen {
    membership::Snapshot snapshot;
    std::string digest;  // of the result
    std::vector<std::string> evicted;
    std::vector<std::string> failures;
  };
  Seen Look() {
    runtime::MutexLock lock(mutex_);
    return seen_;
  }
  bool Await(const std::function<bool(const Seen&)>& holds) {
    for (const base::Time until = comm::Now() + kPatience; comm::Now() < until;) {
      if (holds(Look())) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }

 private:
  static membership::Config Config(bool encrypted) {
    membership::Config config;
    config.job_uid = kJob;
    config.token = kToken;
    config.spec = Spec(encrypted ? 5 : 0);
    config.seed = encrypted ? 1 : 2;
    config.welcome.job_uid = kJob;
    config.welcome.job_name = "encrypted";
    config.welcome.spec_json = api::SpecToJson(config.spec);
    config.welcome.heartbeat_seconds = base::ToSeconds(config.heartbeat);
    config.welcome.heartbeat_timeout_seconds =
        base::ToSeconds(config.spec.elasticity.heartbeat_timeout);
    return config;
  }
  void Run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      auto event = events_.PopUntil(comm::Now() + milliseconds(5));
      const base::Time now = comm::Now();
      for (const auto& command : machine_.Step(now, event.value_or(membership::Tick{}))) {
        std::visit([this](const auto& c) { Obey(c); }, command);
      }
      runtime::MutexLock lock(mutex_);
      seen_.snapshot = machine_.GetSnapshot(now);
    }
  }
  void Obey(const membership::Send& c) { gate_->Send(c.stream, c.message); }
  void Obey(const membership::CloseStream& c) { gate_->CloseStream(c.stream); }
  void Obey(const membership::Persist& c) {
    Tell(membership::Persisted{api::PersistOutcome::kOk, c.next});
  }
  void Obey(const membership::JobSucceeded& c) {
    runtime::MutexLock lock(mutex_);
    seen_.digest = c.result.digest;
  }
  void Obey(const membership::Evicted& c) {
    runtime::MutexLock lock(mutex_);
    seen_.evicted.push_back(base::ToString(c.member));
  }
  void Obey(const membership::JobFailed& c) {
    runtime::MutexLock lock(mutex_);
    seen_.failures.push_back(c.reason + ": " + c.message);
  }
  template <typename Other>
  void Obey(const Other&) {}

  // Everyone -> the machine's thread; as large as the operator's, a producer waits when it is full.
  runtime::BoundedQueue<membership::Event> events_{4096, runtime::WhenFull::kBlock};
  membership::Machine machine_;  // its thread alone
  std::unique_ptr<rpc::Gate> gate_;
  runtime::Mutex mutex_;
  Seen seen_ MUSTER_GUARDED_BY(mutex_);
  std::jthread thread_;
};

// One muster-worker, killed at the latest when it goes out of scope.
class Process {
 public:
  Process(const std::map<std::string, std::string>& environment, const std::string& log) {
    std::vector<std::string> texts;
    for (const auto& [name, value] : environment) texts.push_back(name + "=" + value);
    std::vector<char*> variables;
    for (std::string& text : texts) variables.push_back(text.data());
    variables.push_back(nullptr);
    const std::string program = std::string(MUSTER_BINARY_DIR) + "/bin/muster-worker";
    std::string name = "muster-worker";
    char* arguments[] = {name.data(), nullptr};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 2, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    EXPECT_EQ(posix_spawn(&pid_, program.c_str(), &files, nullptr, arguments, variables.data()), 0)
        << program;
    posix_spawn_file_actions_destroy(&files);
  }
  ~Process() { Kill(); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  int ExitCode() {
    int status = -1;
    waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_ = -1;
};

class EncryptedJobTest : public testing::Test {
 protected:
  std::unique_ptr<Process> StartWorker(const Coordinator& coordinator, base::MemberId member,
                                       const std::string& believed_pem) {
    const std::string name = base::ToString(member);
    std::map<std::string, std::string> environment = {
        {"MUSTER_JOB_UID", kJob},
        {"MUSTER_MEMBER", name},
        {"MUSTER_NODE", "n" + std::to_string(member.ordinal)},
        {"MUSTER_COORDINATOR", "localhost:" + std::to_string(coordinator.port())}};
    if (believed_pem.empty()) {
      environment["MUSTER_TOKEN"] = kToken;
    } else {
      environment["MUSTER_TOKEN_FILE"] = folder_.Write(name + "/token", "token of " + name);
      environment["MUSTER_CA_FILE"] = folder_.Write(name + "/ca.crt", believed_pem);
    }
    return std::make_unique<Process>(environment, Log(member));
  }
  std::string Log(base::MemberId member) const {
    return folder_ / (base::ToString(member) + ".log");
  }

  // The digest of a run in plain text, in which nothing happens.
  std::string PlainDigest() {
    Coordinator coordinator(std::nullopt, 2);
    const auto first = StartWorker(coordinator, {0, 0}, "");
    const auto second = StartWorker(coordinator, {1, 0}, "");
    EXPECT_TRUE(coordinator.Await([](const auto& seen) { return !seen.digest.empty(); }));
    return coordinator.Look().digest;
  }

  const ScratchFolder folder_;
};

// Knows job, epoch, member and address, as whoever reads a status does, and speaks plain text.
absl::Status Intrude(const membership::Snapshot& snapshot, std::size_t rank) {
  const auto& member = snapshot.members.at(rank);
  comm::AbortFlag never;
  auto fd = comm::Connect(member.address, comm::Now() + seconds(5), never);
  if (!fd.ok()) return fd.status();
  comm::Channel channel(*std::move(fd));
  const comm::Greeting greeting{
      comm::Kind::kState, snapshot.record.newest.epoch, {9, 9}, 0, kJob, ""};
  return comm::Greet(channel, greeting, comm::Now() + seconds(5), never);
}

TEST_F(EncryptedJobTest, ALossANewAuthorityAndAJoinerEndWithTheBitsOfAPlainRun) {
  const auto authority = rpc::MakeTestAuthority();
  const auto next = rpc::MakeTestAuthority();
  Coordinator coordinator(rpc::MakeTestKeys(authority), 3);
  std::vector<std::unique_ptr<Process>> workers;
  for (int i = 0; i < 3; ++i) {
    workers.push_back(StartWorker(coordinator, {i, 0}, authority.certificate_pem));
  }
  const auto committed = [&](int members, std::int64_t step) {
    return coordinator.Await([&](const Coordinator::Seen& seen) {
      return seen.snapshot.size == members && seen.snapshot.committed.value >= step;
    });
  };
  ASSERT_TRUE(committed(3, 5));
  // Plain text gets nothing from anybody.
  for (std::size_t rank = 0; rank < 3; ++rank) {
    const absl::Status status = Intrude(coordinator.Look().snapshot, rank);
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  }
  workers[2]->Kill();
  coordinator.Tell(membership::PodLost{{2, 0}, "killed by the test"});
  ASSERT_TRUE(committed(2, 10));
  // Its replacement is signed by another authority than those who hand it the state.
  ASSERT_TRUE(coordinator.gate().RenewKeys(rpc::MakeTestKeys(next, {authority})).ok());
  workers.push_back(
      StartWorker(coordinator, {2, 1}, authority.certificate_pem + next.certificate_pem));
  ASSERT_TRUE(committed(3, 12)) << ReadAll(Log({2, 1}));
  ASSERT_TRUE(coordinator.Await([](const auto& seen) { return !seen.digest.empty(); }));
  const auto seen = coordinator.Look();
  EXPECT_THAT(seen.evicted, testing::ElementsAre("2.0"));
  EXPECT_THAT(seen.failures, testing::IsEmpty());
  for (const std::size_t i : {0u, 1u, 3u}) EXPECT_EQ(workers[i]->ExitCode(), 0);
  EXPECT_THAT(ReadAll(Log({0, 0})), HasSubstr("it does not speak TLS 1.3"));
  EXPECT_THAT(ReadAll(Log({2, 1})), HasSubstr("received the state"));
  EXPECT_EQ(coordinator.gate().counts().signed_certificates, 4u);
  EXPECT_EQ(seen.digest, PlainDigest());
}

}  // namespace
}  // namespace muster::app
