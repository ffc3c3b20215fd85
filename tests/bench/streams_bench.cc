// What members' streams cost one operator, and how soon all are back when it dies: a real `muster
// operator`, the API-server double, and played workers (tests/crash/workers.h), each with a stream
// of its own over TLS and a beat each 200 ms, whose jobs train by steps of a second.
//
//   streams_bench --muster PROGRAM --folder FOLDER [--jobs N] [--members N] [--seconds N] [--kills N]
//
// Members are a job's; jobs have equally many. Prints one line of JSON: the operator's processor
// time and memory with all streams up, and for each SIGKILL of it, another process started at once
// and the default Lease, the seconds until that leads and until every job has its term and every
// member its stream. The workers run beside it, on the same cores.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <thread>

#include "operator/api/training_job_json.h"
#include "tests/crash/objects.h"
#include "tests/crash/operator_process.h"
#include "tests/crash/pod_process.h"
#include "tests/kube/http_front.h"
#include "tests/kube/players.h"

namespace muster::crash {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Options {
  std::string muster;
  std::string folder;
  int jobs = 5;
  int members = 10;
  int seconds = 20;
  int kills = 3;
};

double CpuSeconds(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(in)), {});
  text.erase(0, text.rfind(')') + 1);
  long fields[13] = {};
  char state = 0;
  int at = 0;
  std::sscanf(text.c_str(), " %c%n", &state, &at);
  for (long& field : fields) {
    int read = 0;
    if (std::sscanf(text.c_str() + at, "%ld%n", &field, &read) != 1) return 0;
    at += read;
  }
  // utime and stime, the 14th and 15th of all.
  return static_cast<double>(fields[10] + fields[11]) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double ResidentMiB(pid_t pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

int CountOf(const std::string& text, const std::string& word) {
  int count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++count;
  }
  return count;
}

class Fleet final : private kubetest::Containers {
 public:
  explicit Fleet(Options options)
      : options_(std::move(options)),
        front_(*kubetest::HttpFront::Listen(api_)),
        players_(api_, this),
        operator_(OperatorCommand({options_.muster, options_.folder, "127.0.0.1", front_->url()}),
                  options_.folder + "/operator.log") {
    constexpr int kPodsPerNode = 110;
    const int total = options_.jobs * options_.members;
    for (int i = 0; i <= total / kPodsPerNode; ++i) {
      players_.AddNode("n" + std::to_string(i), kPodsPerNode);
    }
  }
  ~Fleet() override {
    operator_.Kill();
    workers_.clear();
    front_.reset();
    api_.Close();
  }

  Json Measure() {
    const base::Time begun = clock_.Now();
    operator_.Start();
    for (int i = 0; i < options_.jobs; ++i) MakeJob("j" + std::to_string(i));
    Until("all jobs train", [&] {
      players_.Step();
      return AllTrain() && StreamsUp() >= Total();
    });
    Json out = {{"jobs", options_.jobs}, {"members", Total()}};
    out["trainAfterSeconds"] = Since(begun);
    std::this_thread::sleep_for(seconds(5));
    const double before = CpuSeconds(operator_.pid());
    const double own = CpuSeconds(getpid());
    std::this_thread::sleep_for(seconds(options_.seconds));
    out["operatorPercent"] = 100 * (CpuSeconds(operator_.pid()) - before) / options_.seconds;
    out["workersPercent"] = 100 * (CpuSeconds(getpid()) - own) / options_.seconds;
    out["residentMiB"] = ResidentMiB(operator_.pid());
    out["leadsSeconds"] = out["allBackSeconds"] = Json::array();
    for (int kill = 1; kill <= options_.kills; ++kill) Kill(kill + 1, out);
    int lost = 0;
    for (const Json& job : api_.All("trainingjobs", kNs)) {
      lost += static_cast<int>(At(job, "/status/failures", Json::array()).size());
    }
    out["membersLost"] = lost;
    for (const auto& [name, workers] : workers_) {
      for (const std::string& wrong : workers->Wrongs()) Give(name + ": " + wrong);
    }
    return out;
  }

 private:
  [[noreturn]] void Give(const std::string& why) {
    std::fprintf(stderr, "streams_bench: %s\n", why.c_str());
    operator_.Kill();
    std::_Exit(2);
  }
  int Total() const { return options_.jobs * options_.members; }
  double Since(base::Time begun) const { return base::ToSeconds(clock_.Now() - begun); }

