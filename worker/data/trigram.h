// An interpolated trigram over bytes: the yardstick beside a language model's held-out loss.
//
// P(c | a b) = w3 f(c | a b) + w2 f(c | b) + w1 f(c) + w0 / 256, where f are relative frequencies
// in the training part and the four weights are fitted by expectation maximisation on the training
// part's own last tenth (with frequencies of its first nine), so that the held-out part is never
// looked at. A context that was never seen gives its weight to the shorter one. Text only.
#pragma once

#include <cstdint>
#include <span>

#include "worker/data/dataset.h"

namespace muster::data {

// Mean nats per byte of `held_out` after `training`. training needs at least 64 bytes.
double TrigramLoss(std::span<const std::uint8_t> training, std::span<const std::uint8_t> held_out);

// The same for a text data set; 0 (no baseline) for other formats and for texts too short for one.
// Of a large text at most the last 64 MiB of the training part are counted, as a joiner waits for
// it.
double BaselineLoss(const Dataset& dataset);

}  // namespace muster::data
