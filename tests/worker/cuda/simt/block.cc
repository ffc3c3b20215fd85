#include "tests/worker/cuda/simt/block.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace muster::simt {
namespace {

// What shared memory has at first: floats of it are far from anything, integers are great.
constexpr int kNothing = 0xa7;
constexpr std::size_t kSharedAlignment = 128;

bool Same(const Place& a, const Place& b) {
  return a.line == b.line && (a.what == b.what || std::strcmp(a.what, b.what) == 0) &&
         (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string Say(const Place& place) {
  const char* const slash = std::strrchr(place.file, '/');
  return std::string(place.what) + " (" + (slash == nullptr ? place.file : slash + 1) + ":" +
         std::to_string(place.line) + ")";
}

std::string Say(const uint3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}

std::string Hex(unsigned mask) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out = "0x";
  for (int shift = 28; shift >= 0; shift -= 4) out += kDigits[(mask >> shift) & 15u];
  return out;
}

std::uint64_t Mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

void PutInOrder(Order order, std::uint64_t seed, std::uint64_t turn, unsigned count,
                std::vector<unsigned>& out) {
  out.resize(count);
  for (unsigned i = 0; i < count; ++i) out[i] = order == Order::kDescending ? count - 1 - i : i;
  if (order != Order::kShuffled) return;
  std::uint64_t state = Mix(seed) ^ Mix(turn * 2 + 1);
  for (unsigned i = count; i > 1; --i) {
    state = Mix(state);
    std::swap(out[i - 1], out[state % i]);
  }
}

Block::Block(const Kernel& kernel, const Shape& shape, const Settings& settings, Fibers& fibers)
    : kernel_(kernel),
      shape_(shape),
      settings_(settings),
      count_(shape.threads.x * shape.threads.y * shape.threads.z),
      fibers_(fibers),
      threads_(count_),
      warps_((count_ + 31) / 32) {
  // Exactly as many bytes as were asked for, so that AddressSanitizer sees the first one after.
  shared_bytes_ = shape.shared_bytes;
  shared_memory_ = std::make_unique<char[]>(shared_bytes_ + kSharedAlignment);
  const auto at = reinterpret_cast<std::uintptr_t>(shared_memory_.get());
  shared_ = shared_memory_.get() + (kSharedAlignment - at % kSharedAlignment);
#if defined(__SANITIZE_ADDRESS__)
  char* const begin = shared_memory_.get();
  char* const end = begin + shared_bytes_ + kSharedAlignment;
  char* const after = static_cast<char*>(shared_) + shared_bytes_;
  __asan_poison_memory_region(begin, static_cast<std::size_t>(static_cast<char*>(shared_) - begin));
  __asan_poison_memory_region(after, static_cast<std::size_t>(end - after));
#endif
  while (fibers_.size() < count_) fibers_.push_back(std::make_unique<Fiber>());
  now.threads = shape.threads;
  now.blocks = shape.blocks;
}

std::string Block::OfThread(unsigned thread) const {
  return "thread " + Say(threads_[thread].index) + " of block " + Say(index_);
}

void Block::RunThread(void* block) {
  auto* const self = static_cast<Block*>(block);
  self->kernel_.run(self->kernel_.values.get());
}

void Block::Resume(unsigned thread) {
  running_ = thread;
  now.thread = threads_[thread].index;
  if (fibers_[thread]->Resume()) return;
  threads_[thread].state = State::kLeft;
  warps_[thread / 32].here &= ~(1u << thread % 32);
}

bool Block::ResumeAll(const unsigned* threads, std::size_t count) {
  bool moved = false;
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned thread = threads[i];
    if (threads_[thread].state != State::kReady) continue;
    moved = true;
    Resume(thread);
    if (breach_) return false;
  }
  return moved;
}

std::optional<std::string> Block::Run(uint3 index) {
  index_ = now.block = index;
  at_barrier_ = 0;
  std::memset(shared_, kNothing, shared_bytes_);
  for (Warp& warp : warps_) warp = Warp();
  for (unsigned i = 0; i < count_; ++i) {
    warps_[i / 32].here |= 1u << i % 32;
    threads_[i] = Thread();
    threads_[i].index = {i % shape_.threads.x, i / shape_.threads.x % shape_.threads.y,
                         i / shape_.threads.x / shape_.threads.y};
    fibers_[i]->Begin(RunThread, this);
  }
  std::vector<unsigned> order;
  PutInOrder(settings_.threads, settings_.seed, ++turn_, count_, order);
  // How many have their turn before the first of them has it again.
  const std::size_t together = settings_.by_warps ? 32 : count_;
  for (bool moved = true; moved;) {
    moved = false;
    for (std::size_t first = 0; first < count_; first += together) {
      const std::size_t count = std::min<std::size_t>(together, count_ - first);
      while (ResumeAll(order.data() + first, count)) {
        moved = true;
        if (!settings_.by_warps) break;
      }
      if (breach_) return breach_;
    }
    if (settings_.threads == Order::kShuffled) {
      PutInOrder(settings_.threads, settings_.seed, ++turn_, count_, order);
    }
  }
  const bool all_left = std::all_of(threads_.begin(), threads_.end(),
                                    [](const Thread& t) { return t.state == State::kLeft; });
  if (!all_left) breach_ = WhyNoneGoesOn();
  return breach_;
}

std::string Block::WhyNoneGoesOn() const {
  std::size_t left = 0;
  std::map<std::string, std::size_t> waiting;
  for (const Thread& thread : threads_) {
    if (thread.state == State::kLeft) {
      ++left;
      continue;
    }
    std::string where = Say(thread.place);
    if (thread.state == State::kInWarp) where += " with mask " + Hex(thread.mask);
    ++waiting[where];
  }
  std::string out = "block " + Say(index_) + ": none goes on; ";
  if (left != 0) out += std::to_string(left) + " left, ";
  bool first = true;
  for (const auto& [where, count] : waiting) {
    out += (first ? "" : ", ") + std::to_string(count) + " wait at " + where;
    first = false;
  }
  return out;
}

void Block::Wait() { fibers_[running_]->Yield(); }

void Block::Fail(const Place& place, std::string sentence) {
  breach_ = OfThread(running_) + " at " + Say(place) + ": " + sentence;
  // Run sees the breach and ends; this fiber is not resumed, and no destructor runs on it.
  std::string().swap(sentence);
  for (;;) Wait();
}

bool Block::AllCame(unsigned first, unsigned mask, const Place& place) const {
  if ((warps_[first / 32].came & mask) != mask) return false;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    const Thread& other = threads_[first + lane];
    if (other.mask != mask || !Same(other.place, place)) return false;
  }
  return true;
}

