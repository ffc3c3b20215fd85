// One line for each event and command of a session: what transcripts and traces are made of.
#pragma once

#include <string>

#include "operator/api/messages.h"
#include "worker/session/session.h"

namespace muster::session {

std::string Describe(const Event& event);
std::string Describe(const Command& command);
std::string Describe(const api::MemberMessage& message);
std::string Describe(const api::CoordinatorMessage& message);
std::string Describe(const api::View& view);
std::string Describe(const api::SumTag& tag);
std::string Describe(const std::vector<api::Slot>& slots);
std::string PhaseName(api::MemberPhase phase);

}  // namespace muster::session
