// Writing the record (M1): one write in flight, each a compare-and-swap of the whole record.
#include "operator/membership/state.h"

namespace muster::membership {

void Core::AdvanceWrites() {
  if (in_flight) {
    if (retry_at && now >= *retry_at) {
      // M1: the identical pair, because the first write may still land.
      retry_at.reset();
      ++unanswered_writes;
      out.push_back(Persist{in_flight->expected, in_flight->next});
    }
    return;
  }
  Write write;
  write.expected = record;
  if (record) write.next = *record;
  api::Record& next = write.next;
  if (want_term) {
    write.kind = Write::Kind::kTerm;
    next.protocol = api::kProtocolVersion;
  } else if (formed && !formed->stale) {
    write.kind = Write::Kind::kView;
    next.newest.epoch = formed->view.epoch;
    next.newest.members.clear();
    for (const api::ViewMember& m : formed->view.members) next.newest.members.push_back(m.id);
    next.previous = {formed->previous_epoch, formed->previous};
    if (damaged && (formed->view.restore || formed->view.fresh)) {
      next.checkpoint = formed->view.restore;
      std::erase_if(next.kept_checkpoints, [&](const auto& c) {
        return !next.checkpoint || c.step >= next.checkpoint->step;
      });
    }
  } else if (checkpoint_to_write || result_to_write) {
    write.kind = Write::Kind::kCheckpoint;
    if (checkpoint_to_write) {
      std::vector<api::CheckpointRef>& kept = next.kept_checkpoints;
      if (next.checkpoint && next.checkpoint->step != checkpoint_to_write->step) {
        kept.insert(kept.begin(), *next.checkpoint);
      }
      std::erase_if(kept, [&](const auto& c) { return c.step >= checkpoint_to_write->step; });
      const std::size_t keep = std::max(1, config.spec.checkpoint.keep) - 1;
      if (kept.size() > keep) kept.resize(keep);
      next.checkpoint = checkpoint_to_write;
    }
    if (result_to_write) next.result = result_to_write;
  } else {
    return;
  }
  next.term = term;
  next.nonce = Nonce();
  next.version = (record ? record->version : 0) + 1;
  next.kernel_family = kernel_family;
  next.build_id = build_id;
  next.data_digest = data_digest;
  next.device = device;
  next.start_weights_digest = start_weights_digest;
  in_flight = std::make_unique<const Write>(write);
  retry_at.reset();
  ++unanswered_writes;
  out.push_back(Persist{write.expected, write.next});
}

}  // namespace muster::membership
