// Regions of a state that are not in this process's memory (a device's): shards pass through windows.
//
// Thread rule: Open from any thread; each window is one thread's.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace muster::comm {

class RemoteRegions {
 public:
  class Window {
   public:
    virtual ~Window() = default;
    // The bytes there, until the next call.
    virtual std::span<const std::byte> Read(std::size_t region, std::size_t offset,
                                            std::size_t length) = 0;
    // Memory to be filled with as many bytes. Write takes them there, where they are when the window
    // has ended.
    virtual std::span<std::byte> Room(std::size_t length) = 0;
    virtual void Write(std::size_t region, std::size_t offset) = 0;
  };

  virtual ~RemoteRegions() = default;
  virtual std::vector<std::size_t> Sizes() const = 0;
  virtual std::unique_ptr<Window> Open() const = 0;
};

}  // namespace muster::comm
