#include "operator/kube/watch_state.h"

#include <algorithm>
#include <utility>

namespace muster::kube {
namespace {

constexpr int kGone = 410;
// A watch that ends well before it was this old, and without a word, is a server that ends them
// all.
constexpr base::Duration kLeastLife = std::chrono::seconds(1);

}  // namespace

WatchState::WatchState(WatchSettings settings)
    : settings_(std::move(settings)), stand_(Empty{settings_.consistent_first, false}) {
  next_.what = AskPage{settings_.page_size, "", settings_.consistent_first ? "" : "0"};
}

WatchOutcome WatchState::On(const WatchInput& input, base::SplitMix& chance) {
  if (const auto* page = std::get_if<PageCame>(&input)) return OnPage(*page, chance);
  if (const auto* failed = std::get_if<PageFailed>(&input)) return OnPageFailed(*failed, chance);
  if (const auto* seen = std::get_if<ObjectSeen>(&input)) return OnObject(*seen, chance);
  if (const auto* seen = std::get_if<BookmarkSeen>(&input)) return OnBookmark(*seen, chance);
  if (const auto* refused = std::get_if<WatchRefused>(&input)) return OnRefused(*refused, chance);
  return OnOver(std::get<WatchOver>(input), chance);
}

// What follows from the stand alone.
void WatchState::Plan(base::Duration wait, base::SplitMix& chance) {
  next_.wait = wait;
  if (const auto* empty = std::get_if<Empty>(&stand_)) {
    next_.what = AskPage{empty->whole ? 0 : settings_.page_size, "", empty->consistent ? "" : "0"};
  } else if (const auto* listing = std::get_if<Listing>(&stand_)) {
    next_.what = AskPage{settings_.page_size, listing->continue_token, ""};
  } else {
    const base::Duration longer =
        base::FromSeconds(base::ToSeconds(settings_.server_timeout) * 0.2 * chance.Uniform());
    // Servers take whole seconds, and the client's patience must be counted from the same number.
    const auto server = std::chrono::ceil<std::chrono::seconds>(settings_.server_timeout + longer);
    next_.what = OpenWatch{std::get<Watching>(stand_).version, server, server + kIdleSlack};
  }
}

void WatchState::Heard() {
  failures_ = 0;
  heard_in_stream_ = true;
}

base::Duration WatchState::NextWait(const ApiError& error, base::SplitMix& chance) {
  base::Duration wait = settings_.least_wait;
  for (int i = 0; i < failures_ && wait < settings_.most_wait; ++i) wait *= 2;
  wait = std::min(wait, settings_.most_wait);
  ++failures_;
  wait = base::FromSeconds(base::ToSeconds(wait) * (0.5 + 0.5 * chance.Uniform()));
  return error.retry_after ? *error.retry_after + wait : wait;
}

WatchOutcome WatchState::StartAgain(bool whole, bool at_once, std::string problem,
                                    base::SplitMix& chance) {
  stand_ = Empty{true, whole};
  base::Duration wait = NextWait(ApiError(), chance);
  if (at_once) wait = base::Duration(0);
  Plan(wait, chance);
  return {StoreEffect::kForget, true, std::move(problem)};
}

WatchOutcome WatchState::OnPage(const PageCame& page, base::SplitMix& chance) {
  if (!page.continue_token.empty()) {
    stand_ = Listing{page.continue_token};
    Plan(base::Duration(0), chance);
    return {StoreEffect::kKeepPage, false, ""};
  }
  if (page.version.empty()) {
    return StartAgain(false, false, "the list has no resourceVersion to watch from", chance);
  }
  // Only a watch that works clears the count: a server that lists well and refuses every watch must
  // not be listed from without a pause.
  stand_ = Watching{page.version};
  heard_in_stream_ = false;
  Plan(base::Duration(0), chance);
  return {StoreEffect::kReplace, false, ""};
}

WatchOutcome WatchState::OnPageFailed(const PageFailed& failed, base::SplitMix& chance) {
  const ApiError& error = failed.error;
  if (error.code == kGone && std::holds_alternative<Listing>(stand_)) {
    // The list took longer than the server keeps versions: next time in one answer.
    return StartAgain(true, failures_ == 0, "a continue token has expired: " + error.message,
                      chance);
  }
  if (error.code == kGone) return StartAgain(false, false, error.message, chance);
  Plan(NextWait(error, chance), chance);
  return {StoreEffect::kNothing, false, error.message};
}

WatchOutcome WatchState::OnObject(const ObjectSeen& seen, base::SplitMix& chance) {
  if (seen.version.empty()) {
    return StartAgain(false, false, "an object of the watch has no resourceVersion", chance);
  }
  Heard();
  stand_ = Watching{seen.version};
  Plan(base::Duration(0), chance);
  return {seen.change == ObjectChange::kDeleted ? StoreEffect::kRemove : StoreEffect::kPut, false,
          ""};
}

WatchOutcome WatchState::OnBookmark(const BookmarkSeen& seen, base::SplitMix& chance) {
  Heard();
  // A bookmark without a version says only that the server lives.
  if (!seen.version.empty()) stand_ = Watching{seen.version};
  Plan(base::Duration(0), chance);
  return {};
}

WatchOutcome WatchState::OnRefused(const WatchRefused& refused, base::SplitMix& chance) {
  const ApiError& error = refused.error;
  if (error.code == kGone) {
    return StartAgain(false, failures_ == 0, "the watched version is too old: " + error.message,
                      chance);
  }
  heard_in_stream_ = false;
  Plan(NextWait(error, chance), chance);
  return {StoreEffect::kNothing, true, error.message};
}

WatchOutcome WatchState::OnOver(const WatchOver& over, base::SplitMix& chance) {
  const bool heard = std::exchange(heard_in_stream_, false);
  const bool lived = heard || over.lasted >= kLeastLife;
  if (over.problem.empty() && lived) {
    failures_ = 0;
    Plan(base::Duration(0), chance);
    return {};
  }
  Plan(NextWait(ApiError(), chance), chance);
  return {StoreEffect::kNothing, true,
          over.problem.empty() ? "the server ends watches at once" : over.problem};
}

}  // namespace muster::kube
