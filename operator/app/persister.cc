#include "operator/app/persister.h"

namespace muster::app {

Persister::Persister(std::unique_ptr<RecordStore> store,
                     std::function<void(membership::Persisted)> answer)
    : store_(std::move(store)), answer_(std::move(answer)) {
  thread_ = std::jthread([this] { Loop(); });
}

Persister::~Persister() {
  queue_.Close();
  thread_.join();
}

void Persister::Begin(membership::Persist persist) { queue_.Push(std::move(persist)); }

void Persister::Loop() {
  while (auto persist = queue_.Pop()) {
    membership::Persisted persisted;
    persisted.outcome = store_->Persist(persist->expected, persist->next, &persisted.current);
    answer_(std::move(persisted));
  }
}

}  // namespace muster::app
