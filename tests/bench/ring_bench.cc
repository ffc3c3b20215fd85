// How soon an abort ends a reduction: from the call, made by another thread, to the moment at which
// the thread that owns the communicator has its status back (worker/comm/communicator.h).
//
//   ring_bench [--aborts N] [--members N] [--megabytes N] [--seed N] [--tls N]
//
// With --tls everything is measured on a plain ring and on one with TLS, in turn, and before the
// aborts N reductions are timed, and connecting for itself.
//
// Members are threads of this process, joined over loopback. Each owner polls as a worker's
// communicator lane does; reductions follow each other without a pause, so that an abort at a
// random moment falls into one. Rings are connected anew for every abort. `Abort` is the
// communicator's own call, `flag` the flag that it was connected with, which is what a worker sets;
// `all back` is when the last member knew, the others from goodbyes alone.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/rng.h"
#include "operator/runtime/build_info.h"
#include "operator/runtime/certificates.h"
#include "operator/runtime/clock.h"
#include "worker/comm/ring.h"
#include "worker/comm/tls.h"

namespace muster::comm {
namespace {

struct Options {
  int aborts = 250;
  int members = 0;  // 0: two, three and four in turn
  int megabytes = 4;
  std::uint64_t seed = 1;
  int reductions = 0;  // timed on either wire; 0: plain alone, and none is timed
};

// The papers of every member of one group, made as the operator makes them.
class Authority {
 public:
  explicit Authority(const std::string& job) : job_(job) {
    const auto now = runtime::RealClock().WallNow();
    authority_ =
        runtime::MakeAuthority("bench", runtime::ValidFor(now, std::chrono::hours(24))).value();
  }
  std::unique_ptr<Tls> Admit(base::MemberId member) const {
    const auto request = runtime::MakeRequest().value();
    const auto now = runtime::RealClock().WallNow();
    const auto leaf = runtime::SignMember(authority_, request.request_pem, {job_, member},
                                          runtime::ValidFor(now, std::chrono::hours(24)))
                          .value();
    const Papers papers{
        std::make_shared<const runtime::Identity>(runtime::Identity{leaf, request.key_pem}),
        authority_.certificate_pem};
    Tls::Options options;
    options.job_uid = job_;
    options.papers = [papers] { return papers; };
    return std::make_unique<Tls>(std::move(options));
  }

 private:
  const std::string job_;
  runtime::Identity authority_;
};

enum class Way { kAbort, kFlag };

// Longest wait before an abort; a reduction takes a few milliseconds.
constexpr std::uint64_t kMostMicroseconds = 15'000;
constexpr base::Duration kPoll = std::chrono::milliseconds(20);

double Milliseconds(base::Duration d) { return base::ToSeconds(d) * 1e3; }

class Group {
 public:
  Group(std::size_t members, std::size_t bytes, bool tls) {
    const Authority authority("ring-bench");
    for (std::size_t i = 0; i < members; ++i) {
      const base::MemberId member{static_cast<std::int32_t>(i), 0};
      tls_.push_back(tls ? authority.Admit(member) : nullptr);
      ListenerOptions options;
      options.job_uid = "ring-bench";
      options.token = "token";
      options.tls = tls_.back().get();
      auto listener = DataListener::Create(std::move(options));
      if (!listener.ok()) Give(listener.status());
      peers_.push_back({member, (*listener)->address()});
      listeners_.push_back(*std::move(listener));
      in_.emplace_back(bytes);
      out_.emplace_back(bytes);
    }
  }

  // Connects a view and reduces `times` times: how long each took, in ms, for rank 0, and how long
  // all members took to connect.
  std::vector<double> Time(int times, double* connecting) {
    ++epoch_.value;
    const std::size_t n = peers_.size();
    const base::Time begun = Now();
    std::vector<base::Time> connected(n);
    std::vector<double> took;
    std::vector<std::jthread> owners;
    for (std::size_t i = 0; i < n; ++i) {
      owners.emplace_back([&, i] {
        const auto ring = Connect(i, std::make_shared<AbortFlag>());
        connected[i] = Now();
        for (int k = 0; k < times; ++k) {
          const base::Time start = Now();
          if (const auto status = ReduceOnce(*ring, in_[i], out_[i]); !status.ok()) Give(status);
          if (i == 0) took.push_back(Milliseconds(Now() - start));
        }
      });
    }
    owners.clear();  // joins
    *connecting = Milliseconds(*std::ranges::max_element(connected) - begun);
    return took;
  }