  bool Start(const Json& pod) override {
    auto process = PrepareProcess(pod, api_, options_.folder);
    if (!process) return false;
    std::unique_ptr<Workers>& workers = workers_[Label(pod, kube::kJobNameLabel)];
    if (workers == nullptr) {
      Workers::Options of_job;
      of_job.slots = options_.members;
      of_job.steps = kStepsOfAll;
      of_job.step_time = seconds(options_.members);  // a second for each, who has one slot
      of_job.on_exit = [this](const std::string& pod_uid, int code) {
        Give("the worker of pod " + pod_uid + " has ended with " + std::to_string(code));
      };
      workers = std::make_unique<Workers>(std::move(of_job));
    }
    workers->Start(*std::move(process));
    return true;
  }
  std::optional<int> Stop(const Json&) override { return 0; }

  void MakeJob(const std::string& name) {
    api::TrainingJob job;
    job.name = name;
    // The first view has everybody: a member that comes later would wait for a state that others send it only
    // at the end of a step of many seconds.
    job.spec.workers.replicas = options_.members;
    job.spec.workers.min_replicas = job.spec.workers.max_replicas = options_.members;
    job.spec.program.builtin = api::Builtin::kBench;
    job.spec.training.steps = kStepsOfAll;
    job.spec.training.slots = options_.members;
    // The workers share the cores with what is measured.
    job.spec.elasticity.heartbeat_timeout = seconds(10);
    Json body = Json::parse(api::TrainingJobToJson(job));
    body["metadata"] = {{"name", name}};
    body.erase("status");
    const auto made = api_.Ask("POST", kJobs, body);
    if (made.code != 201) Give("the job is refused: " + made.body.dump());
  }

  bool AllTrain() const {
    const std::string all = std::to_string(options_.members);
    for (const Json& job : api_.All("trainingjobs", kNs)) {
      if (At(job, "/status/members", "") != all + "/" + all) return false;
    }
    return true;
  }
  int StreamsUp() const {
    int up = 0;
    for (const auto& [name, workers] : workers_) up += CountOf(workers->Words(), ": stream up\n");
    return up;
  }

  void Kill(int term, Json& out) {
    const auto holder = [&] {
      const auto lease = api_.Find("leases", "kube-system", "muster-operator");
      return lease ? At(*lease, "/spec/holderIdentity", "").get<std::string>() : "";
    };
    const std::string former = holder();
    const int streams = StreamsUp() + Total();
    operator_.Kill();
    const base::Time begun = clock_.Now();
    operator_.Start();
    Until("another leads", [&] { return holder() != former && !holder().empty(); });
    out["leadsSeconds"].push_back(Since(begun));
    Until("all are back", [&] {
      for (const Json& job : api_.All("trainingjobs", kNs)) {
        if (At(job, "/status/membership/term", 0) != term) return false;
      }
      return StreamsUp() >= streams;
    });
    out["allBackSeconds"].push_back(Since(begun));
    std::this_thread::sleep_for(seconds(3));
  }

  void Until(const std::string& what, const std::function<bool()>& done) {
    const base::Time until = clock_.Now() + seconds(300);
    while (!done()) {
      if (clock_.Now() > until) Give("waits in vain until " + what);
      if (!operator_.Runs()) Give("the operator has ended: " + operator_.OwnEnd());
      std::this_thread::sleep_for(milliseconds(20));
    }
  }

  static constexpr std::int64_t kStepsOfAll = 3000;  // more than it lives
  const Options options_;
  const runtime::RealClock clock_;
  kubetest::ApiDouble api_{{}, clock_};
  std::unique_ptr<kubetest::HttpFront> front_;
  kubetest::Players players_;
  std::map<std::string, std::unique_ptr<Workers>> workers_;  // by job
  OperatorProcess operator_;
};

int Usage() {
  std::fputs(
      "usage: streams_bench --muster PROGRAM --folder FOLDER [--jobs 1-100] [--members 1-100] "
      "[--seconds 1-600] [--kills 0-20]\n",
      stderr);
  return 2;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const int value = std::atoi(argv[i + 1]);
    const auto number = [&](const char* of, int least, int most, int& into) {
      if (name != of || value < least || value > most) return false;
      into = value;
      return true;
    };
    if (name == "--muster") {
      options.muster = argv[i + 1];
    } else if (name == "--folder") {
      options.folder = argv[i + 1];
    } else if (!number("--jobs", 1, 100, options.jobs) &&
               !number("--members", 1, 100, options.members) &&
               !number("--seconds", 1, 600, options.seconds) &&
               !number("--kills", 0, 20, options.kills)) {
      return Usage();
    }
  }
  if (argc % 2 == 0 || options.muster.empty() || options.folder.empty()) return Usage();
  std::printf("%s\n", Fleet(options).Measure().dump().c_str());
  return 0;
}

}  // namespace
}  // namespace muster::crash

int main(int argc, char** argv) { return muster::crash::Main(argc, argv); }
