// A machine with members played by hand, and the transcript of what was said. Invariants are
// checked after every step. Beats go without saying: every live stream beats each 100 ms while time
// passes.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/membership/machine.h"

namespace muster::membership {

std::string Render(const Command& command);  // render.cc; empty: not worth a line
Config MakeConfig(int desired, int min,
                  int slots = 8);  // three seconds of steps and a checkpoint path

class Rig {
 public:
  explicit Rig(Config config);

  Rig& Start();
  Rig& After(int ms);  // ticks of 10 ms, beats of the living
  Rig& Say(base::MemberId id, api::MemberMessage message, const std::string& label);
  Rig& Do(const Event& event, const std::string& label);
  Rig& Hello(base::MemberId id, api::Hello hello = {});  // on a new stream
  Rig& Join(std::vector<int> ordinals);                  // Hello and Warm
  Rig& Close(base::MemberId id);                         // its stream breaks
  Rig& Silence(base::MemberId id);                       // stopped: no more beats
  Rig& Installed(std::vector<base::MemberId> ids, int epoch, int resume);
  Rig& Committed(std::vector<base::MemberId> ids, int epoch, int step, std::uint64_t digest = 0);
  Rig& Ready(base::MemberId id, int epoch, int committed, std::vector<api::Slot> kept = {},
             int kept_step = 0, int attempt = 0);
  Rig& Part(base::MemberId id, int epoch, int step, const std::string& error = "");
  Rig& Beat(base::MemberId id, api::MemberPhase phase, int step);
  Rig& Answer(api::PersistOutcome outcome, std::optional<api::Record> current = {});

  void ExpectGolden(const std::string& name) const;  // testdata/<name>.txt
  std::vector<Command> Take() { return std::exchange(all_, {}); }

  bool answer_writes = true;   // every Persist lands at once
  std::string device = "cpu";  // what those who Join say
  std::optional<Persist> last_write;
  Machine machine;
  base::Time now;

 private:
  void Obey(const Commands& commands);

  std::string log_;
  std::vector<Command> all_;
  std::map<base::MemberId, StreamId> streams_;
  std::map<base::MemberId, api::MemberPhase> phases_;
  std::set<base::MemberId> silent_;
  StreamId next_stream_ = 1;
  std::uint64_t beats_ = 0;
};

inline base::MemberId M(int ordinal, int incarnation = 0) { return {ordinal, incarnation}; }
// What a state of `step` looks like in every fault-free world.
inline std::uint64_t DigestOf(int step) { return 0xd000 + static_cast<std::uint64_t>(step); }

// A rig whose members `ordinals` hold view 1 and have committed `step`; what was said until then is
// taken.
Rig Running(std::vector<int> ordinals, int step, Config config);
Rig RunningAll(int n, int step, Config config);  // members 0 to n - 1

template <typename T>
std::vector<T> Only(const std::vector<Command>& commands) {
  std::vector<T> out;
  for (const Command& c : commands) {
    if (const T* t = std::get_if<T>(&c)) out.push_back(*t);
  }
  return out;
}

template <typename T>
std::vector<T> Said(const std::vector<Command>& commands) {
  std::vector<T> out;
  for (const Send& send : Only<Send>(commands)) {
    if (const T* t = std::get_if<T>(&send.message.message)) out.push_back(*t);
  }
  return out;
}

// The texts of the notes among them.
std::vector<std::string> Notes(const std::vector<Command>& commands);

}  // namespace muster::membership
