// A watch: changes in order, filtered, with what the rules do to them.
#include <algorithm>

#include "tests/kube/api_double.h"

namespace muster::kubetest {
namespace {

using What = WatchStream::Item::What;

std::string LineOf(const std::string& type, const Json& object) {
  return Json{{"type", type}, {"object", object}}.dump(-1, ' ', false,
                                                       Json::error_handler_t::replace);
}

}  // namespace

WatchStream::Item WatchStream::Next(base::Time deadline) {
  runtime::MutexLock lock(api_.mutex_);
  for (;;) {
    if (auto item = Take()) return *std::move(item);
    if (api_.closed_) return {What::kEnd, ""};
    const base::Time now = runtime::RealClock().Now();
    if (ends_at_ && now >= *ends_at_) {
      if (bookmarks_) ready_.push_back({What::kLine, Bookmark(false)});
      ready_.push_back({What::kEnd, ""});
      ends_at_.reset();
      continue;
    }
    if (now >= deadline) return {};
    api_.changed_.WaitUntil(api_.mutex_, std::min(deadline, ends_at_.value_or(deadline)));
  }
}

void WatchStream::Begin(bool from_now) {
  bookmarks_seen_ = api_.bookmarks_;
  if (!from_now) return;
  version_ = api_.core_.history.version();
  for (const Json& object : api_.core_.history.List(*route_.kind, route_.ns, selectors_)) {
    Deliver("ADDED", object);
  }
}

std::optional<WatchStream::Item> WatchStream::Take() {
  while (ready_.empty()) {
    const History& history = api_.core_.history;
    if (version_ < history.compacted()) {
      Expire();
      break;
    }
    const Change* change = history.After(version_);
    if (change == nullptr) break;
    version_ = change->version;
    if (change->kind != route_.kind) continue;
    const std::string type = TypeFor(*change, route_.ns, selectors_);
    if (type.empty()) continue;
    Json object = change->object;
    if (type == "DELETED" && change->type != "DELETED") {
      object = change->before;
      object["metadata"]["resourceVersion"] = std::to_string(change->version);
    }
    Deliver(type, object);
  }
  if (ready_.empty() && bookmarks_ && bookmarks_seen_ < api_.bookmarks_) {
    bookmarks_seen_ = api_.bookmarks_;
    version_ = api_.core_.history.version();
    Deliver("BOOKMARK", Json::parse(Bookmark(false))["object"]);
  }
  if (ready_.empty()) return std::nullopt;
  Item item = std::move(ready_.front());
  ready_.pop_front();
  return item;
}

void WatchStream::Deliver(const std::string& type, const Json& object) {
  Item item{What::kLine, LineOf(type, Stamped(*route_.kind, object))};
  const Occasion occasion{"event", std::string(route_.kind->plural),
                          object["metadata"].value("name", ""), "", type};
  const FaultAction* action = api_.faults_.Next(occasion);
  if (action != nullptr) {
    if (std::holds_alternative<DropEvent>(*action)) return;
    if (std::holds_alternative<EndWatch>(*action)) return ready_.push_back({What::kEnd, ""});
    if (std::holds_alternative<ExpireWatch>(*action)) return Expire();
    if (std::holds_alternative<BreakWatch>(*action)) {
      item.what = What::kBreak;
      item.line.resize(item.line.size() / 2);
      return ready_.push_back(std::move(item));
    }
    if (std::holds_alternative<HoldEvent>(*action) && !held_) {
      held_ = std::move(item);
      return;
    }
    if (std::holds_alternative<RepeatEvent>(*action)) ready_.push_back(item);
  }
  ready_.push_back(std::move(item));
  if (held_) ready_.push_back(*std::exchange(held_, std::nullopt));
}

void WatchStream::Expire() {
  const Json status = Refusal(410, "Expired",
                              "too old resource version: " + std::to_string(version_) + " (" +
                                  std::to_string(api_.core_.history.compacted()) + ")")
                          .body;
  ready_.push_back({What::kLine, LineOf("ERROR", status)});
  ready_.push_back({What::kEnd, ""});
  version_ = api_.core_.history.version();
}

std::string WatchStream::Bookmark(bool initial) const {
  Json metadata = {{"resourceVersion", std::to_string(api_.core_.history.version())}};
  if (initial) metadata["annotations"] = {{"k8s.io/initial-events-end", "true"}};
  return LineOf("BOOKMARK", Stamped(*route_.kind, {{"metadata", metadata}}));
}

}  // namespace muster::kubetest
