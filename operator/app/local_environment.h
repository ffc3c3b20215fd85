// The one-machine environment of a reign: the cluster behind the Unix socket, the record as files,
// and a gRPC server of its own.
//
// Answers arrive as inputs on other threads (coordinator.cc has the queues); the calls themselves
// come from the reign's.
#pragma once

#include <functional>
#include <memory>

#include "operator/app/environment.h"
#include "operator/app/persister.h"
#include "operator/local/api_client.h"
#include "operator/rpc/server.h"
#include "operator/runtime/log.h"

namespace muster::app {

class LocalEnvironment final : public Environment {
 public:
  struct Options {
    local::ApiClient& cluster;
    std::unique_ptr<RecordStore> store;
    int port = 0;  // held by the cluster, to be bound with SO_REUSEPORT
    std::function<void(Input)> post;
    const runtime::Logger& log;
  };
  explicit LocalEnvironment(Options options);
  ~LocalEnvironment() override;  // cuts the streams; `post` is not called afterwards

  // All that it starts is the program beside it.
  std::string WorkerImage(const api::TrainingJob&) const override { return ""; }
  void CreatePod(const job::CreatePod& wanted) override;
  void DeletePod(const job::DeletePod& wanted) override;
  bool IsUnderWay(const std::string&) const override { return false; }  // done at once
  void DeleteJob(const job::Verdict&) override {}
  void WriteStatus(job::SharedStatus status) override;
  void Tell(job::Report report) override;
  void Persist(membership::Persist persist) override;
  absl::Status Listen() override;
  void Send(membership::StreamId stream, const api::FromCoordinator& message) override;
  void CloseStream(membership::StreamId stream) override;

 private:
  local::ApiClient& cluster_;
  const int port_;
  const std::function<void(Input)> post_;
  const runtime::Logger& log_;
  Persister persister_;
  std::unique_ptr<rpc::MembershipServer> server_;  // null until Listen()
};

}  // namespace muster::app
