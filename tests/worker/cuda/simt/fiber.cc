#include "tests/worker/cuda/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#include "tests/worker/cuda/simt/simt.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
// MUSTER_SIMT_UCONTEXT takes the slow way also where there is a fast one.
#if !defined(__x86_64__) && !defined(MUSTER_SIMT_UCONTEXT)
#define MUSTER_SIMT_UCONTEXT
#endif
#ifdef MUSTER_SIMT_UCONTEXT
#include <ucontext.h>
#else
// Saves what a called function must keep on the stack that is left, and takes it from the other.
asm(R"(
  .text
  .globl muster_simt_switch
  .hidden muster_simt_switch
  .type muster_simt_switch, @function
muster_simt_switch:
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size muster_simt_switch, . - muster_simt_switch
)");
extern "C" void muster_simt_switch(void** saved, void* to);
#endif

namespace muster::simt {
namespace {

// A frame that is too large for what is left of the stack must not reach over it.
constexpr std::size_t kGuardBytes = std::size_t{1} << 20;

// The one that runs: where a new one learns which it is.
Fiber* beginning = nullptr;

}  // namespace

struct Fiber::Machine {
#ifdef MUSTER_SIMT_UCONTEXT
  ucontext_t inside, outside;
#else
  void *inside = nullptr, *outside = nullptr;
#endif
  // AddressSanitizer's: its own stacks, and where the resumer's stack lies.
  void *fake_inside = nullptr, *fake_outside = nullptr;
  const void* outside_bottom = nullptr;
  std::size_t outside_bytes = 0;
};

Fiber::Fiber() : machine_(new Machine) {
  void* const memory = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) std::abort();
  memory_ = static_cast<char*>(memory);
  char* const bottom = memory_ + kGuardBytes;
#ifdef MUSTER_SIMT_UCONTEXT
  getcontext(&machine_->inside);
  machine_->inside.uc_stack.ss_sp = bottom;
  machine_->inside.uc_stack.ss_size = kStackBytes;
  machine_->inside.uc_link = nullptr;
  makecontext(&machine_->inside, &Fiber::Main, 0);
#else
  // As if muster_simt_switch had been called by Main's first instruction: six registers, where to
  // go, and no one to return to, so that a backtrace ends here.
  auto* const top = reinterpret_cast<std::uintptr_t*>(bottom + kStackBytes);
  top[-1] = 0;
  top[-2] = reinterpret_cast<std::uintptr_t>(&Fiber::Main);
  machine_->inside = top - 8;
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_ADDRESS__)
  // What frames that never ended had poisoned.
  __asan_unpoison_memory_region(memory_ + kGuardBytes, kStackBytes);
#endif
  munmap(memory_, kGuardBytes + kStackBytes);
  delete machine_;
}

void Fiber::Begin(void (*function)(void*), void* data) {
  function_ = function;
  data_ = data;
  running_ = true;
}

void Fiber::SwitchIn() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine_->fake_outside, memory_ + kGuardBytes, kStackBytes);
#endif
#ifdef MUSTER_SIMT_UCONTEXT
  swapcontext(&machine_->outside, &machine_->inside);
#else
  muster_simt_switch(&machine_->outside, machine_->inside);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine_->fake_outside, nullptr, nullptr);
#endif
}

void Fiber::SwitchOut() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&machine_->fake_inside, machine_->outside_bottom,
                                 machine_->outside_bytes);
#endif
#ifdef MUSTER_SIMT_UCONTEXT
  swapcontext(&machine_->inside, &machine_->outside);
#else
  muster_simt_switch(&machine_->inside, machine_->outside);
#endif
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(machine_->fake_inside, &machine_->outside_bottom,
                                  &machine_->outside_bytes);
#endif
}

void Fiber::Main() {
  Fiber* const me = beginning;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &me->machine_->outside_bottom,
                                  &me->machine_->outside_bytes);
#endif
  for (;;) {
    me->function_(me->data_);
    me->running_ = false;
    me->SwitchOut();
  }
}

bool Fiber::Resume() {
  beginning = this;
  SwitchIn();
  return running_;
}

void Fiber::Yield() { SwitchOut(); }

}  // namespace muster::simt
