// A stack of its own that a function runs on until it yields: a thread of a block.
//
// Switching is a dozen instructions on x86-64 (a launch of 262,144 threads that shuffle switches
// some ten million times) and swapcontext elsewhere. AddressSanitizer is told of each switch.
// A fiber that is destroyed before its function has returned takes no destructors with it.
// Thread rule: one thread at a time resumes; not always the same one.
#pragma once

#include <cstddef>

namespace muster::simt {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next Resume begins it. Only when the function before has returned.
  void Begin(void (*function)(void*), void* data);
  // Runs it until it yields or returns. False: it has returned.
  bool Resume();
  // Of the fiber that runs: back to Resume.
  void Yield();

 private:
  struct Machine;  // what to switch back to
  static void Main();
  void SwitchIn();
  void SwitchOut();

  char* memory_ = nullptr;  // what no one may touch, and the stack
  Machine* machine_ = nullptr;
  void (*function_)(void*) = nullptr;
  void* data_ = nullptr;
  bool running_ = false;
};

}  // namespace muster::simt
