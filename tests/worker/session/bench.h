// A session on a bench: events in, a transcript out, invariants checked after each step. Fluent
// builders for the views that tests need.
#pragma once

#include <string>
#include <vector>

#include "tests/worker/session/describe.h"
#include "worker/session/session.h"

namespace muster::session {

base::MemberId Id(std::int32_t ordinal);

// A view of members with ordinals as given; slots are dealt to them in blocks.
class ViewBuilder {
 public:
  ViewBuilder(std::uint64_t epoch, const std::vector<std::int32_t>& ordinals,
              std::int32_t slots = 6);
  ViewBuilder& Fresh();
  ViewBuilder& Voluntary();
  ViewBuilder& Finish();
  ViewBuilder& Evaluate();
  ViewBuilder& Resume(std::int64_t step, std::uint64_t digest);
  ViewBuilder& Tag(api::SumTag tag);
  ViewBuilder& Stateless(std::int32_t ordinal);
  ViewBuilder& Slots(std::int32_t ordinal, std::vector<api::Slot> resume,
                     std::vector<api::Slot> kept);
  ViewBuilder& Leaver(std::int32_t ordinal);
  ViewBuilder& Restore(std::int64_t step);
  operator api::View() const { return view_; }  // NOLINT: builders convert

 private:
  api::ViewMember& Of(std::int32_t ordinal);
  api::View view_;
};

class Bench {
 public:
  struct Options {
    std::int64_t steps = 10;
    std::int64_t checkpoint_every = 0;
    std::int64_t evaluate_every = 0;
    std::size_t reports_at_once = 128;
  };
  explicit Bench(std::int32_t ordinal = 0) : Bench(ordinal, Options{}) {}
  Bench(std::int32_t ordinal, Options options);

  // The commands of this step as lines; ADD_FAILUREs on a broken invariant.
  std::vector<std::string> Do(const Event& event);
  std::vector<std::string> Hear(api::CoordinatorMessage message);
  void After(double seconds) { now_ += base::FromSeconds(seconds); }

  // Short cuts to places, each by real events.
  void Warm();
  void Install(const api::View& view);  // fresh view, ring ready
  std::vector<std::string> Slots(
      const std::vector<api::Slot>& slots);  // begun and done, then stopped
  std::vector<std::string> Reduce();         // all well
  std::vector<std::string> Apply();
  void FullStep();
  void Beat();  // sent and acknowledged: fresh contact

  api::MemberPhase phase() const { return session_.Beat().phase; }
  std::int64_t committed() const { return session_.committed().value; }
  base::Epoch epoch() const { return session_.epoch(); }
  bool ready() const { return session_.ready(); }
  api::SumTag tag;  // of the sum in progress
  base::Term term{1};
  base::Epoch heard{1};
  Reduced next;  // flags for the next Reduce()

 private:
  Options options_;
  Session session_;
  base::Time now_;
  std::uint64_t beats_ = 0;
  std::vector<api::Slot> order_;
};

}  // namespace muster::session
