#include "operator/kube/elector_machine.h"

#include <algorithm>
#include <utility>

#include "operator/api/quantity.h"

namespace muster::kube {
namespace {

constexpr base::Duration kTellAgain = std::chrono::seconds(30);

base::Duration Longest(base::Duration period, double jitter) {
  return base::FromSeconds(base::ToSeconds(period) * (1 + jitter));
}

absl::Status Ordered(const char* small, base::Duration least, const char* large,
                     base::Duration most) {
  if (least < most) return absl::OkStatus();
  return base::InvalidArgument(std::string(small) + " is " + api::FormatDuration(least) +
                               "; it must be below " + large + ", which is " +
                               api::FormatDuration(most));
}

}  // namespace

absl::Status CheckElectorConfig(const ElectorConfig& config) {
  if (config.identity.empty()) {
    return base::InvalidArgument("identity is empty; it must name this process and no other");
  }
  const base::Duration zero{0};
  MUSTER_RETURN_IF_ERROR(Ordered("zero", zero, "retryPeriod", config.retry_period));
  MUSTER_RETURN_IF_ERROR(Ordered("zero", zero, "requestTimeout", config.request_timeout));
  if (config.jitter < 0 || config.jitter > 1) {
    return base::InvalidArgument("jitter is " + api::FormatNumber(config.jitter) +
                                 "; it must be in 0..1");
  }
  MUSTER_RETURN_IF_ERROR(Ordered("retryPeriod with its jitter",
                                 Longest(config.retry_period, config.jitter), "renewDeadline",
                                 config.renew_deadline));
  MUSTER_RETURN_IF_ERROR(
      Ordered("requestTimeout", config.request_timeout, "renewDeadline", config.renew_deadline));
  return Ordered("renewDeadline", config.renew_deadline, "leaseDuration", config.lease_duration);
}

ElectorMachine::ElectorMachine(ElectorConfig config, base::Time now)
    : config_(std::move(config)), random_(config_.seed), changed_at_(now), next_(now) {}

std::vector<ElectorCommand> ElectorMachine::Step(base::Time now, base::WallTime wall,
                                                 const ElectorEvent& event) {
  out_.clear();
  // First of all: whatever the event brings, time may have taken the right away.
  EndWhatIsDue(now);
  if (const auto* read = std::get_if<LeaseRead>(&event)) {
    OnRead(now, *read);
  } else if (const auto* written = std::get_if<LeaseWritten>(&event)) {
    OnWritten(now, *written);
  } else if (const auto* seen = std::get_if<LeaseSeen>(&event)) {
    OnSeen(now, seen->lease);
  } else if (std::holds_alternative<StopRequested>(event) && !stop_by_) {
    EndLeading("asked to stop");
    stop_by_ = now + config_.renew_deadline;
    next_ = now;
  }
  Act(now, wall);
  return std::move(out_);
}

void ElectorMachine::OnRead(base::Time now, const LeaseRead& read) {
  if (!request_ || request_->write) return;
  const base::Time sent = request_->sent;
  request_.reset();
  if (!read.lease.ok()) {
    TellFailure(now, "cannot read the lease: " + base::Message(read.lease.status()));
    next_ = std::max(now, sent + config_.retry_period);
    return;
  }
  stale_ = false;
  unsure_ = false;
  failure_told_.reset();
  Observe(now, *read.lease);
  if (leads_until_ && lease_ && !lease_->holder.empty() && !HeldByUs()) {
    EndLeading("the lease was taken by " + lease_->holder);
  } else if (leads_until_ && !right_until_ && !HeldByUs()) {
    EndLeading("the lease was given up or deleted, and another may have led");
  }
  // A leader read because it could not write: it writes at once.
  next_ = leads_until_ || stop_by_
              ? now
              : now + Longest(config_.retry_period, config_.jitter * random_.Uniform());
}

void ElectorMachine::OnWritten(base::Time now, const LeaseWritten& written) {
  if (!request_ || !request_->write) return;
  const Request request = *std::exchange(request_, std::nullopt);
  switch (written.outcome) {
    case LeaseWriteOutcome::kOk: {
      stale_ = false;
      unsure_ = false;
      failure_told_.reset();
      Observe(now, written.lease);
      if (stop_by_) return;
      next_ = std::max(now, request.sent + config_.retry_period);
      const base::Time right = request.sent + config_.renew_deadline;
      const base::Time expires = request.sent + config_.lease_duration;
      if (leads_until_) leads_until_ = expires;
      if (now >= right) return;  // it took so long that nothing may be written by it
      if (!leads_until_) out_.push_back(StartLeading{});
      leads_until_ = expires;
      right_until_ = right;
      return;
    }
    case LeaseWriteOutcome::kConflict:
      out_.push_back(Trouble{"the lease was written by another: " + written.reason});
      stale_ = true;
      next_ = now;
      return;
    case LeaseWriteOutcome::kUnknown:
      TellFailure(now, "cannot write the lease: " + written.reason);
      stale_ = true;
      unsure_ = true;
      next_ = std::max(now, request.sent + config_.retry_period);
      return;
  }
}

void ElectorMachine::OnSeen(base::Time now, const api::Lease& lease) {
  // A watch may show the past. A leader learns from its own writes, which the past cannot fool; a
  // follower goes on looking for itself, so that a late watch makes it quicker or changes nothing.
  if (leads_until_ || stop_by_ || request_) return;
  Observe(now, lease);
  stale_ = false;
}

void ElectorMachine::Observe(base::Time now, const std::optional<api::Lease>& lease) {
  const std::string before = lease_ ? lease_->holder : "";
  const bool same = lease.has_value() == lease_.has_value() &&
                    (!lease || lease->resource_version == lease_->resource_version);
  // Any write counts as a sign of life: to wait for too long is safe.
  if (!same) changed_at_ = now;
  lease_ = lease;
  ever_seen_ = ever_seen_ || lease.has_value();
  const std::string after = lease ? lease->holder : "";
  if (before != after) out_.push_back(NewHolder{after});
}

// Once, and then now and again for as long as no request succeeds: an outage has two of them a second.
void ElectorMachine::TellFailure(base::Time now, std::string sentence) {
  if (failure_told_ && now - *failure_told_ < kTellAgain) return;
  failure_told_ = now;
  out_.push_back(Trouble{std::move(sentence)});
}

void ElectorMachine::EndWhatIsDue(base::Time now) {
  if (right_until_ && now >= *right_until_) right_until_.reset();
  if (leads_until_ && now >= *leads_until_) {
    EndLeading("the lease was not renewed within " + api::FormatDuration(config_.lease_duration));
  }
}

void ElectorMachine::EndLeading(std::string reason) {
  if (!leads_until_) return;
  right_until_.reset();
  leads_until_.reset();
  out_.push_back(StopLeading{std::move(reason)});
}

base::Time ElectorMachine::TakeAt() const {
  if (!lease_) return ever_seen_ ? changed_at_ + config_.lease_duration : base::Time::min();
  if (lease_->holder.empty() || HeldByUs()) return base::Time::min();
  // Another release of the program may have been told other durations.
  const base::Duration theirs = std::chrono::seconds(lease_->duration_seconds);
  return changed_at_ + std::max(config_.lease_duration, theirs);
}

void ElectorMachine::Act(base::Time now, base::WallTime wall) {
  if (stop_by_) return ActStopping(now, wall);
  if (request_) return;
  if (leads_until_) {
    if (now >= next_) stale_ ? Read(now) : Write(now, wall, false);
  } else if (!stale_ && now >= TakeAt()) {
    Write(now, wall, false);
  } else if (now >= next_) {
    Read(now);
  }
}

void ElectorMachine::ActStopping(base::Time now, base::WallTime wall) {
  if (finished_) return;
  const bool ours = HeldByUs() || unsure_;
  if (!request_ && ours && now < *stop_by_) {
    if (now < next_) return;
    return stale_ ? Read(now) : Write(now, wall, true);
  }
  // A write in flight may make the lease ours: its answer is waited for.
  if (request_ && (request_->write || ours) && now < *stop_by_) return;
  if (ours) {
    out_.push_back(Trouble{"the lease could not be released; it ends by itself after " +
                           api::FormatDuration(config_.lease_duration)});
  }
  finished_ = true;
  out_.push_back(Finished{});
}

void ElectorMachine::Read(base::Time now) {
  request_ = Request{now, false};
  out_.push_back(ReadLease{config_.request_timeout});
}

void ElectorMachine::Write(base::Time now, base::WallTime wall, bool release) {
  api::Lease next = lease_.value_or(api::Lease());
  if (release) {
    next.holder.clear();
    next.duration_seconds = 1;
  } else {
    if (!HeldByUs()) {
      if (lease_) ++next.transitions;
      next.acquire_time = wall;
    }
    next.holder = config_.identity;
    next.duration_seconds = static_cast<std::int32_t>(
        std::chrono::ceil<std::chrono::seconds>(config_.lease_duration).count());
  }
  // A write that changes nothing makes no new version, and a follower would not see it: a wall
  // clock that stands still or goes back must not hide a renewal.
  const auto tick = std::chrono::microseconds(1);
  next.renew_time = next.renew_time ? std::max(wall, *next.renew_time + tick) : wall;
  request_ = Request{now, true};
  out_.push_back(WriteLease{std::move(next), config_.request_timeout});
}

std::optional<base::Time> ElectorMachine::NextWake() const {
  if (finished_) return std::nullopt;
  std::optional<base::Time> wake = right_until_;
  const auto also = [&wake](base::Time at) { wake = std::min(wake.value_or(at), at); };
  if (leads_until_) also(*leads_until_);
  if (stop_by_) also(*stop_by_);
  if (!request_) {
    also(next_);
    if (!stop_by_ && !leads_until_ && !stale_) also(TakeAt());
  }
  return wake;
}

}  // namespace muster::kube
