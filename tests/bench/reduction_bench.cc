// What Exact64 and Exact32 cost a member beside Float, apart from the network: one slot with its
// gradient added in the fused pass, emptying the sums, the linear checksum, and norm, update and
// digest. GPT-2 124M (B = 4, T = 64) or the example's small model, through the trainer that workers
// run.
//
//   reduction_bench [--threads N] [--repeats N] [--rounds N] [--model 124m|small] [--members N]
//                   [--slots M]
//
// Reductions take turns over the rounds, so that a busy machine disturbs all alike. Beside wall
// time stands the process's own CPU time, which neighbours disturb less. The estimate at the end is
// the step of one of N members with M slots, without ring and waiting; hack/bench/step has those.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "operator/base/rng.h"
#include "worker/kernels/family.h"
#include "worker/kernels/gemm.h"
#include "worker/kernels/table.h"
#include "worker/train/host_engine.h"
#include "worker/train/trainer.h"

namespace muster {
namespace {

struct Options {
  int threads = 1;
  int repeats = 4;
  int rounds = 2;
  int members = 2;
  int slots = 16;
  bool small = false;
};

// Seconds of wall and of this process's CPUs.
struct Moment {
  double wall = 0;
  double cpu = 0;
};

Moment Now() {
  timespec cpu{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  const auto wall = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(wall).count(),
          static_cast<double>(cpu.tv_sec) + static_cast<double>(cpu.tv_nsec) * 1e-9};
}

double Median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

// The samples of one part of a step.
struct Part {
  std::vector<double> wall, cpu;
  void Add(const Moment& from, const Moment& to) {
    wall.push_back(to.wall - from.wall);
    cpu.push_back(to.cpu - from.cpu);
  }
};

enum Phase { kClear, kSlot, kCheck, kApply, kPhases };
constexpr const char* kNames[kPhases] = {"clear", "slot", "check", "apply"};
using Parts = std::vector<Part>;

// Random tokens in a file of its own, gone with the object.
class TokenFile {
 public:
  explicit TokenFile(std::int32_t vocabulary) {
    path_ = std::filesystem::temp_directory_path() /
            ("muster-reduction-bench." + std::to_string(getpid()) + ".bin");
    base::SplitMix rng(1);
    std::vector<std::uint16_t> tokens(1 << 16);
    for (auto& token : tokens) {
      token = static_cast<std::uint16_t>(rng.Below(static_cast<std::uint64_t>(vocabulary)));
    }
    std::ofstream(path_, std::ios::binary)
        .write(reinterpret_cast<const char*>(tokens.data()),
               static_cast<std::streamsize>(tokens.size() * sizeof(std::uint16_t)));
  }
  ~TokenFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TokenFile(const TokenFile&) = delete;
  TokenFile& operator=(const TokenFile&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

// One slot of a step and all that follows it, as often as exponents ask for.
absl::Status RunStep(train::Trainer& trainer, base::Step step, const api::TrainingJobSpec& spec,
                     Parts& parts) {
  api::SumTag tag{step, 0, trainer.ExponentsInForce()};
  while (true) {
    const Moment start = Now();
    trainer.ClearSums(tag);
    const Moment cleared = Now();
    trainer.AddSlot(static_cast<api::Slot>(step.value % spec.training.slots));
    const Moment computed = Now();
    // What the ring does for a member that is alone.
    for (const train::ReduceVector& vector : trainer.PrepareReduction({})) {
      std::memcpy(vector.out.data(), vector.in.data(), vector.in.size());
    }
    const Moment reduced = Now();
    const train::ReduceOutcome outcome = trainer.FinishReduction();
    const Moment checked = Now();
    if (!outcome.checksum_ok) return base::DataLoss(outcome.detail);
    if (outcome.saturated) {
      tag = {step, tag.attempt + 1, outcome.next_exponents};
      continue;
    }
    trainer.Apply(step);
    const Moment applied = Now();
    parts[kClear].Add(start, cleared);
    parts[kSlot].Add(cleared, computed);
    parts[kCheck].Add(reduced, checked);
    parts[kApply].Add(checked, applied);
    return absl::OkStatus();
  }
}

absl::Status RunReduction(const Options& options, const api::TrainingJobSpec& spec, Parts& parts) {
  MUSTER_ASSIGN_OR_RETURN(auto program, model::MakeProgram(spec.program, options.threads));
  MUSTER_ASSIGN_OR_RETURN(auto dataset, data::Dataset::Open(spec.data, program->sample_tokens(),
                                                            spec.program.config.vocabulary));
  train::TrainerOptions made;
  made.spec = spec;
  made.engine = train::MakeHostEngine(spec, std::move(program), kernels::ActiveCore());
  made.dataset = dataset.get();
  train::Trainer trainer(std::move(made));
  trainer.MakeFresh();
  for (int repeat = 0; repeat <= options.repeats; ++repeat) {
    // The first warms up; Exact32 takes its exponents there and saturates (E5).
    Parts warm(kPhases);
    MUSTER_RETURN_IF_ERROR(
        RunStep(trainer, base::Step(repeat + 1), spec, repeat == 0 ? warm : parts));
  }
  return absl::OkStatus();
}

// One member's step in ms.
double Estimate(const Options& options, const std::vector<double>& phases) {
  const int own = (options.slots + options.members - 1) / options.members;
  return phases[kClear] + phases[kSlot] * own + phases[kCheck] + phases[kApply];
}

void Print(const Options& options, const std::vector<std::string>& names,
           const std::vector<Parts>& results) {
  for (const bool cpu : {false, true}) {
    std::printf("%s\nmedian ms", cpu ? "CPU time" : "wall time");
    for (const char* name : kNames) std::printf("%10s", name);
    std::printf("%22s\n", "step without ring");
    double float_step = 0;
    for (std::size_t r = 0; r < names.size(); ++r) {
      std::vector<double> medians;
      for (const Part& part : results[r])
        medians.push_back(Median(cpu ? part.cpu : part.wall) * 1e3);
      const double step = Estimate(options, medians);
      if (r == 0) float_step = step;
      std::printf("%-9s", names[r].c_str());
      for (double ms : medians) std::printf("%10.1f", ms);
      std::printf("%14.0f %+6.1f %%\n", step, (step / float_step - 1) * 100);
    }
  }
}

int Run(const Options& options) {
  api::TrainingJobSpec spec;
  if (!options.small) {
    spec.program.config = {
        .layers = 12, .heads = 12, .width = 768, .context = 64, .batch = 4, .vocabulary = 50304};
  }
  spec.training.slots = options.slots;
  spec.training.steps = options.repeats + 1;
  const TokenFile tokens(std::min(spec.program.config.vocabulary, 50257));
  spec.data = {tokens.path(), api::DataFormat::kTokens16};
  std::printf("core %s, kernels %s, %s\n%d members, %d slots, %d threads, %d x %d repeats\n",
              kernels::ActiveCore().c_str(), kernels::BestKernels().name,
              kernels::BlasDescription().c_str(), options.members, options.slots, options.threads,
              options.rounds, options.repeats);
  const std::vector<api::Reduction> kinds = {api::Reduction::kFloat, api::Reduction::kExact64,
                                             api::Reduction::kExact32};
  std::vector<Parts> results(kinds.size(), Parts(kPhases));
  for (int round = 0; round < options.rounds; ++round) {
    for (std::size_t r = 0; r < kinds.size(); ++r) {
      spec.training.reduction = kinds[r];
      const absl::Status status = RunReduction(options, spec, results[r]);
      if (!status.ok()) {
        std::fprintf(stderr, "reduction_bench: %s\n", base::Message(status).c_str());
        return 2;
      }
    }
  }
  Print(options, {"Float", "Exact64", "Exact32"}, results);
  return 0;
}

bool Parse(const std::string& name, const std::string& value, Options& options) {
  if (name == "--model") {
    options.small = value == "small";
    return value == "124m" || value == "small";
  }
  const int number = std::atoi(value.c_str());
  if (number < 1) return false;
  if (name == "--threads")
    options.threads = number;
  else if (name == "--repeats")
    options.repeats = number;
  else if (name == "--rounds")
    options.rounds = number;
  else if (name == "--members")
    options.members = number;
  else if (name == "--slots")
    options.slots = number;
  else
    return false;
  return true;
}

}  // namespace
}  // namespace muster

int main(int argc, char** argv) {
  muster::Options options;
  for (int i = 1; i < argc; i += 2) {
    if (!muster::Parse(argv[i], i + 1 < argc ? argv[i + 1] : "", options)) {
      std::fprintf(stderr,
                   "usage: reduction_bench [--threads N] [--repeats N] [--rounds N] "
                   "[--model 124m|small] [--members N] [--slots M]\n");
      return 2;
    }
  }
  return muster::Run(options);
}
