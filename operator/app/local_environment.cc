#include "operator/app/local_environment.h"

#include <utility>
#include <variant>

namespace muster::app {

LocalEnvironment::LocalEnvironment(Options options)
    : cluster_(options.cluster),
      port_(options.port),
      post_(std::move(options.post)),
      log_(options.log),
      persister_(std::move(options.store), [this](membership::Persisted persisted) {
        post_(Input(membership::Event(std::move(persisted))));
      }) {}

LocalEnvironment::~LocalEnvironment() {
  if (server_ != nullptr) server_->Shutdown(std::chrono::milliseconds(200));
}

void LocalEnvironment::CreatePod(const job::CreatePod& wanted) {
  cluster_.Send(local::CreatePodRequest{wanted.name, wanted.member, wanted.reason});
}

void LocalEnvironment::DeletePod(const job::DeletePod& wanted) {
  cluster_.Send(local::DeletePodRequest{wanted.name, wanted.uid, wanted.force, wanted.reason});
}

void LocalEnvironment::WriteStatus(job::SharedStatus status) {
  cluster_.Send(local::WriteStatus{*status});
}

void LocalEnvironment::Tell(job::Report report) {
  std::visit(
      [this](auto&& told) { cluster_.Send(local::Report{std::forward<decltype(told)>(told)}); },
      std::move(report));
}

void LocalEnvironment::Persist(membership::Persist persist) {
  persister_.Begin(std::move(persist));
}

absl::Status LocalEnvironment::Listen() {
  rpc::MembershipServer::Options options;
  options.address = "127.0.0.1:" + std::to_string(port_);
  options.on_message = [this](rpc::StreamId stream, api::FromMember message) {
    post_(Input(membership::Event(membership::Received{stream, std::move(message)})));
  };
  options.on_closed = [this](rpc::StreamId stream) {
    post_(Input(membership::Event(membership::StreamClosed{stream})));
  };
  MUSTER_ASSIGN_OR_RETURN(server_, rpc::MembershipServer::Create(std::move(options)));
  log_.Info("coordinator", "listens", {{"port", port_}});
  return absl::OkStatus();
}

void LocalEnvironment::Send(membership::StreamId stream, const api::FromCoordinator& message) {
  if (server_ != nullptr) server_->Send(stream, message);
}

void LocalEnvironment::CloseStream(membership::StreamId stream) {
  if (server_ != nullptr) server_->CloseStream(stream);
}

}  // namespace muster::app
