#include "operator/kube/elector.h"

#include <utility>

namespace muster::kube {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <typename... F>
Overloaded(F...) -> Overloaded<F...>;

constexpr base::Time::rep kNoRight = base::Time::min().time_since_epoch().count();

LeaseWritten AnswerOf(const absl::StatusOr<api::Lease>& written) {
  if (written.ok()) return {LeaseWriteOutcome::kOk, *written, ""};
  const absl::StatusCode code = written.status().code();
  const bool conflict = code == absl::StatusCode::kAborted ||
                        code == absl::StatusCode::kAlreadyExists ||
                        code == absl::StatusCode::kNotFound;
  return {conflict ? LeaseWriteOutcome::kConflict : LeaseWriteOutcome::kUnknown,
          {},
          base::Message(written.status())};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Elector>> Elector::Create(Options options,
                                                         std::unique_ptr<LeaseStore> store,
                                                         runtime::Metrics* metrics) {
  MUSTER_RETURN_IF_ERROR(CheckElectorConfig(options.config));
  return std::unique_ptr<Elector>(new Elector(std::move(options), std::move(store), metrics));
}

Elector::Elector(Options options, std::unique_ptr<LeaseStore> store, runtime::Metrics* metrics)
    : options_(std::move(options)),
      store_(std::move(store)),
      machine_(options_.config, clock_.Now()),
      right_until_(kNoRight) {
  if (metrics != nullptr) {
    leads_ = metrics->MakeGauge("leader_election_master_status",
                                "1 while this process leads by the named lease, else 0.",
                                {{"name", options_.name}});
  }
  leads_.Set(0);
  talking_ = std::jthread([this] { Talk(); });
  deciding_ = std::jthread([this] { Decide(); });
}

Elector::~Elector() { Stop(); }

bool Elector::MayWrite() const {
  return clock_.Now().time_since_epoch().count() < right_until_.load(std::memory_order_acquire);
}

void Elector::Seen(api::Lease lease) { events_.Push(LeaseSeen{std::move(lease)}); }

void Elector::Stop() {
  events_.Push(StopRequested{});
  if (deciding_.joinable()) deciding_.join();
  if (talking_.joinable()) talking_.join();
}

void Elector::Decide() {
  ElectorEvent event = Waited{};
  for (;;) {
    for (const ElectorCommand& command : machine_.Step(clock_.Now(), clock_.WallNow(), event)) {
      if (!Obey(command)) {
        events_.Close();
        requests_.Close();
        return;
      }
    }
    PublishRight();
    const auto wake = machine_.NextWake();
    auto next = wake ? events_.PopUntil(*wake) : events_.Pop();
    event = next ? std::move(*next) : ElectorEvent(Waited{});
  }
}

void Elector::PublishRight() {
  const auto right = machine_.RightUntil();
  right_until_.store(right ? right->time_since_epoch().count() : kNoRight,
                     std::memory_order_release);
}

bool Elector::Obey(const ElectorCommand& command) {
  bool goes_on = true;
  std::visit(Overloaded{
                 [this](const ReadLease& read) { requests_.Push(read); },
                 [this](const WriteLease& write) { requests_.Push(write); },
                 [this](const StartLeading&) {
                   // Before anybody is told that it may write.
                   PublishRight();
                   leads_.Set(1);
                   if (options_.on_started) options_.on_started();
                 },
                 [this](const StopLeading& stop) {
                   PublishRight();
                   leads_.Set(0);
                   if (options_.on_stopped) options_.on_stopped(stop.reason);
                 },
                 [this](const NewHolder& holder) {
                   if (options_.on_new_holder) options_.on_new_holder(holder.identity);
                 },
                 [this](const Trouble& trouble) {
                   if (options_.on_trouble) options_.on_trouble(trouble.reason);
                 },
                 [&goes_on](const Finished&) { goes_on = false; },
             },
             command);
  return goes_on;
}

void Elector::Talk() {
  while (const auto request = requests_.Pop()) {
    if (const auto* read = std::get_if<ReadLease>(&*request)) {
      events_.Push(LeaseRead{store_->Read(read->timeout)});
    } else if (const auto* write = std::get_if<WriteLease>(&*request)) {
      events_.Push(AnswerOf(store_->Write(write->lease, write->timeout)));
    }
  }
}

}  // namespace muster::kube