void Block::FailForAbsent(const Place& place, unsigned mask) {
  const unsigned first = running_ - running_ % 32;
  unsigned lane = 0;
  while (((mask & ~warps_[running_ / 32].here) >> lane & 1u) == 0) ++lane;
  Fail(place, "the mask " + Hex(mask) + " names lane " + std::to_string(lane) +
                  (first + lane < count_ ? ", which has left" : ", which the block does not have"));
}

void Block::MeetWarp(const Place& place, unsigned mask, void* mine, Together together) {
  const unsigned lane = running_ % 32, first = running_ - lane;
  Warp& warp = warps_[running_ / 32];
  if ((mask >> lane & 1u) == 0) {
    Fail(place,
         "the mask " + Hex(mask) + " does not name the caller, lane " + std::to_string(lane));
  }
  if ((mask & ~warp.here) != 0) FailForAbsent(place, mask);
  warp.came |= 1u << lane;
  Thread& me = threads_[running_];
  me.state = State::kInWarp;
  me.place = place;
  me.mask = mask;
  me.mine = mine;
  if (!AllCame(first, mask, place)) {
    Wait();
    return;
  }
  void* lanes[32];
  for (unsigned other = 0; other < 32; ++other) {
    lanes[other] = (mask >> other & 1u) != 0 ? threads_[first + other].mine : nullptr;
  }
  together(place, lanes);
  for (unsigned other = 0; other < 32; ++other) {
    if ((mask >> other & 1u) != 0) threads_[first + other].state = State::kReady;
  }
  warp.came &= ~mask;
}

void Block::MeetBlock(const Place& place) {
  Thread& me = threads_[running_];
  me.state = State::kAtBarrier;
  me.place = place;
  if (++at_barrier_ < count_) {
    Wait();
    return;
  }
  for (const Thread& other : threads_) {
    if (!Same(other.place, place)) {
      Fail(place, "another thread of the block waits at " + Say(other.place));
    }
  }
  for (Thread& other : threads_) other.state = State::kReady;
  at_barrier_ = 0;
}

}  // namespace muster::simt
