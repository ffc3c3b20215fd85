#include "worker/app/worker.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "operator/runtime/build_info.h"
#include "worker/kernels/family.h"
#include "worker/parent/children.h"
#include "worker/rpc/client.h"
#include "worker/rpc/credentials.h"

namespace muster::app {
namespace {

constexpr std::size_t kEvents = 4096;
constexpr auto kLastWrites = std::chrono::seconds(5);
constexpr auto kTick = std::chrono::milliseconds(50);

session::Config MakeSessionConfig(const WorkerOptions& options, const TestHooks& hooks,
                                  const std::string& build_id) {
  session::Config config;
  config.job_uid = options.job_uid;
  config.token = options.token;
  config.member = options.member;
  config.node = options.node;
  config.pid = getpid();
  config.build_id = build_id;
  config.kernel_families =
      hooks.family.empty() ? kernels::SupportedFamilies() : std::vector<std::string>{hooks.family};
  return config;
}

// The same certificate and authorities as on the stream.
comm::Tls::Options TlsOf(const std::string& job_uid, const rpc::Credentials& credentials) {
  comm::Tls::Options options;
  options.job_uid = job_uid;
  options.papers = [&credentials]() -> absl::StatusOr<comm::Papers> {
    comm::Papers papers;
    papers.identity = credentials.Current(runtime::RealClock().WallNow());
    if (papers.identity == nullptr) {
      return base::Unavailable("this member has no certificate at present");
    }
    MUSTER_ASSIGN_OR_RETURN(papers.believed_pem, credentials.Believed());
    return papers;
  };
  return options;
}

}  // namespace

Worker::Worker(WorkerOptions options, TestHooks hooks, const runtime::Logger& log,
               runtime::Signals& signals)
    : options_(std::move(options)),
      hooks_(std::move(hooks)),
      build_id_(hooks_.build_id.empty() ? runtime::BuildId() : hooks_.build_id),
      log_(log),
      signals_(signals),
      breakpoints_(log),
      events_(kEvents, runtime::WhenFull::kBlock),
      session_(MakeSessionConfig(options_, hooks_, build_id_)) {}

Worker::~Worker() = default;

int Worker::Run() {
  if (auto status = Begin(); !status.ok()) {
    log_.Error("worker", base::Message(status));
    return static_cast<int>(api::ExitCode::kBadConfiguration);
  }
  std::jthread signals([this](std::stop_token stop) { WatchSignals(stop); });
  Loop();
  // In the reverse order of the start. An abort frees the lanes from whatever they wait for.
  signals.request_stop();
  events_.Close();
  gate_.Stop();
  if (epoch_flag_ != nullptr) epoch_flag_->Set();
  training_.Stop();
  communicator_.Stop();
  ring_.reset();  // says goodbye: neighbours in a reduction need not wait for our disk
  // What the session ordered before it said that all is well is part of that (checkpoints,
  // steps.jsonl).
  if (exit_code_ == static_cast<int>(api::ExitCode::kSucceeded) && !disk_.WaitIdle(kLastWrites)) {
    log_.Warning("worker", "the disk did not finish in time; the record is not affected");
  }
  disk_.Stop();
  client_->Stop();
  return exit_code_;
}

absl::Status Worker::Begin() {
  if (options_.metrics_port >= 0) {
    MUSTER_RETURN_IF_ERROR(metrics_.Serve(options_.bind_host, options_.metrics_port, [this] {
      return ready_.load() ? absl::OkStatus()
                           : base::Unavailable("neither in a view nor warm for one");
    }));
    log_.Info("worker", "metrics on port " + std::to_string(metrics_.port()));
  }
  breakpoints_.ReadFrom(STDIN_FILENO);
  MUSTER_ASSIGN_OR_RETURN(
      credentials_,
      rpc::Credentials::Create({options_.token, options_.token_file, options_.ca_file}));
  if (credentials_->tls())
    tls_ = std::make_unique<comm::Tls>(TlsOf(options_.job_uid, *credentials_));
  rpc::CoordinatorClient::Options client;
  client.addresses = options_.coordinators;
  client.credentials = credentials_.get();
  client.on_trouble = [this](const std::string& sentence) { log_.Warning("stream", sentence); };
  client.on_up = [this] { Push(session::StreamUp{}); };
  client.on_down = [this] { Push(session::StreamDown{}); };
  client.on_message = [this](api::FromCoordinator message) {
    // Before it is queued: see slot_gate.h.
    if (std::holds_alternative<api::Interrupt>(message.message)) gate_.Hold();
    Push(session::Received{std::move(message)});
  };
  client.make_beat = [this] { return MakeBeat(); };
  MUSTER_ASSIGN_OR_RETURN(client_, rpc::CoordinatorClient::Create(std::move(client)));
  return absl::OkStatus();
}

void Worker::Loop() {
  base::Time tick = Now();
  while (running_) {
    tick += kTick;
    while (running_) {
      auto event = events_.PopUntil(tick);
      if (!event) break;
      Handle(*event);
    }
    if (running_) Handle(session::Tick{});
    tick = std::max(tick, Now() - kTick);  // a process that slept does not catch up on ticks
  }
}

void Worker::Handle(const session::Event& event) {
  const auto commands = session_.Step(Now(), event);
  for (const auto& command : commands) {
    std::visit([this](const auto& c) { On(c); }, command);
    if (!running_) break;
  }
  PublishBeat();
  if (const auto* received = std::get_if<session::Received>(&event);
      received != nullptr && std::holds_alternative<api::Interrupt>(received->message.message)) {
    gate_.LetGo();
  }
}

// The beat thread must not wait for the control thread: it reads what was published last.
void Worker::PublishBeat() {
  const api::Heartbeat beat = session_.Beat();
  std::lock_guard lock(beat_mutex_);
  beat_ = beat;
  beat_epoch_ = session_.epoch();
  ready_.store(session_.ready());
}

std::optional<api::FromMember> Worker::MakeBeat() {
  api::FromMember message;
  {
    std::lock_guard lock(beat_mutex_);
    beat_.sequence = ++beat_sequence_;
    message.envelope.epoch = beat_epoch_;
    api::Heartbeat beat = beat_;
    beat.progress += moved_.load();
    message.message = beat;
  }
  Push(session::BeatSent{beat_sequence_});
  return message;
}

void Worker::WatchSignals(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const auto number = signals_.Wait(std::chrono::milliseconds(100));
    if (number == SIGTERM || number == SIGINT) Push(session::TermSignal{});
  }
}

void Worker::Push(session::Event event) { events_.Push(std::move(event)); }

base::Time Worker::Now() const { return clock_.Now(); }

void Worker::On(const session::Send& c) {
  if (std::holds_alternative<api::Hello>(c.message.message)) return SendHello(c.message);
  client_->Send(c.message);
}

// With the token of this moment. Without one the certificate may do, and the coordinator says so
// when it does not.
void Worker::SendHello(api::FromMember message) {
  const auto token = credentials_->Token();
  if (!token.ok()) log_.Error("worker", base::Message(token.status()));
  std::get<api::Hello>(message.message).token = token.ok() ? *token : "";
  if (client_->Send(message)) parent::SayItSpoke(std::exchange(parent_fd_, -1));
}

void Worker::On(const session::Exit& c) {
  running_ = false;
  exit_code_ = static_cast<int>(c.code);
  if (c.code == api::ExitCode::kSucceeded) {
    log_.Info("worker", "exits", {{"reason", c.message}});
  } else {
    log_.Error("worker", c.message, {{"exitCode", exit_code_}});
  }
}

void Worker::On(const session::Note& c) { log_.Info("session", c.text); }

}  // namespace muster::app
