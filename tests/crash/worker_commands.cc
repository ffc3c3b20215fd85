// What played workers do with their sessions' commands.
#include "operator/api/training_job_json.h"
#include "tests/crash/worker_state.h"

namespace muster::crash {

using std::chrono::milliseconds;

namespace {

// How long a member waits for the others of a view, and asks those that hold the state.
constexpr base::Duration kConnectDeadline = std::chrono::seconds(4);
constexpr base::Duration kAskAgain = milliseconds(20);
constexpr int kFetchTries = 300;
constexpr base::Duration kShort = milliseconds(1);

}  // namespace

void Workers::Obey(const WorkerPtr& self, const session::Command& command) {
  Worker& worker = *self;
  const base::MemberId member = worker.process.member;
  if (const auto* send = std::get_if<session::Send>(&command)) {
    api::FromMember message = send->message;
    if (auto* hello = std::get_if<api::Hello>(&message.message)) {
      hello->token = worker.credentials->Token().value_or("");
    }
    worker.client->Send(message);
  } else if (const auto* exit = std::get_if<session::Exit>(&command)) {
    Say(member,
        "exits with " + std::to_string(static_cast<int>(exit->code)) + ": " + exit->message);
    End(self);
    options_.on_exit(worker.process.pod_uid, static_cast<int>(exit->code));
  } else if (const auto* connect = std::get_if<session::ConnectRing>(&command)) {
    rings_.Connect(member, connect->view);
    Later(self, kConnectDeadline,
          [this, member, epoch = connect->view.epoch] { rings_.GiveUp(member, epoch); });
  } else if (const auto* abort = std::get_if<session::AbortRing>(&command)) {
    worker.fetching = false;
    rings_.Abort(member, abort->epoch);
  } else if (const auto* clear = std::get_if<session::ClearSums>(&command)) {
    worker.sum.Clear(clear->tag, options_.slots);
  } else if (const auto* compute = std::get_if<session::ComputeSlots>(&command)) {
    worker.orders.push_back({*compute});
    if (worker.orders.size() == 1) Compute(self);
  } else if (std::holds_alternative<session::StopCompute>(command)) {
    for (Worker::Order& order : worker.orders) order.stop = true;
  } else if (const auto* reduce = std::get_if<session::Reduce>(&command)) {
    if (worker.sum.tag != reduce->tag) Wrong(worker, "reduces a sum with another tag");
    rings_.Reduce(member, *reduce, worker.sum);
  } else if (const auto* apply = std::get_if<session::ApplyStep>(&command)) {
    Apply(worker, self, apply->step);
  } else if (const auto* evaluate = std::get_if<session::EvaluateShare>(&command)) {
    Later(self, kShort,
          [this, self, evaluated = session::Evaluated{evaluate->step, 2.5, evaluate->epoch}] {
            Handle(self, evaluated);
          });
  } else if (const auto* serve = std::get_if<session::ServeState>(&command)) {
    worker.serving = *serve;
  } else if (std::holds_alternative<session::StopServing>(command)) {
    worker.serving.reset();
  } else if (const auto* fetch = std::get_if<session::FetchState>(&command)) {
    worker.fetching = true;
    Fetch(self, fetch->view, kFetchTries);
  } else {
    ObeyDisk(self, command);
  }
}

void Workers::ObeyDisk(const WorkerPtr& self, const session::Command& command) {
  Worker& worker = *self;
  if (const auto* note = std::get_if<session::Note>(&command)) {
    return Say(worker.process.member, note->text);
  }
  if (const auto* load = std::get_if<session::LoadJob>(&command)) {
    session::Loaded loaded;
    auto spec = api::ParseTrainingJobSpec(load->welcome.spec_json);
    if (!spec.ok())
      return Wrong(worker, "cannot read its Welcome: " + base::Message(spec.status()));
    loaded.spec = *std::move(spec);
    loaded.warm.address = "10.0.0.1:" + std::to_string(1000 + worker.process.member.ordinal);
    loaded.warm.kernel_family = "scalar";
    loaded.warm.data_digest = "data";
    loaded.warm.parameters = 3;
    Post(self, std::move(loaded));
  } else if (std::holds_alternative<session::MakeFreshState>(command)) {
    worker.model = sim::FreshState(numbers_);
    Post(self, session::StateMade{sim::Digest(*worker.model), 0});
  } else if (const auto* restore = std::get_if<session::RestoreState>(&command)) {
    const auto at = manifests_.find(restore->checkpoint.digest);
    if (at == manifests_.end()) return Post(self, session::RestoreFailed{"no such manifest"});
    worker.model = at->second;
    Post(self, session::StateRestored{sim::Digest(at->second), base::Step(at->second.step), 0});
  } else if (const auto* copy = std::get_if<session::CopyForCheckpoint>(&command)) {
    if (!worker.model || worker.model->step != copy->step.value) {
      return Wrong(worker, "is to copy a step that it does not hold");
    }
    worker.copies[copy->step.value] = *worker.model;
    Post(self, session::StateCopied{copy->step});
    session::PartWritten written;
    written.step = copy->step;
    written.part = {copy->epoch, copy->step, sim::Digest(*worker.model), "{}", ""};
    Later(self, kShort, [this, self, written] { Handle(self, written); });
  } else if (const auto* manifest = std::get_if<session::WriteManifest>(&command)) {
    const base::Step step = manifest->order.step;
    const auto held = worker.copies.find(step.value);
    if (held == worker.copies.end()) return Wrong(worker, "writes a step that it never copied");
    session::ManifestDone done;
    done.step = step;
    done.written.epoch = manifest->epoch;
    done.written.step = step;
    done.written.manifest_digest = "manifest-" + std::to_string(step.value);
    if (manifest->order.final) done.written.weights_digest = "weights";
    manifests_[done.written.manifest_digest] = held->second;
    Post(self, done);
  }
}

// A slot at a time: in its share of the step's time.
void Workers::Compute(const WorkerPtr& self) {
  Worker::Order& order = self->orders.front();
  const api::SumTag tag = order.slots.tag;
  if (order.stop || order.next == order.slots.slots.size()) {
    self->orders.pop_front();
    Post(self, session::ComputeStopped{tag});
    if (!self->orders.empty()) Compute(self);
    return;
  }
  const api::Slot slot = order.slots.slots[order.next++];
  Post(self, session::SlotBegun{tag, slot});
  base::Duration time;
  {
    runtime::MutexLock lock(mutex_);
    time = step_time_ / options_.slots;
  }
  Later(self, time, [this, self, tag, slot] {
    if (self->sum.tag != tag || !self->model || self->model->step + 1 != tag.step.value) {
      Wrong(*self, "computes a slot for a sum that is not there");
    } else {
      sim::AddSlot(numbers_, *self->model, slot, self->sum);
    }
    Handle(self, session::SlotDone{tag, slot, 0.001, {}});
    Compute(self);
  });
}

// M6: from whoever serves this epoch.
void Workers::Fetch(const WorkerPtr& self, const api::View& view, int tries) {
  if (!self->fetching) return;
  for (const WorkerPtr& other : workers_) {
    const auto& serving = other->serving;
    if (other == self || !other->alive || !serving || serving->epoch != view.epoch) continue;
    if (!other->model || other->model->step != serving->step.value) continue;
    self->fetching = false;
    self->model = other->model;
    return Post(self, session::StateReceived{view.epoch, serving->step, sim::Digest(*self->model),
                                             0.001, 0});
  }
  if (tries == 0) {
    self->fetching = false;
    return Post(self, session::StateFailed{view.epoch, {}, "no source answers"});
  }
  Later(self, kAskAgain, [this, self, view, tries] { Fetch(self, view, tries - 1); });
}

void Workers::Confirm(base::MemberId member, const session::Reduced& outcome,
                      const sim::Sum& whole) {
  const WorkerPtr worker = Find(member);
  if (worker == nullptr) return;
  if (!outcome.counters_ok) Wrong(*worker, "reduces a step that lacks a slot, or has one twice");
  worker->confirmed = whole;
  Post(worker, outcome);
}

void Workers::Apply(Worker& worker, const WorkerPtr& self, base::Step step) {
  if (!worker.confirmed || worker.confirmed->tag.step != step || !worker.model) {
    return Wrong(worker, "applies step " + std::to_string(step.value) + ", not confirmed");
  }
  sim::Apply(numbers_, *worker.confirmed, *worker.model);
  worker.confirmed.reset();
  session::Applied applied;
  applied.step = step;
  applied.digest = sim::Digest(*worker.model);
  applied.loss = 1.0 / static_cast<double>(step.value);
  applied.tokens = 64;
  if (applied.digest != fault_free_.at(static_cast<std::size_t>(step.value))) {
    Wrong(worker,
          "has other bits after step " + std::to_string(step.value) + " than a run without faults");
  }
  Post(self, applied);
}

}  // namespace muster::crash
