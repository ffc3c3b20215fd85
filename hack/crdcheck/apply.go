package main

import (
	"context"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

// applyCase is an object to create, or an update of Old. A status counts only where StatusUpdate
// says that it goes to the status subresource, or in Old.
type applyCase struct {
	Name         string `json:"name"`
	Manifest     string `json:"manifest"`
	Old          string `json:"old,omitempty"`
	StatusUpdate bool   `json:"statusUpdate,omitempty"`
}

type applyError struct {
	Field   string `json:"field"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

type applyResult struct {
	Name   string         `json:"name"`
	Errors []applyError   `json:"errors"`
	Object map[string]any `json:"object,omitempty"` // as it would be stored
	Cost   int64          `json:"cost"`             // that the rules really took
}

type server struct {
	crd        *apiextensions.CustomResourceDefinition
	structural *schema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func newServer(crd *apiextensions.CustomResourceDefinition) (*server, error) {
	props := schemaOf(crd, crd.Status.StoredVersions[0])
	structural, err := schema.NewStructural(props)
	if err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(props)
	if err != nil {
		return nil, err
	}
	return &server{crd, structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

func errorsOf(list field.ErrorList) []applyError {
	out := []applyError{}
	for _, err := range list {
		name := err.Field
		if name == "<nil>" {
			name = ""
		}
		out = append(out, applyError{name, string(err.Type), err.ErrorBody()})
	}
	return out
}

// load decodes strictly, as kubectl asks for: unknown and repeated fields are errors. Then nulls and
// defaults, in the API server's order.
func (s *server) load(text string) (map[string]any, field.ErrorList) {
	var object map[string]any
	if err := decode([]byte(text), &object); err != nil {
		return nil, field.ErrorList{field.Invalid(nil, "", err.Error())}
	}
	var errs field.ErrorList
	group, kind := s.crd.Spec.Group+"/"+s.crd.Status.StoredVersions[0], s.crd.Spec.Names.Kind
	for name, wanted := range map[string]string{"apiVersion": group, "kind": kind} {
		if object[name] != wanted {
			errs = append(errs, field.NotSupported(field.NewPath(name), object[name], []string{wanted}))
		}
	}
	if len(errs) > 0 {
		return nil, errs // no such resource: nobody looks at the rest
	}
	meta, found, unknown, err := objectmeta.GetObjectMetaWithOptions(object,
		objectmeta.ObjectMetaOptions{ReturnUnknownFieldPaths: true})
	if err != nil {
		return nil, field.ErrorList{field.Invalid(field.NewPath("metadata"), "", err.Error())}
	}
	options := schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	unknown = append(unknown, pruning.PruneWithOptions(object, s.structural, true, options)...)
	for _, path := range unknown {
		errs = append(errs, field.Forbidden(field.NewPath(path), "unknown field"))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	if found {
		if err := objectmeta.SetObjectMeta(object, meta); err != nil {
			return nil, field.ErrorList{field.Invalid(field.NewPath("metadata"), "", err.Error())}
		}
	}
	defaulting.Default(object, s.structural)
	return object, errs
}

func isBlocking(errs field.ErrorList) bool {
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong,
			field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return true
		}
	}
	return false
}

func (s *server) apply(c applyCase) applyResult {
	result := applyResult{Name: c.Name}
	object, errs := s.load(c.Manifest)
	if object == nil {
		result.Errors = errorsOf(errs)
		return result
	}
	var old map[string]any
	if c.Old != "" {
		var oldErrs field.ErrorList
		if old, oldErrs = s.load(c.Old); len(oldErrs) > 0 {
			result.Errors = []applyError{{"", "Old", fmt.Sprint(oldErrs.ToAggregate())}}
			return result
		}
	}
	s.takeParts(object, old, c.StatusUpdate)
	found, cost := s.validate(object, old)
	result.Errors, result.Cost, result.Object = errorsOf(append(errs, found...)), cost, object
	return result
}

// takeParts keeps what the endpoint writes: the status through /status, all else elsewhere.
func (s *server) takeParts(object, old map[string]any, statusUpdate bool) {
	if statusUpdate {
		for key := range object {
			if key != "status" {
				delete(object, key)
			}
		}
		for key, value := range old {
			if key != "status" {
				object[key] = value
			}
		}
		return
	}
	delete(object, "status")
	if status, found := old["status"]; found {
		object["status"] = status
	}
}

func (s *server) validate(object, old map[string]any) (field.ErrorList, int64) {
	const budget = int64(celconfig.RuntimeCELCostBudget)
	ctx := context.Background()
	now := &unstructured.Unstructured{Object: object}
	if now.GetNamespace() == "" {
		now.SetNamespace("default") // as kubectl does
	}
	errs := apivalidation.ValidateObjectMetaAccessor(now, true, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	var options []validation.ValidationOption
	var celOptions []cel.Option
	var before any
	if old != nil {
		before = old
		correlated := common.NewCorrelatedObject(object, old, &model.Structural{Structural: s.structural})
		options = append(options, validation.WithRatcheting(correlated))
		celOptions = append(celOptions, cel.WithRatcheting(correlated))
		errs = append(errs, validation.ValidateCustomResourceUpdate(nil, object, old, s.schema, options...)...)
	} else {
		errs = append(errs, validation.ValidateCustomResource(nil, object, s.schema)...)
	}
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if isBlocking(errs) {
		return errs, 0
	}
	found, left := s.rules.Validate(ctx, nil, s.structural, object, before, budget, celOptions...)
	return append(errs, found...), budget - left
}
