#include "operator/app/fleet_metrics.h"

#include <iterator>
#include <map>
#include <vector>

#include "operator/runtime/mutex.h"

namespace muster::app {

using runtime::Family;
using runtime::MutexLock;

struct FleetMetrics::State {
  std::vector<Family> Collect() {
    std::vector<std::shared_ptr<JobMetrics>> alive;
    {
      MutexLock lock(mutex);
      std::erase_if(jobs, [&alive](const std::weak_ptr<JobMetrics>& job) {
        if (auto metrics = job.lock()) alive.push_back(std::move(metrics));
        return job.expired();
      });
    }
    // One family a name, however many jobs have it.
    std::map<std::string, Family> by_name;
    for (const auto& job : alive) {
      for (Family& family : job->Collect()) {
        auto [it, added] = by_name.try_emplace(family.name, family);
        if (added) continue;
        std::vector<runtime::Sample>& samples = it->second.samples;
        samples.insert(samples.end(), std::make_move_iterator(family.samples.begin()),
                       std::make_move_iterator(family.samples.end()));
      }
    }
    std::vector<Family> out;
    for (auto& [name, family] : by_name) out.push_back(std::move(family));
    return out;
  }

  runtime::Mutex mutex;
  std::vector<std::weak_ptr<JobMetrics>> jobs MUSTER_GUARDED_BY(mutex);
};

FleetMetrics::FleetMetrics(runtime::Metrics& metrics)
    : metrics_(metrics), state_(std::make_shared<State>()) {
  metrics_.AddCollector([state = std::weak_ptr(state_)] {
    const auto alive = state.lock();
    return alive ? alive->Collect() : std::vector<Family>();
  });
}

std::shared_ptr<JobMetrics> FleetMetrics::Add(const std::string& ns) {
  auto job = std::make_shared<JobMetrics>(metrics_, ns);
  MutexLock lock(state_->mutex);
  std::erase_if(state_->jobs, [](const auto& old) { return old.expired(); });
  state_->jobs.push_back(job);
  return job;
}

}  // namespace muster::app
