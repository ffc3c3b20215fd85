// The rig: plays members, obeys Persist, writes the transcript.
#include "tests/operator/membership/rig.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

namespace muster::membership {

Config MakeConfig(int desired, int min, int slots) {
  Config config;
  config.job_uid = "uid";
  config.token = "secret";
  config.spec.workers.replicas = config.spec.workers.max_replicas = desired;
  config.spec.workers.min_replicas = min;
  config.spec.training.steps = 20;
  config.spec.training.slots = slots;
  config.welcome.checkpoint_path = "checkpoints";
  config.wall_at_zero = base::WallTime(std::chrono::seconds(1000));
  return config;
}

Rig::Rig(Config config) : machine(std::move(config)) {}

void Rig::Obey(const Commands& commands) {
  for (const Command& command : commands) {
    const std::string line = Render(command);
    if (!line.empty()) log_ += "    " + line + "\n";
    all_.push_back(command);
  }
  for (const std::string& sentence : Invariants(machine)) ADD_FAILURE() << sentence << "\n" << log_;
  for (const Command& command : commands) {
    const auto* write = std::get_if<Persist>(&command);
    if (write == nullptr) continue;
    last_write = *write;
    if (answer_writes) Answer(api::PersistOutcome::kOk);
  }
}

Rig& Rig::Do(const Event& event, const std::string& label) {
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  const Commands commands = machine.Step(now, event);
  bool loud = !label.empty();
  for (const Command& command : commands) loud = loud || !Render(command).empty();
  if (loud) {
    log_ += std::to_string(ms.count()) + " " + (label.empty() ? "tick" : label) + "\n";
  }
  Obey(commands);
  return *this;
}

Rig& Rig::Start() { return Do(membership::Start{}, "start"); }

Rig& Rig::After(int ms) {
  const base::Time until = now + std::chrono::milliseconds(ms);
  while (now < until) {
    now += std::chrono::milliseconds(10);
    if (now.time_since_epoch() % std::chrono::milliseconds(100) == base::Duration(0)) {
      for (const auto& [id, stream] : std::map(streams_)) {
        if (silent_.contains(id)) continue;
        Do(Received{stream, {{}, api::Heartbeat{++beats_, phases_[id], {}, beats_}}}, "");
      }
    }
    Do(Tick{}, "");
  }
  return *this;
}

Rig& Rig::Say(base::MemberId id, api::MemberMessage message, const std::string& label) {
  return Do(Received{streams_[id], {{}, std::move(message)}}, base::ToString(id) + " " + label);
}

Rig& Rig::Hello(base::MemberId id, api::Hello hello) {
  hello.job_uid = "uid";
  hello.token = "secret";
  hello.member = id;
  hello.pid = 1000 + id.ordinal * 10 + id.incarnation;
  hello.node = "node-" + std::to_string(id.ordinal / 2);
  hello.build_id = "build";
  hello.kernel_families = {"SkylakeX", "Haswell"};
  if (hello.phase != api::MemberPhase::kJoining) {
    hello.address = "host:" + std::to_string(7000 + id.ordinal);
  }
  streams_[id] = next_stream_++;
  phases_[id] = hello.phase;
  return Say(id, hello,
             "Hello epoch " + std::to_string(hello.epoch.value) + " committed " +
                 std::to_string(hello.committed.value));
}

Rig& Rig::Join(std::vector<int> ordinals) {
  for (const int ordinal : ordinals) {
    int incarnation = 0;
    while (silent_.contains(M(ordinal, incarnation)) || phases_.contains(M(ordinal, incarnation))) {
      ++incarnation;
    }
    const base::MemberId id = M(ordinal, incarnation);
    Hello(id);
    phases_[id] = api::MemberPhase::kWarm;
    Say(id,
        api::Warm{"host:" + std::to_string(7000 + ordinal), "SkylakeX", "data", 10, 2.1, device},
        "Warm");
  }
  return *this;
}

Rig& Rig::Close(base::MemberId id) {
  const StreamId stream = streams_[id];
  streams_.erase(id);
  return Do(StreamClosed{stream}, base::ToString(id) + " stream closed");
}

Rig& Rig::Silence(base::MemberId id) {
  silent_.insert(id);
  return *this;
}

Rig& Rig::Installed(std::vector<base::MemberId> ids, int epoch, int resume) {
  for (const base::MemberId id : ids) {
    phases_[id] = api::MemberPhase::kForward;
    Say(id,
        api::Installed{base::Epoch(epoch), base::Step(resume), DigestOf(resume - 1), 0.01, 0.02},
        "Installed " + std::to_string(epoch));
  }
  return *this;
}

Rig& Rig::Committed(std::vector<base::MemberId> ids, int epoch, int step, std::uint64_t digest) {
  for (const base::MemberId id : ids) {
    api::Committed c;
    c.epoch = base::Epoch(epoch);
    c.step = base::Step(step);
    c.digest = digest != 0 ? digest : DigestOf(step);
    c.loss = 1.0 / step;
    c.tokens = 128;
    c.slots_computed = 2;
    Say(id, c, "Committed " + std::to_string(step));
  }
  return *this;
}

Rig& Rig::Ready(base::MemberId id, int epoch, int committed, std::vector<api::Slot> kept,
                int kept_step, int attempt) {
  phases_[id] = api::MemberPhase::kReady;
  api::Ready ready{base::Epoch(epoch), base::Step(committed), DigestOf(committed), true, {}};
  ready.kept.tag = {base::Step(kept_step == 0 ? committed + 1 : kept_step), attempt, 0};
  ready.kept.slots = std::move(kept);
  return Say(id, ready, "Ready committed " + std::to_string(committed));
}

Rig& Rig::Part(base::MemberId id, int epoch, int step, const std::string& error) {
  api::CheckpointPart part;
  part.epoch = base::Epoch(epoch);
  part.step = base::Step(step);
  part.state_digest = DigestOf(step);
  part.part_json = "part-" + base::ToString(id);
  part.error = error;
  return Say(id, part, "CheckpointPart " + std::to_string(step));
}

Rig& Rig::Beat(base::MemberId id, api::MemberPhase phase, int step) {
  phases_[id] = phase;
  return Say(id, api::Heartbeat{++beats_, phase, base::Step(step), beats_}, "beat");
}

Rig& Rig::Answer(api::PersistOutcome outcome, std::optional<api::Record> current) {
  const char* words[] = {"Ok", "Conflict", "Unknown"};
  return Do(Persisted{outcome, std::move(current)},
            std::string("persisted ") + words[static_cast<int>(outcome)]);
}

void Rig::ExpectGolden(const std::string& name) const {
  const std::string path =
      std::string(MUSTER_SOURCE_DIR) + "/tests/operator/membership/testdata/" + name + ".txt";
  if (std::getenv("MUSTER_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(path) << log_;
    return;
  }
  std::ifstream file(path);
  ASSERT_TRUE(file) << path << " is not there; MUSTER_UPDATE_GOLDEN=1 writes it";
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(log_, golden.str()) << "MUSTER_UPDATE_GOLDEN=1 rewrites " << path;
}

Rig RunningAll(int n, int step, Config config) {
  std::vector<int> ordinals(static_cast<std::size_t>(n));
  std::iota(ordinals.begin(), ordinals.end(), 0);
  return Running(std::move(ordinals), step, std::move(config));
}

Rig Running(std::vector<int> ordinals, int step, Config config) {
  Rig rig(std::move(config));
  std::vector<base::MemberId> ids;
  for (const int ordinal : ordinals) ids.push_back(M(ordinal));
  rig.Start().Join(std::move(ordinals)).Installed(ids, 1, 1);
  for (int s = 1; s <= step; ++s) rig.After(20).Committed(ids, 1, s);
  rig.Take();
  return rig;
}

std::vector<std::string> Notes(const std::vector<Command>& commands) {
  std::vector<std::string> out;
  for (const Note& note : Only<Note>(commands)) out.push_back(note.text);
  return out;
}

}  // namespace muster::membership