  struct Latency {
    double own = 0;  // ms until the aborted member's owner was back
    double all = 0;  // ms until the last member's was
  };

  // Connects a view, aborts `victim` after `wait`, and tells how long it took.
  Latency AbortOnce(std::size_t victim, Way way, std::chrono::microseconds wait) {
    ++epoch_.value;
    const std::size_t n = peers_.size();
    std::vector<std::unique_ptr<Ring>> rings(n);
    std::vector<std::shared_ptr<AbortFlag>> flags(n);
    std::vector<base::Time> back(n);
    std::atomic<std::size_t> running{0};
    std::vector<std::jthread> owners;
    for (std::size_t i = 0; i < n; ++i) {
      flags[i] = std::make_shared<AbortFlag>();
      owners.emplace_back([&, i] {
        rings[i] = Connect(i, flags[i]);
        ++running;
        Reduce(*rings[i], in_[i], out_[i]);
        back[i] = Now();
        // As a worker does: so the goodbye goes round. The victim's ring must outlive Abort.
        if (i != victim) rings[i].reset();
      });
    }
    while (running.load() < n) std::this_thread::sleep_for(std::chrono::microseconds(50));
    std::this_thread::sleep_for(wait);
    const base::Time begun = Now();
    if (way == Way::kAbort) {
      rings[victim]->Abort();
    } else {
      flags[victim]->Set();
    }
    owners[victim].join();
    rings[victim].reset();  // says goodbye where a flag could not
    owners.clear();         // joins
    Latency latency{Milliseconds(back[victim] - begun), 0};
    for (base::Time at : back) {
      latency.all = std::max(latency.all, Milliseconds(at - begun));
    }
    return latency;
  }

 private:
  [[noreturn]] static void Give(const absl::Status& status) {
    std::fprintf(stderr, "ring_bench: %s\n", base::Message(status).c_str());
    std::exit(2);
  }

  std::unique_ptr<Ring> Connect(std::size_t rank, const std::shared_ptr<AbortFlag>& flag) const {
    RingOptions options;
    options.listener = listeners_[rank].get();
    options.epoch = epoch_;
    options.rank = static_cast<std::int32_t>(rank);
    options.peers = peers_;
    options.deadline = Now() + std::chrono::seconds(10);
    options.abort = flag;
    auto connected = Ring::Connect(std::move(options));
    if (!connected.status.ok()) Give(connected.status);
    return std::move(connected.ring);
  }

  static absl::Status ReduceOnce(Ring& ring, std::vector<std::byte>& in,
                                 std::vector<std::byte>& out) {
    MUSTER_RETURN_IF_ERROR(ring.BeginAllReduce({ReduceOp::kSum, ElementType::kInt64, in, out}));
    auto done = ring.Poll(base::Duration(0));
    while (!done) done = ring.Poll(kPoll);
    return *done;
  }

  // One reduction after the other until one does not end well. Only an abort may be the reason.
  static void Reduce(Ring& ring, std::vector<std::byte>& in, std::vector<std::byte>& out) {
    absl::Status status;
    while (status.ok()) status = ReduceOnce(ring, in, out);
    if (!absl::IsAborted(status)) Give(status);
  }

