// What a moment has needed and nobody needs any more goes back to the machine.
#pragma once

namespace muster::runtime {

// The allocator keeps freed pages for later, in every arena. After a burst that does not come again (the first
// lists of a fleet) they are only a number on somebody's bill. Takes milliseconds; nothing where the C library
// has no such call.
void ReturnFreeMemory();

}  // namespace muster::runtime
