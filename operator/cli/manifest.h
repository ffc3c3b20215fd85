// A manifest file: read, checked, and the sentences about it.
#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "operator/api/job_validation.h"

namespace muster::cli {

struct Manifest {
  std::string file;  // as the person named it; "-" is standard input
  api::ValidationResult result;
};

Manifest ReadManifest(const std::string& file, std::istream& in);
// The same from text.
Manifest CheckManifest(const std::string& file, const std::string& text);

// "FILE:12: spec.training.slots: 0 is not allowed: an integer from 1 to 65536"; without the line
// where it is not known.
std::string FindingLine(const std::string& file, const api::Finding& finding, bool warning);

// What a valid job says that one machine does not look at: notes for a person.
std::vector<std::string> IgnoredOnOneMachine(const api::TrainingJob& job);

// Why one machine cannot run a valid job; empty when it can.
std::vector<std::string> RefusedOnOneMachine(const api::TrainingJob& job);

}  // namespace muster::cli
