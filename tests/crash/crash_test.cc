// The operator is killed after every write to the API server in the scripted life of a job, and
// started again: no duplicate pod, no lost job, the same end, the same bits.
//
// The first life has no fault; its log of writes is the list of crash points, and is printed. Each
// of the others has one, and they run side by side: they mostly wait.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <thread>

#include "operator/kube/cpprest_transport.h"
#include "operator/runtime/log.h"
#include "tests/crash/life.h"
#include "tests/worker/scratch_folder.h"

namespace muster::crash {
namespace {

constexpr int kAtOnce = 9;
// Writes whose number is not the same in all lives: status and Events are written as often as there
// is something to say. Of those that were listed so many have to be met.
constexpr double kMostMissed = 0.2;

std::string Writes(const LifeResult& life) {
  std::string text;
  for (const kubetest::WriteRecord& write : life.writes) text += "  " + ToString(write) + "\n";
  return text;
}

std::string Print(const LifeResult& life) {
  std::string text;
  for (const std::string& wrong : life.wrongs) text += wrong + "\n";
  return text + "its writes:\n" + Writes(life) + "the operator's words:\n" + life.log +
         "the workers' words:\n" + life.workers;
}

bool IsWell(const LifeResult& life, const LifeResult& calm) {
  return life.wrongs.empty() && life.end == calm.end && life.creates == calm.creates;
}

class CrashTest : public testing::Test {
 protected:
  LifeResult Live(int number, std::optional<CrashPoint> point) {
    Life::Options options;
    options.muster = MUSTER_BINARY_DIR "/bin/muster";
    options.folder = scratch_ / std::to_string(number);
    std::filesystem::create_directories(options.folder);
    // An address of its own: nobody else's connection takes its port while it is down.
    options.host = "127." + std::to_string(1 + getpid() / 250 % 250) + "." +
                   std::to_string(1 + getpid() % 250) + "." + std::to_string(1 + number);
    options.point = std::move(point);
    Life life(std::move(options));
    LifeResult result = life.Run();
    result.log = ReadAll(scratch_ / (std::to_string(number) + "/operator.log"));
    return result;
  }
  // One life for each point, some at a time, and judged at once; in their order.
  std::vector<LifeResult> LiveAll(const std::vector<CrashPoint>& points, const LifeResult& calm) {
    std::vector<LifeResult> out(points.size());
    std::atomic<std::size_t> next = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < kAtOnce; ++i) {
      threads.emplace_back([&] {
        for (std::size_t n = next++; n < points.size(); n = next++) {
          out[n] = Live(static_cast<int>(n) + 1, points[n]);
          Judge(points[n], out[n], calm);
        }
      });
    }
    threads.clear();
    return out;
  }
  void Judge(const CrashPoint& point, const LifeResult& life, const LifeResult& calm) {
    EXPECT_TRUE(life.wrongs.empty()) << ToString(point);
    EXPECT_EQ(life.end, calm.end) << ToString(point);
    EXPECT_EQ(life.creates, calm.creates) << ToString(point);
    if (!IsWell(life, calm)) Tell("the life with " + ToString(point) + ":\n" + Print(life));
  }

  void Tell(const std::string& text) const { log_.Info("crash", text); }

  // Once more and short, as the last words: of a long log the end is what one is shown.
  void TellInShort(const std::vector<CrashPoint>& points, const std::vector<LifeResult>& lives,
                   const LifeResult& calm) const {
    for (std::size_t i = 0; i < lives.size(); ++i) {
      if (IsWell(lives[i], calm)) continue;
      std::string text = "went wrong: the life with " + ToString(points[i]) + ":";
      for (const std::string& wrong : lives[i].wrongs) text += "\n  " + wrong.substr(0, 300);
      if (lives[i].creates != calm.creates) {
        text += "\n  pods made: " + std::to_string(lives[i].creates) + ", without a fault " +
                std::to_string(calm.creates);
      }
      if (lives[i].end != calm.end) text += "\n  its end:\n" + lives[i].end;
      Tell(text);
    }
  }

  ScratchFolder scratch_;
  const runtime::Logger log_{{}};
};

TEST_F(CrashTest, AnOperatorThatIsKilledAfterAnyWriteGoesOnAsIfItHadNot) {
  kube::PrepareProcessForHttps();
  const LifeResult calm = Live(0, std::nullopt);
  ASSERT_TRUE(calm.wrongs.empty()) << Print(calm);
  Tell("the writes of a life without faults:\n" + Writes(calm) + "in " +
       std::to_string(calm.seconds) + " s, to this end:\n" + calm.end);

  std::vector<Fault> faults = {Fault::kKilledUnanswered};
  const char* all = std::getenv("MUSTER_CRASH_FAULTS");
  if (all != nullptr && std::string(all) == "all") {
    faults.insert(faults.end(), {Fault::kKilledAnswered, Fault::kAnswerLost});
  }
  std::vector<CrashPoint> points;
  for (const Fault fault : faults) {
    for (CrashPoint point : calm.points) {
      point.fault = fault;
      points.push_back(point);
    }
  }
  if (const char* only = std::getenv("MUSTER_CRASH_POINT")) {
    std::erase_if(points, [only](const CrashPoint& p) { return !ToString(p).starts_with(only); });
  }
  ASSERT_FALSE(points.empty()) << "no write of the calm life is meant";
  const std::vector<LifeResult> lives = LiveAll(points, calm);
  std::size_t missed = 0;
  std::map<std::string, bool> reached;  // by what the write is
  double longest = 0;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!lives[i].reached) ++missed;
    bool& once = reached[points[i].what];
    once = once || lives[i].reached;
    longest = std::max(longest, lives[i].seconds);
  }
  for (const auto& [what, met] : reached) EXPECT_TRUE(met) << what;
  EXPECT_LE(static_cast<double>(missed), kMostMissed * static_cast<double>(points.size()));
  Tell(std::to_string(points.size()) + " lives with a fault, of which " + std::to_string(missed) +
       " did not come to their write; the longest took " + std::to_string(longest) + " s");
  TellInShort(points, lives, calm);
}

}  // namespace
}  // namespace muster::crash
