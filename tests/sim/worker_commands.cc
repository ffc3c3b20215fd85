// What the shell of a simulated worker does with the session's commands.
#include <type_traits>

#include "tests/sim/cluster.h"
#include "tests/sim/worker.h"

namespace muster::sim {

// A member that the record has not named for longer than a heartbeat timeout has no business on the
// shared disk: it was fenced, and its contact cannot be fresh (M2).
void Worker::MayWrite(const std::string& what) {
  const auto since = cluster_.disk.UnnamedSince(id_);
  if (since && world_.now() - *since > kHeartbeatTimeout)
    world_.Violation(name() + " was fenced and writes " + what);
}

// A ring that it has given up by itself, on its own evidence, needs nobody's leave.
void Worker::MayAbort(const session::Event& event, const session::Commands& commands) {
  const auto* received = std::get_if<session::Received>(&event);
  if (received == nullptr) return;
  const auto* interrupt = std::get_if<api::Interrupt>(&received->message.message);
  if (interrupt == nullptr) return;
  for (const session::Command& command : commands) {
    const auto* abort = std::get_if<session::AbortRing>(&command);
    if (abort != nullptr && abort->epoch != aborted_) {
      cluster_.AbortsAfter(*this, interrupt->evicted);
    }
  }
}

void Worker::WritePart(const session::CopyForCheckpoint& order, std::uint64_t digest) {
  Later(world_.Micros(2000, 40000), [this, order, digest] {
    session::PartWritten written;
    written.step = order.step;
    written.part.epoch = order.epoch;
    written.part.step = order.step;
    written.part.state_digest = digest;
    written.part.part_json = "{}";
    if (world_.Chance(0.03)) written.part.error = "no space left on device";
    Post(written);
  });
}

void Worker::WriteManifest(const session::WriteManifest& order) {
  Later(world_.Micros(1000, 20000), [this, order] {
    session::ManifestDone done;
    done.step = order.order.step;
    done.written.epoch = order.epoch;
    done.written.step = order.order.step;
    auto copy = training_.copies().find(order.order.step.value);
    if (copy == training_.copies().end()) {
      done.written.error = "the writer holds no copy";
      world_.Violation(name() + " was told to write a manifest of a step it never copied");
    } else {
      done.written.manifest_digest =
          "m" + std::to_string(order.order.step.value) + "e" + std::to_string(order.epoch.value);
      cluster_.disk.AppendLines(lines_, order.order.step.value);
      cluster_.disk.Written(done.written.manifest_digest, copy->second);
      if (order.order.final)
        done.written.weights_digest = "w" + std::to_string(Digest(copy->second));
    }
    Post(done);
  });
}

void Worker::Obey(const session::Command& command) {
  std::visit(
      [this, &command](const auto& c) {
        using C = std::decay_t<decltype(c)>;
        if constexpr (std::is_same_v<C, session::Send>) {
          if (stream_) cluster_.network.ToCoordinator(*this, c.message);
        } else if constexpr (std::is_same_v<C, session::ConnectRing>) {
          cluster_.rings.Connect(*this, c.view, c.rank);
        } else if constexpr (std::is_same_v<C, session::AbortRing>) {
          fetch_ = 0;
          aborted_ = c.epoch;
          cluster_.rings.Abort(*this, c.epoch);
        } else if constexpr (std::is_same_v<C, session::ClearSums>)
          training_.Clear(c.tag);
        else if constexpr (std::is_same_v<C, session::ComputeSlots>)
          training_.Compute(c);
        else if constexpr (std::is_same_v<C, session::StopCompute>)
          training_.Stop();
        else if constexpr (std::is_same_v<C, session::MakeFreshState>) {
          training_.Fresh();
          cluster_.Restored(*this, base::Step(0));
        } else if constexpr (std::is_same_v<C, session::ApplyStep>)
          training_.Apply(c.step);
        else if constexpr (std::is_same_v<C, session::CopyForCheckpoint>)
          training_.Copy(c);
        else if constexpr (std::is_same_v<C, session::Reduce>)
          Call(CollectiveKind::kReduce, c.epoch, c, {});
        else if constexpr (std::is_same_v<C, session::EvaluateShare>) {
          training_.Busy(world_.Micros(500, 8000),
                         [this, c] { Call(CollectiveKind::kEvaluate, c.epoch, {}, c.step); });
        } else if constexpr (std::is_same_v<C, session::ServeState>)
          serving_ = c;
        else if constexpr (std::is_same_v<C, session::StopServing>)
          serving_.reset();
        else if constexpr (std::is_same_v<C, session::FetchState>) {
          fetch_ = ++fetches_;
          Fetch(c.view, fetch_, world_.now());
        } else if constexpr (std::is_same_v<C, session::Exit>)
          Exit(c);
        else
          ObeyShell(command);
      },
      command);
}

void Worker::ObeyShell(const session::Command& command) {
  if (const auto* load = std::get_if<session::LoadJob>(&command)) {
    const api::Welcome welcome = load->welcome;
    Later(world_.Micros(1000, 60000), [this, welcome] {
      session::Loaded loaded;
      loaded.spec = cluster_.job.spec;
      loaded.warm.address = "host-" + base::ToString(id_) + ":1";
      loaded.warm.kernel_family = "scalar";
      loaded.warm.data_digest = "data";
      loaded.warm.parameters = 3;
      loaded.warm.device = cluster_.device;
      Post(loaded);
    });
  } else if (const auto* restore = std::get_if<session::RestoreState>(&command)) {
    auto it = cluster_.disk.manifests.find(restore->checkpoint.digest);
    if (cluster_.disk.Damaged(restore->checkpoint.digest)) {
      Later(world_.Micros(2000, 20000),
            [this] { Post(session::RestoreFailed{"the manifest is damaged"}); });
      return;
    }
    training_.Restore(it == cluster_.disk.manifests.end() ? std::nullopt
                                                          : std::optional<ModelState>(it->second));
    cluster_.Restored(*this, restore->checkpoint.step);
  } else if (const auto* manifest = std::get_if<session::WriteManifest>(&command)) {
    MayWrite("a manifest");
    WriteManifest(*manifest);
  } else if (std::holds_alternative<session::PublishCheckpoint>(command)) {
    MayWrite("a checkpoint's copy");
  } else if (const auto* line = std::get_if<session::WriteStepLine>(&command)) {
    MayWrite("a step's line");
    lines_due_ = std::max(lines_due_, line->step.value);
    Later(world_.Micros(20, 3000), [this] { cluster_.disk.AppendLines(lines_, lines_due_); });
  }
}

}  // namespace muster::sim
