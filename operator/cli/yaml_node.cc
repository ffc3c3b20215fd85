// Refuses what yaml-cpp would take silently: bytes that are not UTF-8, several documents, endless
// aliases.
#include "operator/cli/yaml_node.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <vector>

namespace muster::cli {
namespace {

// Alias bombs and towers of brackets end here; a real manifest has some hundred nodes.
constexpr int kMaxNodes = 20'000;
constexpr int kMaxDepth = 64;

api::Finding Problem(int line, int column, std::string sentence) {
  return {line, column, "", "", "", std::move(sentence)};
}

// Length of the well-formed UTF-8 sequence at the front; 0: there is none.
std::size_t Utf8Length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xC2 && first < 0xE0 ? 2
                             : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return length;
}

// Walks the text once: bytes that no manifest has, and tabs that indent.
std::optional<api::Finding> CheckBytes(std::string_view text) {
  int line = 1;
  int column = 1;
  bool indenting = true;
  while (!text.empty()) {
    const char c = text.front();
    const std::size_t length = Utf8Length(text);
    if (length == 0) {
      return Problem(line, column, "this is not UTF-8 text; save the file as UTF-8");
    }
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t') {
      return Problem(line, column, "a control character; a manifest is text");
    }
    if (c == '\t' && indenting) {
      return Problem(line, column, "a tab indents this line; YAML takes spaces only");
    }
    indenting = c == '\n' || (indenting && c == ' ');
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
    text.remove_prefix(length);
  }
  return std::nullopt;
}

class Converter {
 public:
  api::Node Convert(const YAML::Node& yaml, int depth) {
    api::Node node;
    const YAML::Mark mark = yaml.Mark();
    node.line = mark.line + 1;
    node.column = mark.column + 1;
    if (++nodes_ > kMaxNodes || depth > kMaxDepth) {
      if (!error_) {
        error_ = Problem(node.line, node.column,
                         "the document is nested too deeply or its aliases grow too large");
      }
      return node;
    }
    switch (yaml.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        break;
      case YAML::NodeType::Scalar:
        node.kind = api::Node::Kind::kScalar;
        node.text = yaml.Scalar();
        // yaml-cpp gives "!" to what was quoted; an explicit !!str is a text too.
        node.quoted = yaml.Tag() == "!" || yaml.Tag() == "tag:yaml.org,2002:str";
        break;
      case YAML::NodeType::Sequence:
        node.kind = api::Node::Kind::kList;
        for (const YAML::Node& item : yaml) {
          if (error_) break;
          node.items.push_back(Convert(item, depth + 1));
        }
        break;
      case YAML::NodeType::Map:
        node.kind = api::Node::Kind::kMap;
        Map(yaml, depth, node);
        break;
    }
    return node;
  }
  const std::optional<api::Finding>& error() const { return error_; }

 private:
  void Map(const YAML::Node& yaml, int depth, api::Node& node) {
    std::vector<api::NodeEntry> merged;
    for (const auto& pair : yaml) {
      if (error_) return;
      const YAML::Mark mark = pair.first.Mark();
      if (!pair.first.IsScalar()) {
        error_ = Problem(mark.line + 1, mark.column + 1, "a field's name is a plain text");
        return;
      }
      api::NodeEntry entry{pair.first.Scalar(), mark.line + 1, mark.column + 1,
                           Convert(pair.second, depth + 1)};
      if (entry.key == "<<") {
        Merge(entry, merged);
      } else {
        node.entries.push_back(std::move(entry));
      }
    }
    // What the map says itself wins over what it merges, and an earlier merge over a later one.
    for (api::NodeEntry& entry : merged) {
      const bool known = std::any_of(node.entries.begin(), node.entries.end(),
                                     [&](const auto& own) { return own.key == entry.key; });
      if (!known) node.entries.push_back(std::move(entry));
    }
  }

  void Merge(const api::NodeEntry& entry, std::vector<api::NodeEntry>& merged) {
    if (entry.value.kind == api::Node::Kind::kMap) {
      merged.insert(merged.end(), entry.value.entries.begin(), entry.value.entries.end());
      return;
    }
    const bool maps =
        entry.value.kind == api::Node::Kind::kList &&
        std::all_of(entry.value.items.begin(), entry.value.items.end(),
                    [](const api::Node& n) { return n.kind == api::Node::Kind::kMap; });
    if (!maps) {
      error_ = Problem(entry.line, entry.column, "<< merges a map or a list of maps");
      return;
    }
    for (const api::Node& item : entry.value.items) {
      merged.insert(merged.end(), item.entries.begin(), item.entries.end());
    }
  }

  int nodes_ = 0;
  std::optional<api::Finding> error_;
};

}  // namespace

YamlDocument ParseYaml(std::string_view text) {
  YamlDocument document;
  if (text.size() > kMaxManifestBytes) {
    document.error = Problem(1, 1, "the file is larger than 1 MiB: this is no manifest");
    return document;
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  document.error = CheckBytes(text);
  if (document.error) return document;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.empty() || (documents.size() == 1 && documents[0].IsNull())) {
      document.error = Problem(1, 1,
                               "the file is empty; a manifest begins with apiVersion: " +
                                   std::string("muster.dev/v1alpha1"));
    } else if (documents.size() > 1) {
      const YAML::Mark mark = documents[1].Mark();
      document.error = Problem(std::max(mark.line + 1, 1), std::max(mark.column + 1, 1),
                               "a second document begins here; one file holds one TrainingJob");
    } else {
      Converter converter;
      document.root = converter.Convert(documents[0], 0);
      document.error = converter.error();
    }
  } catch (const YAML::Exception& error) {
    document.error = Problem(std::max(error.mark.line + 1, 1), std::max(error.mark.column + 1, 1),
                             "this is not YAML: " + error.msg);
  }
  return document;
}

}  // namespace muster::cli
