// A value that is known in several places and kept once: a fleet has tens of thousands of some.
//
// It never changes and is never absent. Equal when what they hold is.
#pragma once

#include <memory>
#include <utility>

namespace muster::base {

template <typename T>
class Shared {
 public:
  Shared(T value) : value_(std::make_shared<const T>(std::move(value))) {}
  // Of a part of something larger, which is kept with it. Not null.
  explicit Shared(std::shared_ptr<const T> value) : value_(std::move(value)) {}

  const T& operator*() const { return *value_; }
  const T* operator->() const { return value_.get(); }
  // `part` is one of this value's own, and keeps all of it.
  template <typename Part>
  Shared<Part> Of(const Part& part) const {
    return Shared<Part>(std::shared_ptr<const Part>(value_, &part));
  }
  friend bool operator==(const Shared& a, const Shared& b) {
    return a.value_ == b.value_ || *a == *b;
  }

 private:
  std::shared_ptr<const T> value_;
};

}  // namespace muster::base
