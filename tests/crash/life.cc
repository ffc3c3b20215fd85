#include "tests/crash/life.h"

#include <algorithm>
#include <thread>

#include "operator/kube/labels.h"
#include "tests/crash/objects.h"
#include "tests/crash/pod_process.h"

namespace muster::crash {

using std::chrono::milliseconds;

namespace {

// Slow while the script has something to do, so that the job does not end before it.
constexpr base::Duration kSlowStep = milliseconds(400);
constexpr base::Duration kPatience = std::chrono::seconds(60);
constexpr base::Duration kTurn = milliseconds(10);
constexpr int kLookAnyway = 25;  // turns
// Long enough for an answer to be read and acted on.
constexpr base::Duration kAMoment = milliseconds(5);

// What a write is, without what is another in every life.
std::string WhatOf(const kubetest::WriteRecord& write) {
  std::string name = write.name;
  if (write.resource == "pods") name = name.substr(0, name.rfind('-'));
  if (write.resource == "events") name.clear();
  std::string text = write.verb + " " + write.resource;
  if (!write.subresource.empty()) text += "/" + write.subresource;
  // The record and what is for people are two writers' parts of one status.
  if (write.subresource == "status") text += " by " + write.manager;
  return name.empty() ? text : text + " " + name;
}

std::vector<std::string> Command(const Life::Options& options, const std::string& url) {
  std::vector<std::string> words =
      OperatorCommand({options.muster, options.folder, options.host, url});
  // The lease as short as whole seconds allow: a life waits for its end once.
  for (const char* word : {"--leader-elect-lease-duration", "1s", "--leader-elect-renew-deadline",
                           "800ms", "--leader-elect-retry-period", "100ms"}) {
    words.emplace_back(word);
  }
  return words;
}

}  // namespace

const char* NameOf(Fault fault) {
  switch (fault) {
    case Fault::kKilledUnanswered:
      return "killed before its answer";
    case Fault::kKilledAnswered:
      return "killed after its answer";
    case Fault::kAnswerLost:
      return "every connection broken before its answer";
  }
  return "";
}

std::string ToString(const CrashPoint& point) {
  return point.what + " #" + std::to_string(point.nth) + ", " + NameOf(point.fault);
}

Life::Life(Options options)
    : options_(std::move(options)),
      api_({}, clock_),
      front_(*kubetest::HttpFront::Listen(api_)),
      players_(api_, this),
      operator_(Command(options_, front_->url()), options_.folder + "/operator.log") {
  Workers::Options workers;
  workers.slots = kSlots;
  workers.steps = kSteps;
  workers.step_time = kSlowStep;
  workers.on_exit = [this](const std::string& uid, int code) {
    runtime::MutexLock lock(mutex_);
    exits_[uid] = code;
  };
  workers_ = std::make_unique<Workers>(std::move(workers));
  for (const char* node : {"n1", "n2", "n3", "n4"}) players_.AddNode(node);
  api_.SetAfterWrite([this](const kubetest::WriteRecord& write) { OnWrite(write); });
}

Life::~Life() {
  operator_.Kill();
  workers_.reset();
  front_.reset();
  api_.Close();
}

LifeResult Life::Run() {
  const base::Time begun = clock_.Now();
  operator_.Start();
  const bool lived = Script();
  operator_.Kill();
  if (const std::string how = operator_.OwnEnd(); !how.empty()) {
    Wrong("the operator ended by itself: " + how);
  }
  for (const std::string& wrong : workers_->Wrongs()) Wrong(wrong);
  const std::string end = lived ? End() : "";
  runtime::MutexLock lock(mutex_);
  result_.end = end;
  result_.workers = workers_->Words();
  result_.writes = api_.Writes();
  result_.seconds = base::ToSeconds(clock_.Now() - begun);
  return result_;
}

void Life::Wrong(const std::string& sentence) {
  runtime::MutexLock lock(mutex_);
  result_.wrongs.push_back(sentence);
}

// ---- what happens at a write, on the thread that serves it

void Life::OnWrite(const kubetest::WriteRecord& write) {
  LookForTwins(write);
  if (!write.changed) return;
  CrashPoint now{WhatOf(write), 0, Fault::kKilledUnanswered};
  bool here = false;
  {
    runtime::MutexLock lock(mutex_);
    now.nth = ++seen_[now.what];
    result_.points.push_back(now);
    here = options_.point && now.what == options_.point->what && now.nth == options_.point->nth;
    if (here) result_.reached = true;
  }
  if (!here) return;
  if (options_.point->fault == Fault::kKilledUnanswered) operator_.Kill();
  if (options_.point->fault == Fault::kKilledAnswered) kill_soon_ = true;
  if (options_.point->fault == Fault::kAnswerLost) {
    front_->SetAway(true);
    front_->SetAway(false);
  }
}

// Two pods of one ordinal that both are to run, or a member's id that was given before.
void Life::LookForTwins(const kubetest::WriteRecord& write) {
  if (write.verb != "create" || write.resource != "pods" || write.code != 201) return;
  const auto made = api_.Find("pods", write.ns, write.name);
  if (!made) return;
  const std::string member = Label(*made, kube::kMemberLabel);
  std::set<std::string> lost;
  {
    runtime::MutexLock lock(mutex_);
    ++result_.creates;
    if (!members_.insert(member).second) {
      result_.wrongs.push_back("two pods were made for member " + member);
    }
    lost = lost_nodes_;
  }
  for (const Json& pod : api_.All("pods", kNs)) {
    const std::string name = pod["metadata"]["name"];
    const bool going = pod["metadata"].contains("deletionTimestamp");
    if (name == write.name || OrdinalOf(pod) != OrdinalOf(*made) || going || IsOver(pod)) continue;
    if (lost.contains(pod["spec"].value("nodeName", ""))) continue;
    Wrong("pod " + write.name + " is a duplicate of " + name);
  }
}

// ---- pods

bool Life::Start(const Json& pod) {
  auto process = PrepareProcess(pod, api_, options_.folder);
  if (!process) return false;
  running_[process->pod_uid] = process->node;
  workers_->Start(*std::move(process));
  return true;
}

std::optional<int> Life::Stop(const Json& pod) {
  const std::string uid = pod["metadata"]["uid"];
  if (told_.insert(uid).second) workers_->Terminate(uid, 30);
  runtime::MutexLock lock(mutex_);
  const auto ended = exits_.find(uid);
  return ended == exits_.end() ? std::nullopt : std::optional(ended->second);
}

// ---- the script's clockwork

// Looking at everything costs more than the life itself, so it is done when there is something new.
bool Life::Moved() {
  std::pair<std::uint64_t, std::size_t> now = {api_.version(), 0};
  {
    runtime::MutexLock lock(mutex_);
    now.second = exits_.size();
  }
  if (now == looked_at_ && ++calm_turns_ < kLookAnyway) return false;
  looked_at_ = now;
  calm_turns_ = 0;
  return true;
}

// The players', and what ended by itself or whose pod was taken away by force.
void Life::Play() {
  players_.Step();
  std::map<std::string, int> exits;
  {
    runtime::MutexLock lock(mutex_);
    exits = exits_;
  }
  for (const Json& pod : api_.All("pods", kNs)) {
    const auto ended = exits.find(pod["metadata"]["uid"]);
    if (ended == exits.end() || IsOver(pod)) continue;
    players_.Finish(kNs, pod["metadata"]["name"], ended->second);
  }
  std::erase_if(running_, [this](const auto& process) {
    if (api_.HasUid(process.first)) return false;
    workers_->Kill(process.first);
    return true;
  });
}

bool Life::Until(const std::string& what, const std::function<bool()>& done) {
  const base::Time until = clock_.Now() + kPatience;
  calm_turns_ = kLookAnyway;
  while (clock_.Now() < until) {
    const bool moved = Moved();
    if (moved && done()) return true;
    if (kill_soon_.exchange(false)) {
      std::this_thread::sleep_for(kAMoment);
      operator_.Kill();
    }
    if (!operator_.Runs()) operator_.Start();
    if (moved) Play();
    std::this_thread::sleep_for(kTurn);
  }
  Wrong("waits in vain until " + what + "; the job: " + Job().dump());
  return false;
}

Json Life::Job() const { return api_.Find("trainingjobs", kNs, kJob).value_or(Json::object()); }

std::vector<Json> Life::ActivePods() const {
  std::vector<Json> out;
  for (const Json& pod : api_.All("pods", kNs)) {
    if (!IsOver(pod) && !pod["metadata"].contains("deletionTimestamp")) out.push_back(pod);
  }
  return out;
}

}  // namespace muster::crash
