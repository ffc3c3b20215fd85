// What of a spec may not change once the job has started, as one text to compare.
//
// The API server refuses such a change already (the CRD's rules). The operator compares the hash
// as well: a custom resource definition of another release may be looser, and a job may be deleted
// and made anew under its name. Values only.
#pragma once

#include <string>

#include "operator/api/training_job.h"

namespace muster::api {

// Hex SHA-256 of the fields that are fixed once status.startTime is set, and of managedBy, which
// never changes. A field that has its default counts as not set: it does not matter how a spec was
// spelt, and a field that a later release adds does not change the hash of a job that lacks it.
std::string FrozenHash(const TrainingJobSpec& spec);

// Hex SHA-256 of the pods' template, whatever the order of its keys: it may change only while the
// job is suspended. CEL compares fields that have no schema only where both sides have them, so the
// API server misses a key of the template that takes another's place; the hash does not.
std::string TemplateHash(const TrainingJobSpec& spec);

}  // namespace muster::api
