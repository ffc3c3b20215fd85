#include "operator/runtime/metrics.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "operator/base/check.h"
#include "operator/runtime/build_info.h"
#include "operator/runtime/mutex.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace muster::runtime {
namespace {

prometheus::MetricFamily ToProm(Family family) {
  prometheus::MetricFamily out;
  out.name = std::move(family.name);
  out.help = std::move(family.help);
  const bool counter = family.type == SampleType::kCounter;
  out.type = counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
  for (Sample& sample : family.samples) {
    prometheus::ClientMetric& metric = out.metric.emplace_back();
    for (auto& [name, value] : sample.labels) metric.label.push_back({name, std::move(value)});
    (counter ? metric.counter.value : metric.gauge.value) = sample.value;
  }
  return out;
}

// The text format has each name once, whoever gives series of it.
void Merge(prometheus::MetricFamily family, std::vector<prometheus::MetricFamily>& families) {
  for (prometheus::MetricFamily& other : families) {
    if (other.name != family.name) continue;
    std::move(family.metric.begin(), family.metric.end(), std::back_inserter(other.metric));
    return;
  }
  families.push_back(std::move(family));
}

}  // namespace

void Counter::Increment(double by) const {
  MUSTER_CHECK(by >= 0, "a counter only grows");
  if (series_ != nullptr) series_->Increment(by);
}
double Counter::Value() const { return series_ == nullptr ? 0 : series_->Value(); }
void Gauge::Set(double value) const {
  if (series_ != nullptr) series_->Set(value);
}
void Gauge::Add(double by) const {
  if (series_ != nullptr) series_->Increment(by);
}
double Gauge::Value() const { return series_ == nullptr ? 0 : series_->Value(); }
void Histogram::Observe(double value) const {
  if (series_ != nullptr) series_->Observe(value);
}

struct Metrics::State {
  // Merge: asking twice for one name gives the family that is there.
  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  mutable Mutex mutex;
  std::vector<std::function<std::vector<Family>()>> collectors MUSTER_GUARDED_BY(mutex);
  // What each histogram's name was first asked for with.
  std::map<std::string, std::vector<double>> bounds MUSTER_GUARDED_BY(mutex);
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter Metrics::MakeCounter(std::string_view name, std::string_view help, const Labels& labels) {
  return Counter(&prometheus::BuildCounter()
                      .Name(std::string(name))
                      .Help(std::string(help))
                      .Register(state_->registry)
                      .Add(labels));
}

Gauge Metrics::MakeGauge(std::string_view name, std::string_view help, const Labels& labels) {
  return Gauge(&prometheus::BuildGauge()
                    .Name(std::string(name))
                    .Help(std::string(help))
                    .Register(state_->registry)
                    .Add(labels));
}

Histogram Metrics::MakeHistogram(std::string_view name, std::string_view help,
                                 const std::vector<double>& bounds, const Labels& labels) {
  std::vector<double> chosen;
  {
    MutexLock lock(state_->mutex);
    chosen = state_->bounds.try_emplace(std::string(name), bounds).first->second;
  }
  return Histogram(&prometheus::BuildHistogram()
                        .Name(std::string(name))
                        .Help(std::string(help))
                        .Register(state_->registry)
                        .Add(labels, chosen));
}

void Metrics::AddCollector(std::function<std::vector<Family>()> collect) {
  MutexLock lock(state_->mutex);
  state_->collectors.push_back(std::move(collect));
}

void Metrics::AddBuildInfo(std::string_view program) {
  MakeGauge("muster_build_info", "Which build this is; always 1.",
            {{"version", std::string(Version())},
             {"build_id", BuildId()},
             {"program", std::string(program)}})
      .Set(1);
}

std::string Metrics::Text() const {
  std::vector<prometheus::MetricFamily> families = state_->registry.Collect();
  {
    // Under the lock, so that collectors are called one at a time.
    MutexLock lock(state_->mutex);
    for (const auto& collect : state_->collectors) {
      for (Family& family : collect()) Merge(ToProm(std::move(family)), families);
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

std::vector<double> SecondsBounds() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
}

}  // namespace muster::runtime
