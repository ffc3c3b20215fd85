// One played worker, as the files of Workers share it.
#pragma once

#include <deque>

#include "tests/crash/workers.h"

namespace muster::crash {

struct Workers::Worker {
  explicit Worker(Process p, session::Config config)
      : process(std::move(p)), session(std::move(config)) {}

  const Process process;
  session::Session session;
  std::unique_ptr<rpc::Credentials> credentials;
  std::unique_ptr<rpc::CoordinatorClient> client;
  bool alive = true;

  // What the beat thread says.
  runtime::Mutex mutex;
  api::FromMember beat MUSTER_GUARDED_BY(mutex);
  std::uint64_t beats MUSTER_GUARDED_BY(mutex) = 0;

  struct Order {
    session::ComputeSlots slots;
    std::size_t next = 0;
    bool stop = false;
  };
  std::deque<Order> orders;
  std::optional<sim::ModelState> model;
  sim::Sum sum;
  std::optional<sim::Sum> confirmed;
  std::map<std::int64_t, sim::ModelState> copies;
  std::optional<session::ServeState> serving;
  bool fetching = false;
};

}  // namespace muster::crash
