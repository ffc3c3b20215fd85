#include "worker/app/parent_stream.h"

#include <unistd.h>

#include <optional>
#include <utility>
#include <variant>

#include "operator/api/messages.h"
#include "operator/base/pod_members.h"
#include "operator/runtime/build_info.h"
#include "worker/kernels/family.h"
#include "worker/rpc/client.h"
#include "worker/rpc/credentials.h"

namespace muster::app {

ParentStream::ParentStream(Options options, const runtime::Logger& log)
    : options_(std::move(options)), log_(log) {}

ParentStream::~ParentStream() {
  if (client_ != nullptr) client_->Stop();
}

absl::StatusOr<std::unique_ptr<ParentStream>> ParentStream::Create(Options options,
                                                                   const runtime::Logger& log) {
  std::unique_ptr<ParentStream> stream(new ParentStream(std::move(options), log));
  const WorkerOptions& worker = stream->options_.worker;
  MUSTER_ASSIGN_OR_RETURN(
      stream->credentials_,
      rpc::Credentials::Create({worker.token, worker.token_file, worker.ca_file}));
  rpc::CoordinatorClient::Options client;
  client.addresses = worker.coordinators;
  client.credentials = stream->credentials_.get();
  client.on_trouble = [&log](const std::string& sentence) { log.Warning("parent", sentence); };
  client.on_up = [self = stream.get()] {
    self->SayHello();
    self->options_.on_reached(true);
  };
  client.on_down = [self = stream.get()] { self->options_.on_reached(false); };
  client.on_message = [self = stream.get()](const api::FromCoordinator& message) {
    const auto* interrupt = std::get_if<api::Interrupt>(&message.message);
    if (interrupt != nullptr) self->options_.on_evicted(interrupt->evicted);
  };
  client.make_beat = []() -> std::optional<api::FromMember> { return std::nullopt; };
  MUSTER_ASSIGN_OR_RETURN(stream->client_, rpc::CoordinatorClient::Create(std::move(client)));
  stream->has_client_.set_value();
  return stream;
}

void ParentStream::SayHello() {
  client_is_there_.wait();
  api::Hello hello;
  hello.protocol = api::kProtocolVersion;
  hello.job_uid = options_.worker.job_uid;
  hello.member = base::PodItself(options_.worker.member, options_.processes);
  hello.node = options_.worker.node;
  hello.pid = getpid();
  hello.build_id = runtime::BuildId();
  hello.kernel_families = kernels::SupportedFamilies();
  const auto token = credentials_->Token();
  if (!token.ok()) log_.Error("parent", base::Message(token.status()));
  hello.token = token.ok() ? *token : "";
  client_->Send({{}, std::move(hello)});
}

void ParentStream::SayKilled(base::MemberId member) {
  client_is_there_.wait();
  client_->Send({{}, api::Killed{member}});
}

}  // namespace muster::app
