// Kubeconfig files as trees of values in, one cluster and one user out. Pure: no file, no clock.
//
// Several files are merged as kubectl does it: of clusters, users and contexts with the same name,
// and of current-context, the first file's stands; paths are relative to the file that says them.
// What we do not support is refused by the name of the cluster or user that asks for it, not
// ignored.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "operator/api/node.h"
#include "operator/base/status.h"

namespace muster::kube {

struct KubeconfigFile {
  std::string
      path;  // where it lies; names it in errors, and its folder is where relative paths begin
  api::Node root;
};

struct ClusterEntry {
  std::string server;
  std::string ca_file;  // absolute; empty: none
  std::string ca_pem;   // decoded; wins over the file
  std::string tls_server_name;
  bool insecure_skip_tls_verify = false;
  friend bool operator==(const ClusterEntry&, const ClusterEntry&) = default;
};

// client.authentication.k8s.io
struct ExecEntry {
  std::string api_version;
  std::string command;  // absolute when it has a slash, else looked up in PATH
  std::vector<std::string> args;
  std::vector<std::pair<std::string, std::string>> env;
  std::string install_hint;
  std::string interactive_mode;  // Never | IfAvailable | Always
  bool provide_cluster_info = false;
  friend bool operator==(const ExecEntry&, const ExecEntry&) = default;
};

struct UserEntry {
  std::string certificate_file;
  std::string certificate_pem;
  std::string key_file;
  std::string key_pem;
  std::string token;
  std::string token_file;  // wins over the token
  ExecEntry exec;          // command empty: none
  friend bool operator==(const UserEntry&, const UserEntry&) = default;
};

struct ContextEntry {
  std::string cluster;
  std::string user;
  std::string ns;
  friend bool operator==(const ContextEntry&, const ContextEntry&) = default;
};

// Entries are kept unread until one is chosen: a broken entry that nobody asks for harms nobody.
struct Kubeconfig {
  struct Named {
    std::string file;  // that says it
    api::Node node;
  };
  std::string current_context;
  std::map<std::string, Named> clusters;
  std::map<std::string, Named> users;
  std::map<std::string, Named> contexts;
};

// InvalidArgument names file and field.
absl::StatusOr<Kubeconfig> MergeKubeconfigs(const std::vector<KubeconfigFile>& files);

struct KubeconfigChoice {
  std::string context;  // its name
  std::string cluster_name;
  std::string user_name;
  std::string ns;  // "default" when the context says none
  ClusterEntry cluster;
  UserEntry user;
};

// Empty texts: as the kubeconfig says.
struct KubeconfigOverrides {
  std::string context;
  std::string cluster;
  std::string user;
  std::string ns;
};

// NotFound names what is asked for and what there is; InvalidArgument names the cluster or the user
// and its field.
absl::StatusOr<KubeconfigChoice> ChooseContext(const Kubeconfig& config,
                                               const KubeconfigOverrides& overrides);

// KUBECONFIG's paths in their order, doubles and empty ones left out; without it ~/.kube/config.
std::vector<std::string> KubeconfigPaths(const std::string& kubeconfig_variable,
                                         const std::string& home);

}  // namespace muster::kube
