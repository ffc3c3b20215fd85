// A document as a tree of plain values with places: what YAML and JSON both become before it is
// checked.
//
// Values only. Keys keep their order and duplicates stay visible, so that a check can name them.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace muster::api {

struct NodeEntry;

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;                // scalar: as written, without its quotes
  bool quoted = false;             // scalar: a string whatever its text looks like
  std::vector<NodeEntry> entries;  // map
  std::vector<Node> items;         // list
  int line = 0;                    // from 1; 0: not known
  int column = 0;
};

struct NodeEntry {
  std::string key;
  int line = 0;
  int column = 0;
  Node value;
};

}  // namespace muster::api
