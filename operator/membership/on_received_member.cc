// Warm and Heartbeat: the waiting room (M9) and the signs of life (M3).
#include "operator/membership/state.h"

namespace muster::membership {
namespace {

// Who has not read any takes what the others have, or what the record names (worker/app checks).
bool OtherWeights(const std::string& read, const std::string& agreed) {
  return !read.empty() && !agreed.empty() && read != agreed;
}

}  // namespace

void Core::OnMessage(Member& m, const api::Warm& warm) {
  std::string refusal;
  // It was welcomed by a coordinator that did not live to write this down.
  if (kernel_family.empty()) kernel_family = warm.kernel_family;
  if (!data_digest.empty() && warm.data_digest != data_digest) {
    refusal = "data digest \"" + warm.data_digest + "\" is not the job's, which is \"" +
              data_digest + "\"";
  } else if (OtherWeights(warm.start_weights_digest, start_weights_digest)) {
    refusal = "it would start from the weights with SHA-256 " + warm.start_weights_digest +
              "; the job starts from those with " + start_weights_digest +
              " (program.weights.path must be the same file everywhere)";
  } else if (warm.kernel_family != kernel_family) {
    refusal = "kernel family \"" + warm.kernel_family + "\" is not the job's, which is \"" +
              kernel_family + "\"";
  }
  // The first that is warm says it for the job: there is no list to choose from, as of families.
  if (refusal.empty() && !device.empty() && warm.device != device) {
    refusal = "device \"" + warm.device + "\" is not the job's, which is \"" + device +
              "\": members of one job compute alike";
  }
  if (!refusal.empty()) {
    Say(m, api::Refused{refusal});
    NoteThat("refused " + base::ToString(m.id) + ": " + refusal);
    out.push_back(CloseStream{*m.stream});
    streams.erase(*m.stream);
    m.stream.reset();
    m.warm = false;
    return;
  }
  if (data_digest.empty()) data_digest = warm.data_digest;
  if (device.empty()) device = warm.device;
  if (start_weights_digest.empty()) start_weights_digest = warm.start_weights_digest;
  m.address = warm.address;
  m.phase = api::MemberPhase::kWarm;
  if (warm.baseline_loss > 0) baseline_loss = warm.baseline_loss;
  if (!m.warm) m.warm_since = now;
  m.warm = true;
}

void Core::OnMessage(Member& m, const api::Heartbeat& beat) {
  if (beat.progress != m.progress || beat.phase != m.phase) m.progress_at = now;
  m.phase = beat.phase;
  m.step = beat.step;
  m.progress = beat.progress;
  Say(m, api::BeatAck{beat.sequence});
}

}  // namespace muster::membership
