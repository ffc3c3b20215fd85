#include "tests/crash/workers.h"

#include <algorithm>
#include <future>

#include "operator/api/quantity.h"
#include "tests/crash/worker_state.h"

namespace muster::crash {

using std::chrono::milliseconds;

namespace {

constexpr base::Duration kTick = milliseconds(50);

session::Config MakeConfig(const Workers::Process& process) {
  session::Config config;
  config.job_uid = process.job_uid;
  config.member = process.member;
  config.node = process.node;
  config.pid = 1;
  config.build_id = "played";
  config.kernel_families = {"scalar"};
  return config;
}

}  // namespace

Workers::Workers(Options options)
    : options_(std::move(options)),
      numbers_{7, options_.slots, false},
      fault_free_(sim::FaultFree(numbers_, options_.steps)),
      step_time_(options_.step_time),
      rings_(
          [this](base::MemberId member, session::Event event) {
            if (const WorkerPtr worker = Find(member)) Post(worker, std::move(event));
          },
          [this](base::MemberId member, const session::Reduced& outcome, const sim::Sum& whole) {
            Confirm(member, outcome, whole);
          }),
      thread_([this] { Run(); }) {}

Workers::~Workers() {
  {
    runtime::MutexLock lock(mutex_);
    over_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

void Workers::Run() {
  while (true) {
    Action action;
    {
      runtime::MutexLock lock(mutex_);
      while (!over_ && (actions_.empty() || clock_.Now() < actions_.begin()->first)) {
        if (actions_.empty()) {
          changed_.Wait(mutex_);
        } else {
          changed_.WaitUntil(mutex_, actions_.begin()->first);
        }
      }
      if (over_) break;
      action = std::move(actions_.begin()->second);
      actions_.erase(actions_.begin());
    }
    action();
  }
  for (const WorkerPtr& worker : workers_) End(worker);
}

void Workers::At(base::Duration delay, Action action) {
  runtime::MutexLock lock(mutex_);
  actions_.emplace(clock_.Now() + delay, std::move(action));
  changed_.NotifyAll();
}

void Workers::Later(const WorkerPtr& worker, base::Duration delay, Action action) {
  At(delay, [worker, action = std::move(action)] {
    if (worker->alive) action();
  });
}

void Workers::Post(const WorkerPtr& worker, session::Event event) {
  Later(worker, base::Duration(0),
        [this, worker, event = std::move(event)] { Handle(worker, event); });
}

void Workers::Wrong(const Worker& worker, const std::string& what) {
  runtime::MutexLock lock(mutex_);
  wrongs_.push_back("worker " + base::ToString(worker.process.member) + " " + what);
}

std::vector<std::string> Workers::Wrongs() const {
  runtime::MutexLock lock(mutex_);
  return wrongs_;
}

void Workers::Say(base::MemberId member, const std::string& what) {
  runtime::MutexLock lock(mutex_);
  words_ +=
      api::FormatTime(clock_.WallNow()) + " worker " + base::ToString(member) + ": " + what + "\n";
}

std::string Workers::Words() const {
  runtime::MutexLock lock(mutex_);
  return words_;
}

void Workers::SetStepTime(base::Duration step_time) {
  runtime::MutexLock lock(mutex_);
  step_time_ = step_time;
}

Workers::WorkerPtr Workers::Find(const std::string& pod_uid) const {
  const auto at = std::ranges::find_if(
      workers_, [&](const WorkerPtr& w) { return w->process.pod_uid == pod_uid; });
  return at == workers_.end() ? nullptr : *at;
}

Workers::WorkerPtr Workers::Find(base::MemberId member) const {
  const auto at = std::ranges::find_if(
      workers_, [&](const WorkerPtr& w) { return w->alive && w->process.member == member; });
  return at == workers_.end() ? nullptr : *at;
}

void Workers::Start(Process process) {
  session::Config config = MakeConfig(process);
  auto worker = std::make_shared<Worker>(std::move(process), std::move(config));
  At(base::Duration(0), [this, worker] { Begin(worker); });
}

void Workers::Begin(const WorkerPtr& worker) {
  workers_.push_back(worker);
  const Process& process = worker->process;
  auto credentials = rpc::Credentials::Create({"", process.token_file, process.ca_file});
  if (!credentials.ok()) return Wrong(*worker, base::Message(credentials.status()));
  worker->credentials = *std::move(credentials);
  rpc::CoordinatorClient::Options options;
  options.addresses = {process.coordinator};
  options.credentials = worker->credentials.get();
  // A weak one: the client belongs to the worker.
  const std::weak_ptr<Worker> weak = worker;
  const auto post = [this, weak](session::Event event) {
    if (const WorkerPtr strong = weak.lock()) Post(strong, std::move(event));
  };
  options.on_up = [post] { post(session::StreamUp{}); };
  options.on_down = [post] { post(session::StreamDown{}); };
  options.on_message = [post](api::FromCoordinator message) {
    post(session::Received{std::move(message)});
  };
  options.on_trouble = [this, member = process.member](const std::string& why) {
    Say(member, why);
  };
  options.make_beat = [post, raw = worker.get()]() -> std::optional<api::FromMember> {
    runtime::MutexLock lock(raw->mutex);
    auto* beat = std::get_if<api::Heartbeat>(&raw->beat.message);
    if (beat == nullptr) return std::nullopt;
    beat->sequence = ++raw->beats;
    post(session::BeatSent{raw->beats});
    return raw->beat;
  };
  auto client = rpc::CoordinatorClient::Create(std::move(options));
  if (!client.ok()) return Wrong(*worker, base::Message(client.status()));
  worker->client = *std::move(client);
  Handle(worker, session::Tick{});
}

void Workers::End(const WorkerPtr& worker) {
  if (!worker->alive) return;
  worker->alive = false;
  worker->serving.reset();
  rings_.Died(worker->process.member);
  if (worker->client) worker->client->Stop();
}

void Workers::Kill(const std::string& pod_uid) {
  std::promise<void> done;
  At(base::Duration(0), [&] {
    if (const WorkerPtr worker = Find(pod_uid)) End(worker);
    done.set_value();
  });
  done.get_future().wait();
}

void Workers::Terminate(const std::string& pod_uid, double grace_seconds) {
  At(base::Duration(0), [this, pod_uid, grace_seconds] {
    if (const WorkerPtr worker = Find(pod_uid)) Post(worker, session::TermSignal{grace_seconds});
  });
}

void Workers::Handle(const WorkerPtr& worker, const session::Event& event) {
  if (std::holds_alternative<session::StreamUp>(event)) Say(worker->process.member, "stream up");
  if (std::holds_alternative<session::StreamDown>(event))
    Say(worker->process.member, "stream down");
  if (std::holds_alternative<session::Tick>(event)) {
    Later(worker, kTick, [this, worker] { Handle(worker, session::Tick{}); });
  }
  for (const session::Command& command : worker->session.Step(clock_.Now(), event)) {
    if (worker->alive) Obey(worker, command);
  }
  for (const std::string& sentence : session::Invariants(worker->session)) Wrong(*worker, sentence);
  runtime::MutexLock lock(worker->mutex);
  worker->beat.envelope.epoch = worker->session.epoch();
  worker->beat.message = worker->session.Beat();
}

}  // namespace muster::crash
