#include "operator/kube/list_watch.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "operator/kube/sleep.h"

namespace muster::kube {
namespace {

ApiError ErrorOf(const absl::Status& status) {
  if (std::optional<ApiError> error = ApiErrorOf(status)) {
    error->message = base::Message(status);
    return *std::move(error);
  }
  ApiError error;
  error.message = base::Message(status);
  return error;
}

ObjectChange ChangeOf(WatchEventType type) {
  if (type == WatchEventType::kAdded) return ObjectChange::kAdded;
  return type == WatchEventType::kDeleted ? ObjectChange::kDeleted : ObjectChange::kModified;
}

class Loop {
 public:
  Loop(const Client& client, const ListWatchOptions& options, const ListWatchSink& sink,
       const runtime::Clock& clock, base::SplitMix chance, std::stop_token stop)
      : client_(client),
        options_(options),
        sink_(sink),
        clock_(clock),
        chance_(chance),
        stop_(std::move(stop)),
        state_(options.watch) {}

  void Run() {
    while (!stop_.stop_requested()) {
      const WatchAct act = state_.next();
      if (!SleepUnlessStopped(act.wait, stop_)) return;
      if (const auto* page = std::get_if<AskPage>(&act.what)) {
        List(*page);
      } else {
        Watch(std::get<OpenWatch>(act.what));
      }
    }
  }

 private:
  void List(const AskPage& page) {
    ListOptions list;
    list.label_selector = options_.label_selector;
    list.field_selector = options_.field_selector;
    list.limit = page.limit;
    list.continue_token = page.continue_token;
    list.resource_version = page.resource_version;
    const absl::StatusOr<ListPage> came = client_.List(options_.resource, options_.ns, list,
                                                       [this](const Json& item) {
                                                         sink_.on_item(item);
                                                         return absl::OkStatus();
                                                       },
                                                       {options_.list_timeout, stop_});
    if (stop_.stop_requested()) return;
    Tell(came.ok() ? state_.On(PageCame{came->resource_version, came->continue_token}, chance_)
                   : state_.On(PageFailed{ErrorOf(came.status())}, chance_),
         nullptr);
  }

  void Watch(const OpenWatch& open) {
    WatchOptions watch;
    watch.label_selector = options_.label_selector;
    watch.field_selector = options_.field_selector;
    watch.resource_version = open.version;
    watch.server_timeout = open.server_timeout;
    watch.idle_timeout = open.idle_timeout;
    const base::Time begun = clock_.Now();
    bool left = false;
    const absl::Status over = client_.Watch(
        options_.resource, options_.ns, watch,
        [&](const WatchEvent& event) {
          const WatchOutcome outcome = Take(event);
          left = outcome.leave_stream;
          return !left && !stop_.stop_requested();
        },
        stop_);
    // What made us leave has said what follows; so does a stop.
    if (left || stop_.stop_requested()) return;
    const std::optional<ApiError> refused = ApiErrorOf(over);
    Tell(refused ? state_.On(WatchRefused{ErrorOf(over)}, chance_)
                 : state_.On(WatchOver{clock_.Now() - begun, base::Message(over)}, chance_),
         nullptr);
  }

  WatchOutcome Take(const WatchEvent& event) {
    WatchOutcome outcome;
    if (event.error) {
      outcome = state_.On(WatchRefused{*event.error}, chance_);
    } else if (event.type == WatchEventType::kBookmark) {
      outcome = state_.On(BookmarkSeen{event.resource_version}, chance_);
    } else {
      outcome = state_.On(ObjectSeen{ChangeOf(event.type), event.resource_version}, chance_);
    }
    Tell(outcome, &event.object);
    return outcome;
  }

  void Tell(const WatchOutcome& outcome, const Json* object) {
    switch (outcome.effect) {
      case StoreEffect::kNothing:
      case StoreEffect::kKeepPage:
        break;
      case StoreEffect::kReplace:
        sink_.on_list();
        break;
      case StoreEffect::kForget:
        sink_.on_list_void();
        break;
      case StoreEffect::kPut:
        sink_.on_put(*object);
        break;
      case StoreEffect::kRemove:
        sink_.on_remove(*object);
        break;
    }
    if (!outcome.problem.empty() && sink_.on_problem) sink_.on_problem(outcome.problem);
  }

  const Client& client_;
  const ListWatchOptions& options_;
  const ListWatchSink& sink_;
  const runtime::Clock& clock_;
  base::SplitMix chance_;
  const std::stop_token stop_;
  WatchState state_;
};

}  // namespace

void RunListWatch(const Client& client, const ListWatchOptions& options, const ListWatchSink& sink,
                  const runtime::Clock& clock, base::SplitMix chance, std::stop_token stop) {
  Loop(client, options, sink, clock, chance, std::move(stop)).Run();
}

ObjectMeta MetaOf(const Json& object) {
  return {{TextAt(object, {"metadata", "namespace"}), TextAt(object, {"metadata", "name"})},
          TextAt(object, {"metadata", "uid"}),
          TextAt(object, {"metadata", "resourceVersion"})};
}

}  // namespace muster::kube
