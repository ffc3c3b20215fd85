// Both ends of an encrypted stream for tests: a gate with certificates made for it, and members that
// join as a worker's process does.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "operator/rpc/gate.h"
#include "tests/worker/rpc/ends.h"
#include "tests/worker/scratch_folder.h"
#include "worker/rpc/credentials.h"
#include "worker/rpc/resolver.h"

namespace muster::rpc {

inline constexpr char kJob[] = "6f1c2b9e-8f4a-4a55-9d0e-3b1f0a9c7e21";

// An authority that is good for a year.
runtime::Identity MakeTestAuthority();
// A leaf for the loopback interface, or for `dns_names` alone; believed together with `others`.
GateKeys MakeTestKeys(const runtime::Identity& authority,
                      const std::vector<runtime::Identity>& others = {},
                      const std::vector<std::string>& dns_names = {"localhost"},
                      const std::vector<std::string>& addresses = {"127.0.0.1", "::1"});

// A name service with a table.
class TableOfNames final : public NameService {
 public:
  explicit TableOfNames(std::map<std::string, std::vector<std::string>> table)
      : table_(std::move(table)) {}
  std::map<std::string, absl::StatusOr<std::vector<std::string>>> Ask(
      const std::vector<std::string>& hosts, base::Duration,
      const std::function<bool()>&) override {
    std::map<std::string, absl::StatusOr<std::vector<std::string>>> answers;
    for (const std::string& host : hosts) answers.emplace(host, table_.at(host));
    return answers;
  }

 private:
  const std::map<std::string, std::vector<std::string>> table_;
};

// Answers every Heartbeat with its BeatAck and, while it `welcomes`, every Hello with a Welcome.
class TestGate : public Watched {
 public:
  using Adjust = std::function<void(Gate::Options*)>;
  explicit TestGate(const GateKeys& keys, const Adjust& change = nullptr);
  ~TestGate() { gate_->Shutdown(std::chrono::milliseconds(200)); }
  Gate* operator->() { return gate_.get(); }

  // What a review says; nothing: it never says anything. Right is "token of ORDINAL.INCARNATION".
  std::function<std::optional<absl::Status>(const std::string& token, base::MemberId)> verdict;

  bool welcomes = true;

  // Under With() or in Await()'s condition:
  struct Delivered {
    StreamId stream;
    std::string job_uid;
    api::FromMember message;
  };
  std::vector<std::string> reviews;  // "TOKEN for MEMBER of JOB"
  std::vector<Delivered> delivered;
  std::vector<StreamId> closed;
  std::vector<std::string> refused;
  std::vector<api::Hello> Hellos() const;

 private:
  std::unique_ptr<Gate> gate_;
};

class TestMember : public Watched {
 public:
  using Adjust = std::function<void(CoordinatorClient::Options*)>;
  // Believes `authority`, and joins with "token of MEMBER" unless another is given.
  TestMember(const std::string& address, base::MemberId member, const runtime::Identity& authority,
             const std::string& token = "", const Adjust& change = nullptr);
  ~TestMember() { client_->Stop(); }
  CoordinatorClient* operator->() { return client_.get(); }
  Credentials& credentials() { return *credentials_; }
  std::shared_ptr<const runtime::Identity> Certificate() const;
  void WriteCa(const std::string& pem) { folder_.Write("ca.crt", pem); }

  // Under With() or in Await()'s condition:
  int ups = 0;
  int downs = 0;
  std::vector<api::FromCoordinator> received;
  std::vector<std::string> troubles;
  std::string Refusal() const;                // what it was refused with; empty: it was not
  bool Heard(const std::string& part) const;  // in its troubles

 private:
  const ScratchFolder folder_;
  std::unique_ptr<Credentials> credentials_;
  std::unique_ptr<CoordinatorClient> client_;
};

}  // namespace muster::rpc
