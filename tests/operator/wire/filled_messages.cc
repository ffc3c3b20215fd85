#include "tests/operator/wire/filled_messages.h"

#include <chrono>

namespace muster::wire {
namespace {

using base::Epoch;
using base::MemberId;
using base::Step;
using base::Term;

// Not UTF-8, with a zero byte: free text from outside may be anything.
std::string Text() { return std::string("caf\xe9 \0 \xff", 8); }

api::KeptSums Kept() {
  return {.tag = {.step = Step(8), .attempt = 2, .exponents = 0xfedcba9876543210u},
          .slots = {0, 5, 63}};
}

api::CheckpointRef Checkpoint(std::int64_t step) {
  return {.step = Step(step),
          .epoch = Epoch(3),
          .digest = "0123abcd",
          .time = base::WallTime(std::chrono::nanoseconds(1795249166123456789))};
}

api::Hello FilledHello() {
  api::Hello m;
  m.protocol = 2;
  m.job_uid = "uid-1";
  m.token = Text();
  m.member = {3, 2};
  m.pid = 4711;
  m.node = "node-1";
  m.build_id = "beef";
  m.kernel_families = {"SkylakeX", "Haswell"};
  m.epoch = Epoch(4);
  m.pending_epoch = Epoch(5);
  m.term = Term(2);
  m.phase = api::MemberPhase::kLeaving;
  m.interrupted = true;
  m.committed = Step(119);
  m.digest = 0x8000000000000001u;
  m.has_state = true;
  m.kept = Kept();
  m.address = "127.0.0.1:4000";
  return m;
}

api::Committed FilledCommitted() {
  api::Committed m;
  m.epoch = Epoch(4);
  m.step = Step(120);
  m.attempt = 1;
  m.digest = 77;
  m.loss = 2.3125;
  m.grad_norm = 1e-300;
  m.learning_rate = 3e-4;
  m.clipped = true;
  m.skipped = true;
  m.offence = "the gradient of tensor \"wte\" in slot 3 is NaN";
  m.tokens = 8192;
  m.slots_computed = 16;
  m.compute_seconds = 0.5;
  m.reduce_seconds = 0.125;
  m.recompute_seconds = 0.0625;
  m.samples = {{3, {1, 2, 0xffffffffffffffffu}}, {4, {9}}};
  return m;
}

api::View FilledView() {
  api::View v;
  v.term = Term(2);
  v.epoch = Epoch(7);
  v.voluntary = true;
  v.goal = api::ViewGoal::kFinish;
  v.members = {{{1, 1}, "a:1", "node-a", true, {0, 1}, {0, 1, 2}, {1}},
               {{3, 2}, "b:2", "node-b", true, {2, 3}, {3}, {3}}};
  v.leavers = {{{2, 4}, "c:3"}};
  v.resume_step = Step(121);
  v.resume_tag = Kept().tag;
  v.state_digest = 0x1122334455667788u;
  v.restore = Checkpoint(100);
  v.fresh = true;
  v.evaluate = true;
  return v;
}

}  // namespace

std::vector<api::FromMember> FilledMemberMessages() {
  const std::vector<api::MemberMessage> all = {
      FilledHello(),
      api::Warm{"127.0.0.1:4000", "Haswell", "da7a", 1234567890123, 2.125, "cpu", "0e16"},
      api::Heartbeat{9, api::MemberPhase::kReducing, Step(5), 12345},
      api::Ready{Epoch(4), Step(119), 88, true, Kept()},
      api::Installed{Epoch(4), Step(120), 99, 0.03125, 0.5},
      api::CannotReach{Epoch(4), {{1, 1}, {5, 9}}, Text()},
      api::Suspect{Epoch(4), {1, 3}, api::Evidence::kChecksum, Text()},
      FilledCommitted(),
      api::Evaluated{Epoch(4), Step(50), 2.25},
      api::CheckpointPart{Epoch(4), Step(100), 66, R"({"file":"x"})", Text()},
      api::ManifestWritten{Epoch(4), Step(100), "aa", "bb", Text()},
      api::Leave{27.5},
      api::Failing{74, "DataMissing", Text()},
      api::CertificateRequest{Text()},
      api::Killed{{5, 1003}},
  };
  std::vector<api::FromMember> out;
  for (const auto& message : all) out.push_back({{Term(2), Epoch(4)}, message});
  return out;
}

std::vector<api::FromCoordinator> FilledCoordinatorMessages() {
  const std::vector<api::CoordinatorMessage> all = {
      api::Welcome{"uid-1", "licences", "{}", "Haswell", "beef", "da7a", "0e16", Text(), true, 0.25,
                   1.5},
      api::Fenced{Text()},
      api::Refused{Text()},
      api::Interrupt{Epoch(4), {{1, 1}, {2, 2}}},
      api::InstallView{FilledView()},
      api::BeatAck{9},
      api::CommitAck{Step(120)},
      api::RequestCheckpoint{3, true},
      api::WriteManifest{Step(100), true, {"{}", Text()}},
      api::CheckpointCommitted{Checkpoint(100), {Checkpoint(100), Checkpoint(50)}},
      api::Release{},
      api::Finish{true, "Failed", Text()},
      api::Certificate{Text(), "bundle"},
  };
  std::vector<api::FromCoordinator> out;
  for (const auto& message : all) out.push_back({{Term(2), Epoch(4)}, message});
  return out;
}

}  // namespace muster::wire
