#include "worker/device/context.h"

#include <cstdlib>
#include <utility>

namespace muster::device {

absl::StatusOr<std::unique_ptr<Context>> Context::Create(const MusterCudaModule& module,
                                                         int ordinal, Fail fail) {
  char text[kSentence] = "";
  MusterCudaContext* context = nullptr;
  if (module.create(ordinal, &context, {text, kSentence}) != 0) {
    return base::Unavailable("GPU " + std::to_string(ordinal) + " gives no context: " + text);
  }
  return std::unique_ptr<Context>(new Context(module, context, std::move(fail)));
}

Context::~Context() { module_.destroy(context_); }

absl::Status Context::Bind() {
  char text[kSentence] = "";
  if (module_.bind(context_, {text, kSentence}) != 0) return base::Unavailable(text);
  return absl::OkStatus();
}

void Context::ToDevice(std::span<const std::byte> from, void* to) {
  if (from.empty()) return;
  Do(&MusterCudaModule::to_device, from.data(), to, static_cast<int64_t>(from.size()));
  Synchronise();
}

void Context::ToHost(const void* from, std::span<std::byte> to) {
  if (to.empty()) return;
  Do(&MusterCudaModule::to_host, from, to.data(), static_cast<int64_t>(to.size()));
  Synchronise();
}

DeviceMemory Context::ReadMemory() {
  std::int64_t free = 0;
  DeviceMemory memory;
  Do(&MusterCudaModule::memory, &free, &memory.total);
  memory.used = memory.total - free;
  return memory;
}

void Context::End(const std::string& sentence) const {
  fail_(sentence);
  std::abort();
}

Memory::Memory(Context& context, std::int64_t bytes) : context_(&context), bytes_(bytes) {
  if (bytes > 0) context.Do(&MusterCudaModule::allocate, bytes, &device_);
}

Memory::~Memory() {
  if (device_ != nullptr) context_->module_.release(context_->context_, device_);
}

Memory::Memory(Memory&& other) noexcept
    : context_(other.context_),
      device_(std::exchange(other.device_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(device_, other.device_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Stream::Stream(Context& context) : context_(&context) {
  context.Do(&MusterCudaModule::stream_create, &stream_);
}

Stream::~Stream() {
  if (stream_ != nullptr) context_->module().stream_destroy(context_->raw(), stream_);
}

Stream::Stream(Stream&& other) noexcept
    : context_(other.context_), stream_(std::exchange(other.stream_, nullptr)) {}

Stream& Stream::operator=(Stream&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(stream_, other.stream_);
  return *this;
}

void Event::Record() const { context_->Do(&MusterCudaModule::event_record, event_); }
void Event::Synchronise() const { context_->Do(&MusterCudaModule::event_synchronise, event_); }

Event::Event(Context& context) : context_(&context) {
  context.Do(&MusterCudaModule::event_create, &event_);
}

Event::~Event() {
  if (event_ != nullptr) context_->module_.event_destroy(context_->context_, event_);
}

Event::Event(Event&& other) noexcept
    : context_(other.context_), event_(std::exchange(other.event_, nullptr)) {}

Event& Event::operator=(Event&& other) noexcept {
  std::swap(context_, other.context_);
  std::swap(event_, other.event_);
  return *this;
}

}  // namespace muster::device
