// The scripted life of one job on the API-server double, under a real operator process and with
// played workers: created, scaled up, a node lost, a pod drained, all steps committed.
//
// At a given write the operator is killed and started again, or never hears the answer; the script
// goes on as a person and a cluster would. One thread a life, beside those of what it is made of.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "operator/runtime/clock.h"
#include "operator/runtime/mutex.h"
#include "tests/crash/operator_process.h"
#include "tests/crash/workers.h"
#include "tests/kube/api_double.h"
#include "tests/kube/http_front.h"
#include "tests/kube/players.h"

namespace muster::crash {

enum class Fault {
  kKilledUnanswered,  // the write has happened, its answer finds nobody
  kKilledAnswered,    // a moment after the answer
  kAnswerLost,        // every connection breaks before it; the operator lives on
};
const char* NameOf(Fault fault);

// A write by what it is, because in two lives the same write has not always the same number: "create
// pods licences-0" (names without what is a hash), and which of its like.
struct CrashPoint {
  std::string what;
  int nth = 1;
  Fault fault = Fault::kKilledUnanswered;
};
std::string ToString(const CrashPoint& point);

struct LifeResult {
  std::vector<kubetest::WriteRecord> writes;
  std::vector<CrashPoint> points;  // one a write that changed something, in their order
  bool reached = false;            // the crash point
  int creates = 0;                 // pods made
  std::string end;                 // what is there when the job has ended
  std::vector<std::string> wrongs;
  std::string log;      // the operator's words
  std::string workers;  // and theirs
  double seconds = 0;
};

class Life final : private kubetest::Containers {
 public:
  struct Options {
    std::string muster;  // the program
    std::string folder;  // of its own, empty
    std::string host;    // of its own, an address of the loopback network
    std::optional<CrashPoint> point;
  };
  explicit Life(Options options);
  ~Life() override;

  LifeResult Run();

 private:
  // kubetest::Containers
  bool Start(const kubetest::Json& pod) override;
  std::optional<int> Stop(const kubetest::Json& pod) override;

  // False, and a sentence among the wrongs: it took too long.
  bool Until(const std::string& what, const std::function<bool()>& done);
  bool Moved();
  void Play();
  void OnWrite(const kubetest::WriteRecord& write);
  void LookForTwins(const kubetest::WriteRecord& write);
  void Wrong(const std::string& sentence);

  bool Script();
  bool Create();
  bool Trains(int members);
  bool LoseANode();
  bool Drain();
  bool Finish();
  kubetest::Json Job() const;
  std::vector<kubetest::Json> ActivePods() const;
  bool HistoryIsWhole() const;
  std::string End() const;

  const Options options_;
  const runtime::RealClock clock_;
  kubetest::ApiDouble api_;
  std::unique_ptr<kubetest::HttpFront> front_;
  runtime::Mutex mutex_;
  std::map<std::string, int> exits_ MUSTER_GUARDED_BY(mutex_);  // by uid of the pod
  std::map<std::string, int> seen_ MUSTER_GUARDED_BY(mutex_);   // writes by what they are
  std::set<std::string> lost_nodes_ MUSTER_GUARDED_BY(mutex_);
  std::set<std::string> members_ MUSTER_GUARDED_BY(mutex_);  // of every pod that was made
  LifeResult result_ MUSTER_GUARDED_BY(mutex_);
  std::atomic<bool> kill_soon_ = false;
  std::map<std::string, std::string> running_;       // uid and node of pods whose process runs
  std::set<std::string> told_;                       // to go, by uid
  std::pair<std::uint64_t, std::size_t> looked_at_;  // version of the objects, number of exits
  int calm_turns_ = 0;                               // since something was new
  std::unique_ptr<Workers> workers_;
  kubetest::Players players_;
  OperatorProcess operator_;
};

}  // namespace muster::crash