  base::Epoch epoch_{0};
  std::vector<std::unique_ptr<Tls>> tls_;
  std::vector<std::unique_ptr<DataListener>> listeners_;
  std::vector<RingPeer> peers_;
  std::vector<std::vector<std::byte>> in_, out_;
};

void PrintRow(const char* name, std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  std::printf("  %-20s %9.3f %9.3f %9.3f\n", name, at(0.5), at(0.99), values.back());
}

constexpr const char* kWires[] = {"plain", "TLS"};

// Round by round on either wire, so that both meet the same load.
void MeasureReductions(const Options& options, int members) {
  constexpr int kRounds = 10;
  const std::size_t bytes = static_cast<std::size_t>(options.megabytes) << 20;
  Group plain(static_cast<std::size_t>(members), bytes, false);
  Group tls(static_cast<std::size_t>(members), bytes, true);
  Group* const groups[] = {&plain, &tls};
  std::vector<double> took[2], connecting[2];
  for (int round = 0; round < kRounds; ++round) {
    for (const int wire : {0, 1}) {
      double connect = 0;
      const auto times = groups[wire]->Time(std::max(options.reductions / kRounds, 1), &connect);
      took[wire].insert(took[wire].end(), times.begin(), times.end());
      connecting[wire].push_back(connect);
    }
  }
  std::printf("%d members, %d MiB, %zu reductions each\n", members, options.megabytes,
              took[0].size());
  std::printf("  %-20s %9s %9s %9s\n", "ms", "median", "p99", "max");
  for (const int wire : {0, 1}) {
    PrintRow((std::string(kWires[wire]) + " reduction").c_str(), took[wire]);
  }
  for (const int wire : {0, 1}) {
    PrintRow((std::string(kWires[wire]) + " connecting").c_str(), connecting[wire]);
  }
  for (const int wire : {0, 1}) {
    std::ranges::sort(took[wire]);
    const double seconds = took[wire][(took[wire].size() - 1) / 2] / 1e3;
    std::printf("  %-20s %9.0f MB/s of the buffer, at the median\n", kWires[wire],
                static_cast<double>(bytes) / 1e6 / seconds);
  }
  std::fflush(stdout);
}

void MeasureAborts(const Options& options, int members) {
  std::vector<std::unique_ptr<Group>> groups;
  for (const bool tls : {false, true}) {
    if (tls && options.reductions == 0) continue;
    groups.push_back(std::make_unique<Group>(
        static_cast<std::size_t>(members), static_cast<std::size_t>(options.megabytes) << 20, tls));
  }
  base::SplitMix chance(options.seed);
  std::printf("%d members, %d MiB, %d aborts each\n", members, options.megabytes, options.aborts);
  std::printf("  %-20s %9s %9s %9s\n", "ms", "median", "p99", "max");
  for (const Way way : {Way::kAbort, Way::kFlag}) {
    std::vector<double> own[2], all[2];
    for (int i = 0; i < options.aborts; ++i) {
      for (std::size_t wire = 0; wire < groups.size(); ++wire) {
        const auto victim =
            static_cast<std::size_t>(chance.Below(static_cast<std::uint64_t>(members)));
        const auto latency = groups[wire]->AbortOnce(
            victim, way, std::chrono::microseconds(chance.Below(kMostMicroseconds)));
        own[wire].push_back(latency.own);
        all[wire].push_back(latency.all);
      }
    }
    for (std::size_t wire = 0; wire < groups.size(); ++wire) {
      const std::string name = way == Way::kAbort ? "Abort" : "flag";
      PrintRow((wire == 0 ? name : name + ", TLS").c_str(), own[wire]);
      PrintRow("  all back", all[wire]);
    }
    std::fflush(stdout);
  }
}

void Measure(const Options& options, int members) {
  if (options.reductions > 0) MeasureReductions(options, members);
  MeasureAborts(options, members);
}

int Usage() {
  std::fputs(
      "usage: ring_bench [--aborts N] [--members N] [--megabytes N] [--seed N] "
      "[--tls N]\n"
      "  aborts 1 or more; members 2 to 16, else 2, 3 and 4 in turn; megabytes 1 to 1024;\n"
      "  tls: also with TLS, and N reductions timed on either wire\n",
      stderr);
  return 2;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) return Usage();
    const int value = std::atoi(argv[i + 1]);
    const std::string name = argv[i];
    if (name == "--aborts" && value >= 1) {
      options.aborts = value;
    } else if (name == "--members" && value >= 2 && value <= 16) {
      options.members = value;
    } else if (name == "--megabytes" && value >= 1 && value <= 1024) {
      options.megabytes = value;
    } else if (name == "--tls" && value >= 1) {
      options.reductions = value;
    } else if (name == "--seed") {
      options.seed = std::strtoull(argv[i + 1], nullptr, 10);
    } else {
      return Usage();
    }
  }
  std::printf("ring_bench %s (build %s)\n", std::string(runtime::Version()).c_str(),
              runtime::BuildId().c_str());
  for (int members : {2, 3, 4}) {
    if (options.members == 0) Measure(options, members);
  }
  if (options.members != 0) Measure(options, options.members);
  return 0;
}

}  // namespace
}  // namespace muster::comm

int main(int argc, char** argv) { return muster::comm::Main(argc, argv); }
