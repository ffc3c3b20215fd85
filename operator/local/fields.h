// The fields of everything that crosses the Unix socket, named once for both directions: Visit(v,
// x) calls v("name", x.field) for each field of x.
#pragma once

#include "operator/api/view.h"
#include "operator/job/observed.h"
#include "operator/local/events.h"
#include "operator/local/protocol.h"

namespace muster::local {

template <typename V>
void Visit(V& v, api::Rescale& x) {
  v("epoch", x.epoch);
  v("time", x.time);
  v("cause", x.cause);
  v("from", x.from);
  v("to", x.to);
  v("detect", x.detect_seconds);
  v("agree", x.agree_seconds);
  v("rebuild", x.rebuild_seconds);
  v("synchronise", x.synchronise_seconds);
  v("recompute", x.recompute_seconds);
  v("stall", x.stall_seconds);
  v("stepsLost", x.steps_lost);
  v("slotsRecomputed", x.slots_recomputed);
}

template <typename V>
void Visit(V& v, api::CheckpointRef& x) {
  v("step", x.step);
  v("epoch", x.epoch);
  v("digest", x.digest);
  v("time", x.time);
}

template <typename V>
void Visit(V& v, StepCommitted& x) {
  v("step", x.step);
  v("epoch", x.epoch);
  v("loss", x.loss);
  v("gradNorm", x.grad_norm);
  v("learningRate", x.learning_rate);
  v("skipped", x.skipped);
  v("tokens", x.tokens);
  v("members", x.members);
  v("slotsComputed", x.slots_computed);
}

template <typename V>
void Visit(V& v, LiveMember& x) {
  v("id", x.id);
  v("pid", x.pid);
  v("node", x.node);
  v("inView", x.in_view);
  v("warm", x.warm);
  v("connected", x.connected);
  v("leaving", x.leaving);
  v("phase", x.phase);
  v("step", x.step);
  v("committed", x.committed);
}

template <typename V>
void Visit(V& v, Live& x) {
  v("term", x.term);
  v("epoch", x.epoch);
  v("phase", x.phase);
  v("timeState", x.time_state);
  v("size", x.size);
  v("desired", x.desired);
  v("committed", x.committed);
  v("baselineLoss", x.baseline_loss);
  v("members", x.members);
}

template <typename V>
void Visit(V& v, Evicted& x) {
  v("member", x.member);
  v("node", x.node);
  v("reason", x.reason);
  v("message", x.message);
}

template <typename V>
void Visit(V& v, Rescaled& x) {
  v("rescale", x.rescale);
}

template <typename V>
void Visit(V& v, CheckpointDone& x) {
  v("checkpoint", x.checkpoint);
}

template <typename V>
void Visit(V& v, CheckpointAbandoned& x) {
  v("step", x.step);
  v("reason", x.reason);
  v("noSpace", x.no_space);
  v("refused", x.refused);
}

template <typename V>
void Visit(V& v, HeldOut& x) {
  v("step", x.step);
  v("loss", x.loss);
  v("baseline", x.baseline);
}

template <typename V>
void Visit(V& v, RolledBack& x) {
  v("step", x.step);
  v("reason", x.reason);
}

template <typename V>
void Visit(V& v, PodStarted& x) {
  v("member", x.member);
  v("name", x.name);
  v("node", x.node);
  v("pid", x.pid);
  v("reason", x.reason);
}

template <typename V>
void Visit(V& v, PodExited& x) {
  v("member", x.member);
  v("name", x.name);
  v("node", x.node);
  v("pid", x.pid);
  v("exitCode", x.exit_code);
  v("signal", x.signal);
  v("lastLines", x.last_lines);
}

template <typename V>
void Visit(V& v, FaultFired& x) {
  v("fault", x.fault);
  v("detail", x.detail);
}

template <typename V>
void Visit(V& v, CoordinatorRestarted& x) {
  v("pid", x.pid);
  v("cause", x.cause);
}

template <typename V>
void Visit(V& v, Note& x) {
  v("from", x.from);
  v("text", x.text);
}

template <typename V>
void Visit(V& v, StatusChanged& x) {
  v("status", x.status);
}

template <typename V>
void Visit(V& v, job::Pod& x) {
  v("name", x.name);
  v("uid", x.uid);
  v("member", x.member);
  v("node", x.node);
  v("phase", x.phase);
  v("deleting", x.deleting);
  v("exitCode", x.exit_code);
  v("signal", x.signal);
  v("infrastructureLoss", x.infrastructure_loss);
  v("message", x.message);
  v("pid", x.pid);
  v("startTime", x.start_time);
  v("finishTime", x.finish_time);
  v("conditions", x.conditions);
}

template <typename V>
void Visit(V& v, api::TrainingJob& x) {
  v("name", x.name);
  v("namespace", x.ns);
  v("uid", x.uid);
  v("generation", x.generation);
  v("spec", x.spec);
  v("status", x.status);
}

template <typename V>
void Visit(V& v, ClusterSettings& x) {
  v("token", x.token);
  v("port", x.port);
  v("metricsPort", x.metrics_port);
  v("auditFile", x.audit_file);
  v("recordDir", x.record_dir);
  v("checkpointDir", x.checkpoint_dir);
  v("logFormat", x.log_format);
  v("reigns", x.reigns);
}

template <typename V>
void Visit(V& v, Opening& x) {
  v("settings", x.settings);
  v("job", x.job);
  v("pods", x.pods);
  v("highestIncarnation", x.highest_incarnation);
}

template <typename V>
void Visit(V& v, JobChanged& x) {
  v("job", x.job);
}

template <typename V>
void Visit(V& v, PodChanged& x) {
  v("pod", x.pod);
}

template <typename V>
void Visit(V& v, PodDeleted& x) {
  v("pod", x.pod);
}

template <typename V>
void Visit(V& v, CreatePodRequest& x) {
  v("name", x.name);
  v("member", x.member);
  v("reason", x.reason);
}

template <typename V>
void Visit(V& v, DeletePodRequest& x) {
  v("name", x.name);
  v("uid", x.uid);
  v("force", x.force);
  v("reason", x.reason);
}

template <typename V>
void Visit(V& v, WriteStatus& x) {
  v("status", x.status);
}

template <typename V>
void Visit(V& v, GiveUp& x) {
  v("reason", x.reason);
  v("message", x.message);
}

}  // namespace muster::local
