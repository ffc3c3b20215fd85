// See bench.h.
#include "tests/worker/session/bench.h"

#include <gtest/gtest.h>

#include <variant>

#include "worker/session/state.h"

namespace muster::session {

base::MemberId Id(std::int32_t ordinal) { return {ordinal, 0}; }

ViewBuilder::ViewBuilder(std::uint64_t epoch, const std::vector<std::int32_t>& ordinals,
                         std::int32_t slots) {
  view_.term = base::Term(1);
  view_.epoch = base::Epoch(epoch);
  view_.resume_step = base::Step(1);
  const auto n = static_cast<std::int32_t>(ordinals.size());
  for (std::int32_t r = 0; r < n; ++r) {
    api::ViewMember m;
    m.id = Id(ordinals[static_cast<std::size_t>(r)]);
    m.has_state = true;
    for (std::int32_t s = r * slots / n; s < (r + 1) * slots / n; ++s) m.slots.push_back(s);
    m.resume_slots = m.slots;
    view_.members.push_back(m);
  }
}
api::ViewMember& ViewBuilder::Of(std::int32_t ordinal) {
  return view_.members[static_cast<std::size_t>(RankOf(view_, Id(ordinal)))];
}
ViewBuilder& ViewBuilder::Fresh() {
  view_.fresh = true;
  for (api::ViewMember& m : view_.members) m.has_state = false;
  return *this;
}
ViewBuilder& ViewBuilder::Voluntary() {
  view_.voluntary = true;
  view_.resume_step = base::Step(0);
  return *this;
}
ViewBuilder& ViewBuilder::Finish() {
  view_.goal = api::ViewGoal::kFinish;
  return *this;
}
ViewBuilder& ViewBuilder::Evaluate() {
  view_.evaluate = true;
  return *this;
}
ViewBuilder& ViewBuilder::Resume(std::int64_t step, std::uint64_t digest) {
  view_.resume_step = base::Step(step);
  view_.state_digest = digest;
  return *this;
}
ViewBuilder& ViewBuilder::Tag(api::SumTag tag) {
  view_.resume_tag = tag;
  return *this;
}
ViewBuilder& ViewBuilder::Stateless(std::int32_t ordinal) {
  Of(ordinal).has_state = false;
  return *this;
}
ViewBuilder& ViewBuilder::Slots(std::int32_t ordinal, std::vector<api::Slot> resume,
                                std::vector<api::Slot> kept) {
  Of(ordinal).resume_slots = std::move(resume);
  Of(ordinal).kept_slots = std::move(kept);
  return *this;
}
ViewBuilder& ViewBuilder::Leaver(std::int32_t ordinal) {
  view_.leavers.push_back({Id(ordinal), "host:1"});
  return *this;
}
ViewBuilder& ViewBuilder::Restore(std::int64_t step) {
  api::CheckpointRef checkpoint;
  checkpoint.step = base::Step(step);
  view_.restore = checkpoint;
  view_.resume_step = base::Step(step + 1);
  for (api::ViewMember& m : view_.members) m.has_state = false;
  return *this;
}

namespace {
Config MakeConfig(std::int32_t ordinal, std::size_t reports_at_once) {
  Config config;
  config.job_uid = "uid";
  config.token = "token";
  config.member = Id(ordinal);
  config.node = "node-0";
  config.reports_at_once = reports_at_once;
  return config;
}
}  // namespace

Bench::Bench(std::int32_t ordinal, Options options)
    : options_(options),
      session_(MakeConfig(ordinal, options.reports_at_once)),
      now_(std::chrono::seconds(100)) {}

std::vector<std::string> Bench::Do(const Event& event) {
  std::vector<std::string> lines;
  for (const Command& command : session_.Step(now_, event)) {
    lines.push_back(Describe(command));
    if (const auto* clear = std::get_if<ClearSums>(&command)) tag = clear->tag;
    if (const auto* compute = std::get_if<ComputeSlots>(&command)) order_ = compute->slots;
  }
  for (const std::string& sentence : Invariants(session_))
    ADD_FAILURE() << Describe(event) << ": " << sentence;
  return lines;
}

std::vector<std::string> Bench::Hear(api::CoordinatorMessage message) {
  return Do(Received{{{term, heard}, std::move(message)}});
}

void Bench::Warm() {
  Do(StreamUp{});
  Hear(api::Welcome{});
  Loaded loaded;
  loaded.spec.training.steps = options_.steps;
  loaded.spec.training.evaluate_every_steps = options_.evaluate_every;
  loaded.spec.checkpoint.every_steps = options_.checkpoint_every;
  Do(loaded);
}

void Bench::Install(const api::View& view) {
  Hear(api::InstallView{view});
  if (view.fresh) Do(StateMade{7, 0});
  Do(RingReady{view.epoch, 0.01});
}

std::vector<std::string> Bench::Slots(const std::vector<api::Slot>& slots) {
  for (api::Slot slot : slots) {
    Do(SlotBegun{tag, slot});
    Do(SlotDone{tag, slot, 0.005, {}});
  }
  return Do(ComputeStopped{tag});
}

std::vector<std::string> Bench::Reduce() {
  next.epoch = epoch();
  next.tag = tag;
  const Reduced event = next;
  next = Reduced{};
  return Do(event);
}

std::vector<std::string> Bench::Apply() {
  Applied applied;
  applied.step = tag.step;
  applied.digest = static_cast<std::uint64_t>(100 + tag.step.value);
  return Do(applied);
}

void Bench::FullStep() {
  Slots(order_);
  Reduce();
  Apply();
}

void Bench::Beat() {
  ++beats_;
  Do(BeatSent{beats_});
  Hear(api::BeatAck{beats_});
}

}  // namespace muster::session
