// What tests and players ask the double itself: objects, faults, the log.
#include <utility>

#include "tests/kube/api_double.h"

namespace muster::kubetest {

std::optional<Json> ApiDouble::Find(const std::string& plural, const std::string& ns,
                                    const std::string& name) const {
  runtime::MutexLock lock(mutex_);
  const Json* object = core_.history.Find(KindOf(plural), ns, name);
  return object == nullptr ? std::nullopt : std::optional<Json>(*object);
}

std::vector<Json> ApiDouble::All(const std::string& plural, const std::string& ns) const {
  runtime::MutexLock lock(mutex_);
  return core_.history.List(KindOf(plural), ns, Selectors());
}

bool ApiDouble::Change(const std::string& plural, const std::string& ns, const std::string& name,
                       const std::function<void(Json&)>& change) {
  runtime::MutexLock lock(mutex_);
  const Kind& kind = KindOf(plural);
  const Json* before = core_.history.Find(kind, ns, name);
  if (before == nullptr) return false;
  Json after = *before;
  change(after);
  if (after == *before) return false;
  core_.history.Put(kind, std::move(after));
  changed_.NotifyAll();
  return true;
}

void ApiDouble::Remove(const std::string& plural, const std::string& ns, const std::string& name) {
  runtime::MutexLock lock(mutex_);
  core_.history.Remove(KindOf(plural), ns, name);
  changed_.NotifyAll();
}

bool ApiDouble::HasUid(const std::string& uid) const {
  runtime::MutexLock lock(mutex_);
  return core_.history.HasUid(uid);
}

void ApiDouble::AddToken(const std::string& token, TokenOwner owner) {
  runtime::MutexLock lock(mutex_);
  core_.tokens.insert_or_assign(token, std::move(owner));
}

int ApiDouble::AddFault(FaultRule rule) {
  runtime::MutexLock lock(mutex_);
  return faults_.Add(std::move(rule));
}

int ApiDouble::FaultCount(int rule) const {
  runtime::MutexLock lock(mutex_);
  return faults_.Count(rule);
}

void ApiDouble::ClearFaults() {
  runtime::MutexLock lock(mutex_);
  faults_.Clear();
}

void ApiDouble::Compact() {
  runtime::MutexLock lock(mutex_);
  core_.history.Compact();
  changed_.NotifyAll();
}

void ApiDouble::SendBookmarks() {
  runtime::MutexLock lock(mutex_);
  ++bookmarks_;
  changed_.NotifyAll();
}

std::vector<WriteRecord> ApiDouble::Writes() const {
  runtime::MutexLock lock(mutex_);
  return writes_;
}

void ApiDouble::SetAfterWrite(std::function<void(const WriteRecord&)> after) {
  runtime::MutexLock lock(mutex_);
  after_write_ = std::move(after);
}

std::uint64_t ApiDouble::version() const {
  runtime::MutexLock lock(mutex_);
  return core_.history.version();
}

void ApiDouble::Close() {
  runtime::MutexLock lock(mutex_);
  closed_ = true;
  changed_.NotifyAll();
}

}  // namespace muster::kubetest
