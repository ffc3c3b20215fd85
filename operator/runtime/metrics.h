// What a program counts and measures, and its text for Prometheus. Safe from every thread.
//
// Event counters and histograms are made once and kept by handle. Series of one job (labels
// namespace, job_name) are made at scrape time by a collector from the job's state, and so vanish
// with the job. Names are the caller's whole names (`muster_..._total`); asking twice for one
// series gives the same.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace muster::runtime {

using Labels = std::map<std::string, std::string>;

// Handles are small and copyable; they live as long as their Metrics. One without a series does
// nothing, so that code under test needs no Metrics.
class Counter {
 public:
  Counter() = default;
  explicit Counter(prometheus::Counter* series) : series_(series) {}
  void Increment(double by = 1) const;  // by >= 0
  double Value() const;

 private:
  prometheus::Counter* series_ = nullptr;
};

class Gauge {
 public:
  Gauge() = default;
  explicit Gauge(prometheus::Gauge* series) : series_(series) {}
  void Set(double value) const;
  void Add(double by) const;
  double Value() const;

 private:
  prometheus::Gauge* series_ = nullptr;
};

class Histogram {
 public:
  Histogram() = default;
  explicit Histogram(prometheus::Histogram* series) : series_(series) {}
  void Observe(double value) const;

 private:
  prometheus::Histogram* series_ = nullptr;
};

// One value of a collected family.
struct Sample {
  Labels labels;
  double value = 0;
};
enum class SampleType { kCounter, kGauge };
// What a collector gives for one name.
struct Family {
  std::string name;
  std::string help;
  SampleType type = SampleType::kGauge;
  std::vector<Sample> samples;
};

class Metrics final {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter MakeCounter(std::string_view name, std::string_view help, const Labels& labels = {});
  Gauge MakeGauge(std::string_view name, std::string_view help, const Labels& labels = {});
  // `bounds` ascend; +Inf is added. A name has one set of bounds: the first asked for.
  Histogram MakeHistogram(std::string_view name, std::string_view help,
                          const std::vector<double>& bounds, const Labels& labels = {});
  // Called at each scrape, one at a time; must be quick and must not call Metrics.
  void AddCollector(std::function<std::vector<Family>()> collect);
  // muster_build_info{version, build_id, program} 1
  void AddBuildInfo(std::string_view program);

  // Everything in Prometheus' text format.
  std::string Text() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Bounds from 1 ms to 60 s for latencies of membership, and of steps.
std::vector<double> SecondsBounds();

}  // namespace muster::runtime
