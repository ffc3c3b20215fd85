#include "worker/device/staging.h"

#include <new>
#include <utility>

namespace muster::device {
namespace {

constexpr std::align_val_t kAligned{64};

}  // namespace

void HostMemory::Free::operator()(std::byte* p) const { ::operator delete[](p, kAligned); }

HostMemory::HostMemory(Context& context, std::size_t bytes) : context_(&context) {
  if (bytes == 0) return;
  char unused[256] = "";
  const int32_t failed = context.module().staging.allocate_host(
      context.raw(), static_cast<int64_t>(bytes), &locked_, {unused, sizeof(unused)});
  if (failed != 0) {
    locked_ = nullptr;
    ordinary_.reset(static_cast<std::byte*>(::operator new[](bytes, kAligned)));
  }
  bytes_ = {failed != 0 ? ordinary_.get() : static_cast<std::byte*>(locked_), bytes};
}

HostMemory::~HostMemory() {
  if (locked_ != nullptr) context_->module().staging.release_host(context_->raw(), locked_);
}

HostMemory::HostMemory(HostMemory&& other) noexcept { *this = std::move(other); }

HostMemory& HostMemory::operator=(HostMemory&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(locked_, other.locked_);
  std::swap(ordinary_, other.ordinary_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void Staged::Record() { context_.Stage(&MusterCudaStaging::record, done_.value()); }
void Staged::Wait() { context_.Stage(&MusterCudaStaging::await, done_.value()); }

void Window::Prepare(Piece& piece, std::size_t bytes) {
  if (std::exchange(piece.under_way, false)) piece.copy->Wait();
  if (piece.memory.bytes().size() < bytes) {
    piece.memory = HostMemory();  // before the larger one is taken
    piece.memory = HostMemory(context_, bytes);
  }
  if (piece.copy == nullptr) piece.copy = std::make_unique<Staged>(context_);
}

std::span<const std::byte> Window::Read(std::span<const std::byte> device) {
  Piece& piece = pieces_[turn_];
  Prepare(piece, device.size());
  if (device.empty()) return {};
  context_.Stage(&MusterCudaStaging::copy_to_host, device.data(), piece.memory.bytes().data(),
                 static_cast<int64_t>(device.size()));
  piece.copy->Record();
  piece.copy->Wait();
  return piece.memory.bytes().first(device.size());
}

std::span<std::byte> Window::Room(std::size_t bytes) {
  Prepare(pieces_[turn_], bytes);
  asked_ = bytes;
  return pieces_[turn_].memory.bytes().first(bytes);
}

void Window::Write(void* device) {
  if (asked_ == 0) return;
  Piece& piece = pieces_[turn_];
  context_.Stage(&MusterCudaStaging::copy_to_device, piece.memory.bytes().data(), device,
                 static_cast<int64_t>(std::exchange(asked_, 0)));
  piece.copy->Record();
  piece.under_way = true;
  turn_ = 1 - turn_;
}

void Window::Flush() {
  for (Piece& piece : pieces_) {
    if (std::exchange(piece.under_way, false)) piece.copy->Wait();
  }
}

}  // namespace muster::device
