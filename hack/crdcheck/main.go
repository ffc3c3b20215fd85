// crdcheck is the API server's own judgement of a custom resource definition and of objects,
// without an API server. tests/crd drives it.
//
//	crdcheck check CRD.yaml              is the definition valid, and what may its rules cost?
//	crdcheck apply CRD.yaml < CASES      create or update the objects of each JSON list
//	crdcheck compare OLD.yaml NEW.yaml   what a new definition takes away from an old one
//	crdcheck json FILE.yaml              the file as JSON
//
// Answers are JSON on standard output. Exit status: 0 answered (also: "refused"), 2 cannot answer.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	v1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "crdcheck:", err)
	os.Exit(2)
}

// decode reads YAML as an API server reads JSON: integers stay integers, as CEL needs.
func decode(text []byte, into any) error {
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	return kjson.Unmarshal(data, into)
}

func readCRD(path string) (*apiextensions.CustomResourceDefinition, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	install.Install(scheme)
	var external v1.CustomResourceDefinition
	data, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// Strictly: a misspelt keyword would otherwise be a rule that nobody keeps.
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&external); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	scheme.Default(&external)
	var crd apiextensions.CustomResourceDefinition
	if err := scheme.Convert(&external, &crd, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, version := range crd.Spec.Versions {
		if version.Storage {
			crd.Status.StoredVersions = []string{version.Name}
		}
	}
	return &crd, nil
}

func schemaOf(crd *apiextensions.CustomResourceDefinition, version string) *apiextensions.JSONSchemaProps {
	for _, v := range crd.Spec.Versions {
		if v.Name == version && v.Schema != nil {
			return v.Schema.OpenAPIV3Schema
		}
	}
	return crd.Spec.Validation.OpenAPIV3Schema // the same for all versions
}

func answer(value any) {
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	if err := out.Encode(value); err != nil {
		fatal(err)
	}
}

// applyAll answers each list of cases with a line, until there is no other: compiling the rules takes
// longer than all that follows.
func applyAll(crd *apiextensions.CustomResourceDefinition) error {
	server, err := newServer(crd)
	if err != nil {
		return err
	}
	for in := json.NewDecoder(os.Stdin); ; {
		var cases []applyCase
		if err := in.Decode(&cases); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		results := make([]applyResult, len(cases))
		for i, c := range cases {
			results[i] = server.apply(c)
		}
		answer(results)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("usage: crdcheck check|apply|compare|json FILE...")
	}
	if args[0] == "json" {
		text, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		var value any
		if err := decode(text, &value); err != nil {
			return err
		}
		answer(value)
		return nil
	}
	crd, err := readCRD(args[1])
	if err != nil {
		return err
	}
	switch {
	case args[0] == "check" && len(args) == 2:
		report, err := check(crd)
		if err != nil {
			return err
		}
		answer(report)
	case args[0] == "apply" && len(args) == 2:
		return applyAll(crd)
	case args[0] == "compare" && len(args) == 3:
		newer, err := readCRD(args[2])
		if err != nil {
			return err
		}
		answer(compare(crd, newer))
	default:
		return fmt.Errorf("usage: crdcheck check|apply|compare|json FILE...")
	}
	return nil
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fatal(err)
	}
}
