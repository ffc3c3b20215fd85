#include "tests/operator/kube/elector_world.h"

#include <algorithm>
#include <utility>

namespace muster::kube {

ElectorWorld::ElectorWorld(std::uint64_t seed, ElectorFaults faults)
    : random_(seed), faults_(faults) {}

std::size_t ElectorWorld::Start() {
  const std::size_t index = processes_.size();
  Process process;
  process.rate = faults_.slowest + (faults_.fastest - faults_.slowest) * random_.Uniform();
  process.offset = std::chrono::seconds(random_.Below(1'000'000));
  ElectorConfig config;
  config.identity = "process-" + std::to_string(index);
  config.seed = random_.Next();
  process.machine = std::make_unique<ElectorMachine>(config, Local(process, now_));
  processes_.push_back(std::move(process));
  At(now_, [this, index] { Give(index, Waited{}); });
  return index;
}

void ElectorWorld::Kill(std::size_t process) { processes_[process].alive = false; }

void ElectorWorld::Stop(std::size_t process) {
  At(now_, [this, process] { Give(process, StopRequested{}); });
}

void ElectorWorld::Freeze(std::size_t process, base::Duration real) {
  processes_[process].frozen_until = now_ + real;
}

base::Time ElectorWorld::Local(const Process& process, base::Time real) const {
  const double ns = static_cast<double>(real.time_since_epoch().count()) * process.rate;
  return base::Time(base::Duration(static_cast<base::Duration::rep>(ns)) + process.offset);
}

base::Time ElectorWorld::Real(const Process& process, base::Time local) const {
  const auto since = static_cast<double>((local.time_since_epoch() - process.offset).count());
  return base::Time(base::Duration(static_cast<base::Duration::rep>(since / process.rate)));
}

void ElectorWorld::At(base::Time real, Action action) {
  agenda_.emplace(std::pair(std::max(real, now_), order_++), std::move(action));
}

void ElectorWorld::RunUntil(base::Time real) {
  while (!agenda_.empty() && agenda_.begin()->first.first <= real) {
    auto next = agenda_.extract(agenda_.begin());
    now_ = next.key().first;
    next.mapped()();
    Look();
  }
  now_ = real;
  Look();
}

void ElectorWorld::Give(std::size_t index, ElectorEvent event) {
  Process& process = processes_[index];
  if (!process.alive) return;
  if (now_ < process.frozen_until) {
    At(process.frozen_until, [this, index, event] { Give(index, event); });
    return;
  }
  const base::WallTime wall(now_.time_since_epoch());
  for (const auto& command : process.machine->Step(Local(process, now_), wall, event)) {
    Obey(index, command);
  }
  if (const auto wake = process.machine->NextWake()) {
    // A timer is never early, and a busy machine makes it late.
    const base::Duration slack = std::chrono::microseconds(1 + random_.Below(2000));
    At(Real(process, *wake) + slack, [this, index] { Give(index, Waited{}); });
  }
}

void ElectorWorld::Obey(std::size_t index, const ElectorCommand& command) {
  if (const auto* read = std::get_if<ReadLease>(&command)) {
    Send(
        index, read->timeout,
        [this]() -> ElectorEvent {
          if (lease_.resource_version.empty()) return LeaseRead{std::optional<api::Lease>()};
          return LeaseRead{std::optional<api::Lease>(lease_)};
        },
        LeaseRead{base::Unavailable("no answer")});
  } else if (const auto* write = std::get_if<WriteLease>(&command)) {
    Send(
        index, write->timeout, [this, lease = write->lease] { return Store(lease); },
        LeaseWritten{LeaseWriteOutcome::kUnknown, {}, "no answer"});
  } else if (std::holds_alternative<StartLeading>(command)) {
    begun_.push_back(now_);
    processes_[index].overtaken = false;
  } else if (std::holds_alternative<Finished>(command)) {
    processes_[index].alive = false;
  }
}

void ElectorWorld::Send(std::size_t index, base::Duration timeout,
                        std::function<ElectorEvent()> serve, ElectorEvent unknown) {
  Process& process = processes_[index];
  const std::uint64_t request = ++process.request;
  const auto answer = [this, index, request](const ElectorEvent& event) {
    if (processes_[index].request != request) return;
    ++processes_[index].request;
    Give(index, event);
  };
  At(Real(process, Local(process, now_) + timeout),
     [answer, unknown = std::move(unknown)] { answer(unknown); });
  if (Chance(faults_.lost)) return;
  base::Duration there = Delay();
  if (Chance(faults_.late)) there += std::chrono::milliseconds(random_.Below(8000));
  At(now_ + there, [this, serve = std::move(serve), answer] {
    const ElectorEvent event = serve();
    if (Chance(faults_.lost)) return;
    At(now_ + Delay(), [answer, event] { answer(event); });
  });
}

LeaseWritten ElectorWorld::Store(const api::Lease& lease) {
  if (lease.resource_version != lease_.resource_version) {
    return {LeaseWriteOutcome::kConflict, {}, "the lease has another version"};
  }
  lease_ = lease;
  lease_.resource_version = std::to_string(++version_);
  if (faults_.watch) {
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      const auto late = std::chrono::milliseconds(random_.Below(2000));
      At(now_ + late, [this, i, seen = lease_] { Give(i, LeaseSeen{seen}); });
    }
  }
  return {LeaseWriteOutcome::kOk, lease_, ""};
}

base::Duration ElectorWorld::Delay() {
  return base::Duration(random_.Below(static_cast<std::uint64_t>(faults_.delay.count()) + 1));
}

int ElectorWorld::Leader() const {
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    const Process& process = processes_[i];
    if (process.alive && process.machine->MayWrite(Local(process, now_))) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

void ElectorWorld::Look() {
  std::string leaders;
  int count = 0;
  for (std::size_t i = 0; i < processes_.size(); ++i) {
    const Process& process = processes_[i];
    if (!process.alive || !process.machine->MayWrite(Local(process, now_))) continue;
    leaders +=
        " process-" + std::to_string(i) + " (clock rate " + std::to_string(process.rate) + ")";
    ++count;
    if (process.overtaken) {
      violations_.push_back("process-" + std::to_string(i) +
                            " leads on after another had the right");
    }
    for (Process& other : processes_) other.overtaken = other.overtaken || &other != &process;
  }
  if (count > 1) {
    violations_.push_back("at " + std::to_string(base::ToSeconds(now_.time_since_epoch())) +
                          " s may write:" + leaders);
  }
}

}  // namespace muster::kube
