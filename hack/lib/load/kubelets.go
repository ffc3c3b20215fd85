package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

const pods = "/api/v1/pods?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dmuster"
const merge = "application/merge-patch+json"
const plain = "application/json"

type object = map[string]any

type pod struct {
	Metadata struct {
		Name, Namespace, ResourceVersion string
		DeletionTimestamp                *string
	}
	Spec struct {
		NodeName   string
		Containers []struct{ Name string }
	}
	Status struct{ Phase string }
}

func nodeName(i int) string { return fmt.Sprintf("fake-%d", i) }

// beat says that the nodes live, as kubelets do: a Lease each, every four seconds.
func beat(s server, nodes int) {
	for i := 0; i < nodes; i++ {
		name := nodeName(i)
		s.object("POST", "/api/v1/nodes", plain, object{"apiVersion": "v1", "kind": "Node",
			"metadata": object{"name": name}})
		s.object("PATCH", "/api/v1/nodes/"+name+"/status", merge, object{"status": object{
			"capacity":    object{"cpu": "4096", "memory": "4Ti", "pods": "10000"},
			"allocatable": object{"cpu": "4096", "memory": "4Ti", "pods": "10000"},
			"conditions": []object{{"type": "Ready", "status": "True", "reason": "KubeletReady",
				"lastHeartbeatTime": now(), "lastTransitionTime": now()}}}})
		s.object("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", plain, object{
			"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": object{"name": name},
			"spec": object{"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()}})
	}
	fmt.Println("ready")
	for {
		time.Sleep(4 * time.Second)
		for i := 0; i < nodes; i++ {
			s.object("PATCH", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/"+nodeName(i), merge,
				object{"spec": object{"renewTime": now()}})
		}
	}
}

// run is scheduler and kubelet of one pod: it is bound, its containers are being created for ever (one that ran would be
// given up as a worker that never joins), and it goes when it is asked to.
func run(s server, p pod, node string) {
	path := "/api/v1/namespaces/" + p.Metadata.Namespace + "/pods/" + p.Metadata.Name
	if p.Metadata.DeletionTimestamp != nil {
		s.object("DELETE", path, plain, object{"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})
		return
	}
	if p.Spec.NodeName == "" {
		s.object("POST", path+"/binding", plain, object{"apiVersion": "v1", "kind": "Binding",
			"metadata": object{"name": p.Metadata.Name}, "target": object{"kind": "Node", "name": node}})
	}
	var containers []object
	for _, c := range p.Spec.Containers {
		containers = append(containers, object{"name": c.Name, "ready": false, "restartCount": 0, "image": "none",
			"imageID": "", "state": object{"waiting": object{"reason": "ContainerCreating"}}})
	}
	second := time.Now().UTC().Format(time.RFC3339)
	s.object("PATCH", path+"/status", merge, object{"status": object{"phase": "Pending", "startTime": second,
		"containerStatuses": containers, "conditions": []object{
			{"type": "PodScheduled", "status": "True", "lastTransitionTime": second},
			{"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": second}}}})
}

func kubelets(s server, nodes int) {
	work := make(chan pod, 100000)
	for i := 0; i < 8; i++ {
		go func(i int) {
			for n := i; ; n++ {
				run(s, <-work, nodeName(n%nodes))
			}
		}(i)
	}
	take := func(p pod) {
		if p.Status.Phase == "Pending" || p.Metadata.DeletionTimestamp != nil {
			work <- p
		}
	}
	go beat(s, nodes)
	for {
		watch(s, take)
		time.Sleep(time.Second)
	}
}

// watch lists and follows until the API server ends it.
func watch(s server, take func(pod)) {
	status, answer, err := s.do("GET", pods, "", nil)
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []pod
	}
	if err == nil {
		err = json.Unmarshal(answer, &list)
	}
	if err != nil || status != 200 {
		fmt.Fprintf(os.Stderr, "load: list of pods: %d %v\n", status, err)
		return
	}
	for _, p := range list.Items {
		take(p)
	}
	response, err := s.open("GET", pods+"&watch=1&resourceVersion="+list.Metadata.ResourceVersion, "", nil)
	if err != nil {
		fmt.Fprintf(os.Stderr, "load: watch of pods: %v\n", err)
		return
	}
	defer response.Body.Close()
	events := json.NewDecoder(response.Body)
	for {
		var event struct {
			Type   string
			Object pod
		}
		if events.Decode(&event) != nil || event.Type == "ERROR" {
			return
		}
		if event.Type == "ADDED" || (event.Type == "MODIFIED" && event.Object.Metadata.DeletionTimestamp != nil) {
			take(event.Object)
		}
	}
}
