// The device's memory, which is the process's where kernels are emulated: copies in and out of it.
//
// The emulator poisons it for AddressSanitizer between launches, so that a host that touches it is
// found out. Here it is the device that touches it: these are not instrumented and call nothing.
#pragma once

#include <cstddef>

namespace muster::standin {

void ReadDevice(const void* device, void* to, std::size_t bytes);
void WriteDevice(const void* from, void* device, std::size_t bytes);
// What an aborted collective leaves behind.
inline constexpr unsigned char kGarbage = 0xab;
void SpoilDevice(void* device, std::size_t bytes);

// `into` op= `with`, in the host's memory. Integer sums wrap; a maximum of floats keeps `into`
// unless the other is greater. False for a type or an operation that is not known.
bool Combine(int op, int type, const void* with, void* into, std::size_t count);
// 0 for one that is not known.
std::size_t BytesOf(int type);

}  // namespace muster::standin
