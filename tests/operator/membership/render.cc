// Commands as lines of text for golden transcripts.
#include <sstream>

#include "tests/operator/membership/rig.h"

namespace muster::membership {
namespace {

std::string Ids(const std::vector<base::MemberId>& ids) {
  std::string out;
  for (const base::MemberId id : ids) out += (out.empty() ? "" : " ") + base::ToString(id);
  return "[" + out + "]";
}

std::string SlotList(const std::vector<api::Slot>& slots) {
  std::string out;
  for (const api::Slot slot : slots) out += (out.empty() ? "" : ",") + std::to_string(slot);
  return out.empty() ? "-" : out;
}

std::string Text(const api::View& v) {
  std::ostringstream out;
  out << "View " << v.epoch.value << (v.voluntary ? " voluntary" : "")
      << (v.goal == api::ViewGoal::kFinish ? " finish" : "") << (v.fresh ? " fresh" : "");
  if (v.restore) out << " restore=" << v.restore->step.value;
  out << " resume=" << v.resume_step.value << " attempt=" << v.resume_tag.attempt
      << " digest=" << std::hex << v.state_digest << std::dec << (v.evaluate ? " evaluate" : "");
  for (const api::ViewMember& m : v.members) {
    out << " | " << base::ToString(m.id) << (m.has_state ? "*" : "") << " "
        << SlotList(m.resume_slots);
    if (!m.kept_slots.empty()) out << " kept " << SlotList(m.kept_slots);
  }
  for (const api::Leaver& l : v.leavers) out << " | leaves " << base::ToString(l.id);
  return out.str();
}

struct Words {
  std::string operator()(const api::Welcome& w) const {
    return "Welcome family=" + w.kernel_family;
  }
  std::string operator()(const api::Fenced& f) const { return "Fenced: " + f.reason; }
  std::string operator()(const api::Refused& r) const { return "Refused: " + r.reason; }
  std::string operator()(const api::Interrupt& i) const {
    return "Interrupt " + std::to_string(i.epoch.value) + " evicted " + Ids(i.evicted);
  }
  std::string operator()(const api::InstallView& i) const { return Text(i.view); }
  std::string operator()(const api::BeatAck&) const { return ""; }
  std::string operator()(const api::CommitAck& a) const {
    return "CommitAck " + std::to_string(a.step.value);
  }
  std::string operator()(const api::RequestCheckpoint& r) const {
    return std::string("RequestCheckpoint") + (r.stop ? " stop" : "");
  }
  std::string operator()(const api::WriteManifest& w) const {
    std::string parts;
    for (const std::string& p : w.parts_json) parts += " " + p;
    return "WriteManifest " + std::to_string(w.step.value) + (w.final ? " final" : "") + parts;
  }
  std::string operator()(const api::CheckpointCommitted& c) const {
    std::string kept;
    for (const auto& k : c.kept) kept += " " + std::to_string(k.step.value);
    return "CheckpointCommitted " + std::to_string(c.checkpoint.step.value) + " kept" + kept;
  }
  std::string operator()(const api::Release&) const { return "Release"; }
  std::string operator()(const api::Finish& f) const {
    return std::string("Finish ") + (f.succeeded ? "succeeded " : "failed ") + f.reason;
  }
  std::string operator()(const api::Certificate&) const { return "Certificate"; }
};

std::string RecordText(const api::Record& r) {
  std::ostringstream out;
  out << "term=" << r.term.value << " version=" << r.version << " newest=" << r.newest.epoch.value
      << Ids(r.newest.members) << " previous=" << r.previous.epoch.value << Ids(r.previous.members);
  if (r.checkpoint) out << " checkpoint=" << r.checkpoint->step.value;
  if (r.result) out << " result=" << r.result->digest << "/" << r.result->loss;
  return out.str();
}

struct Lines {
  std::string operator()(const Send& s) const {
    const std::string words = std::visit(Words{}, s.message.message);
    return words.empty() ? "" : "#" + std::to_string(s.stream) + " " + words;
  }
  std::string operator()(const CloseStream& c) const {
    return "close #" + std::to_string(c.stream);
  }
  std::string operator()(const Persist& p) const { return "Persist " + RecordText(p.next); }
  std::string operator()(const StepCommitted& s) const {
    return "StepCommitted " + std::to_string(s.step.value) +
           " slots=" + std::to_string(s.slots_computed);
  }
  std::string operator()(const HeldOut& h) const {
    return "HeldOut " + std::to_string(h.step.value);
  }
  std::string operator()(const RolledBack& r) const {
    return "RolledBack " + std::to_string(r.step.value) + ": " + r.reason;
  }
  std::string operator()(const Evicted& e) const {
    return "Evicted " + base::ToString(e.member) + " " + e.reason + ": " + e.message;
  }
  std::string operator()(const RescaleDone& r) const {
    std::ostringstream out;
    out << "RescaleDone " << r.rescale.cause << " " << r.rescale.from << "->" << r.rescale.to
        << " detect=" << r.rescale.detect_seconds << " stall=" << r.rescale.stall_seconds
        << " stepsLost=" << r.rescale.steps_lost << " slots=" << r.rescale.slots_recomputed;
    return out.str();
  }
  std::string operator()(const CheckpointDone& c) const {
    return "CheckpointDone " + std::to_string(c.checkpoint.step.value);
  }
  std::string operator()(const CheckpointAbandoned& c) const {
    return "CheckpointAbandoned " + std::to_string(c.step.value) + ": " + c.reason +
           (c.no_space ? " (no space)" : "");
  }
  std::string operator()(const DigestMismatch& d) const { return "DigestMismatch " + d.message; }
  std::string operator()(const JobSucceeded& j) const { return "JobSucceeded " + j.result.digest; }
  std::string operator()(const JobDrained& j) const {
    return "JobDrained " + std::to_string(j.step.value);
  }
  std::string operator()(const JobFailed& j) const {
    return "JobFailed " + j.reason + ": " + j.message;
  }
  std::string operator()(const Note& n) const { return "note " + n.text; }
};

}  // namespace

std::string Render(const Command& command) { return std::visit(Lines{}, command); }

}  // namespace muster::membership
