// Loss sums as integers (E6), so that the reported loss is the same bits whoever computed which
// slot.
//
// Scale 2^30: steps of 9.3e-10 nats in a slot's sum, and room for sums of 2^33 nats over a step.
// Thread rule: pure functions.
#pragma once

#include <cstdint>

namespace muster::exact {

inline constexpr int kLossFractionBits = 30;

// Nearest even. NaN and infinities give 0 (the slot raises its own flag); magnitudes beyond 2^22
// nats, or beyond what `terms` such sums may have inside 64 bits, are held there. terms >= 1.
std::int64_t QuantiseLoss(double nats, std::int64_t terms);
double DequantiseLoss(std::int64_t fixed);

}  // namespace muster::exact
