#include "worker/parent/parent.h"

#include <signal.h>

#include <charconv>
#include <string_view>
#include <thread>
#include <utility>

#include "worker/parent/child_environment.h"

namespace muster::parent {
namespace {

constexpr std::size_t kEvents = 256;
constexpr std::int32_t kMostProcesses = 64;  // as spec.workers.processesPerWorker
constexpr char kProcesses[] = "MUSTER_PROCESSES";
constexpr char kMember[] = "MUSTER_MEMBER";
constexpr auto kIdle = std::chrono::seconds(10);  // looks round though nothing is due

std::optional<std::string> Variable(const std::vector<std::string>& environment,
                                    std::string_view name) {
  const std::string head = std::string(name) + "=";
  for (const std::string& variable : environment) {
    if (variable.starts_with(head)) return variable.substr(head.size());
  }
  return std::nullopt;
}

absl::StatusOr<std::int32_t> ReadProcesses(const std::string& text) {
  std::int32_t number = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  const bool whole = read.ec == std::errc() && read.ptr == end;
  if (whole && number >= 2 && number <= kMostProcesses) return number;
  return base::InvalidArgument(std::string(kProcesses) + "='" + text +
                               "' is not a number of processes from 2 to " +
                               std::to_string(kMostProcesses));
}

}  // namespace

bool IsParent(const std::vector<std::string>& environment) {
  const auto processes = Variable(environment, kProcesses);
  return processes && *processes != "1";
}

absl::StatusOr<ParentOptions> ReadParentOptions(std::vector<std::string> environment,
                                                std::string program) {
  ParentOptions options;
  MUSTER_ASSIGN_OR_RETURN(options.config.processes,
                          ReadProcesses(Variable(environment, kProcesses).value_or("")));
  auto pod = base::ParseMemberId(Variable(environment, kMember).value_or(""));
  if (!pod.ok()) return base::Annotate(pod.status(), kMember);
  if (pod->incarnation > base::kMostPodIncarnation ||
      pod->ordinal >= INT32_MAX / options.config.processes) {
    return base::InvalidArgument(
        std::string(kMember) + "='" + base::ToString(*pod) + "' leaves no ids for members of " +
        std::to_string(options.config.processes) + " processes; its incarnation is at most " +
        std::to_string(base::kMostPodIncarnation));
  }
  options.config.pod = *pod;
  for (std::int32_t i = 0; i < options.config.processes; ++i) {
    MUSTER_RETURN_IF_ERROR(
        ChildEnvironment(environment, {i, options.config.processes, *pod}).status());
  }
  options.program = std::move(program);
  options.environment = std::move(environment);
  return options;
}

Parent::Parent(ParentOptions options, const runtime::Logger& log, runtime::Signals& signals,
               std::function<void(const Command&)> tell)
    : options_(std::move(options)),
      log_(log),
      signals_(signals),
      tell_(std::move(tell)),
      events_(kEvents, runtime::WhenFull::kBlock),
      machine_(options_.config),
      children_(options_.program) {}

int Parent::Run() {
  std::jthread signals([this](std::stop_token stop) { WatchSignals(stop); });
  Feed(parent::Start{});
  while (!exit_code_) {
    const base::Time idle = clock_.Now() + kIdle;
    const auto input = events_.PopUntil(std::min(machine_.NextDeadline().value_or(idle), idle));
    Listen();
    if (input) Take(*input);
    // Also without a word: what is not told is seen some time later.
    Reap();
    Feed(Tick{});
  }
  events_.Close();
  return *exit_code_;
}

void Parent::Order(KillOrder order) { events_.Push(std::move(order)); }

void Parent::Reached(bool now) { events_.Push(Reachable{now}); }

void Parent::WatchSignals(std::stop_token stop) {
  while (!stop.stop_requested()) {
    if (const auto number = signals_.Wait(std::chrono::milliseconds(100))) {
      events_.Push(Caught{*number});
    }
  }
}

void Parent::Take(const Input& input) {
  if (const auto* order = std::get_if<KillOrder>(&input)) return Feed(*order);
  if (const auto* reachable = std::get_if<Reachable>(&input)) return Feed(*reachable);
  const int number = std::get<Caught>(input).signal;
  if (number == SIGTERM || number == SIGINT) Feed(Terminate{});
}

// Before everything else: a deadline that has passed is judged by what can be known.
void Parent::Listen() {
  std::vector<std::int32_t> spoken = children_.Spoken();
  if (!spoken.empty()) Feed(Spoke{std::move(spoken)});
}

void Parent::Reap() {
  for (const Ended& ended : children_.Reap()) Feed(ended);
}

void Parent::Feed(const Event& event) {
  for (const Command& command : machine_.Step(clock_.Now(), event)) Obey(command);
  for (const Event& failed : std::exchange(failed_, {})) Feed(failed);
}

void Parent::Obey(const Command& command) {
  if (const auto* spawn = std::get_if<Spawn>(&command)) {
    Start(*spawn);
  } else if (const auto* term = std::get_if<SendTerm>(&command)) {
    children_.Signal(term->process, SIGTERM);
  } else if (const auto* kill = std::get_if<SendKill>(&command)) {
    children_.Signal(kill->process, SIGKILL);
  } else if (const auto* exit = std::get_if<Exit>(&command)) {
    exit_code_ = exit->code;
  } else if (const auto* note = std::get_if<Note>(&command)) {
    log_.Warning("parent", note->text);
  } else {
    tell_(command);
  }
}

void Parent::Start(const Spawn& spawn) {
  const auto environment = ChildEnvironment(
      options_.environment, {spawn.process, options_.config.processes, spawn.member});
  absl::Status status = environment.status();
  if (status.ok()) status = children_.Start(spawn.process, *environment);
  if (!status.ok()) {
    failed_.push_back(CannotStart{spawn.process, base::Message(status)});
    return;
  }
  log_.Info("parent", "started",
            {{"process", spawn.process},
             {"member", base::ToString(spawn.member)},
             {"pid", static_cast<std::int64_t>(children_.PidOf(spawn.process))}});
}

}  // namespace muster::parent
