package main

import (
	"fmt"
	"reflect"
	"slices"
	"sort"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
)

// comparison collects what objects and programs that an old definition served would miss.
type comparison struct {
	findings []string
}

func (c *comparison) say(format string, args ...any) {
	c.findings = append(c.findings, fmt.Sprintf(format, args...))
}

// compare lists what the newer definition removes or tightens; nothing means that every object and
// every client of the old one is as well off with the new one.
func compare(old, newer *apiextensions.CustomResourceDefinition) []string {
	c := &comparison{findings: []string{}}
	c.names(old, newer)
	for _, was := range old.Spec.Versions {
		i := slices.IndexFunc(newer.Spec.Versions, func(v apiextensions.CustomResourceDefinitionVersion) bool {
			return v.Name == was.Name
		})
		if i < 0 {
			c.say("version %s was removed", was.Name)
			continue
		}
		is := newer.Spec.Versions[i]
		if was.Served && !is.Served {
			c.say("version %s is no longer served", was.Name)
		}
		c.subresources(was.Name, subresourcesOf(old, was), subresourcesOf(newer, is))
		c.columns(was.Name, columnsOf(old, was), columnsOf(newer, is))
		c.schema(was.Name, schemaOf(old, was.Name), schemaOf(newer, is.Name))
	}
	sort.Strings(c.findings)
	return c.findings
}

func subresourcesOf(crd *apiextensions.CustomResourceDefinition, v apiextensions.CustomResourceDefinitionVersion) *apiextensions.CustomResourceSubresources {
	if v.Subresources != nil {
		return v.Subresources
	}
	return crd.Spec.Subresources
}

func columnsOf(crd *apiextensions.CustomResourceDefinition, v apiextensions.CustomResourceDefinitionVersion) []apiextensions.CustomResourceColumnDefinition {
	if v.AdditionalPrinterColumns != nil {
		return v.AdditionalPrinterColumns
	}
	return crd.Spec.AdditionalPrinterColumns
}

func (c *comparison) names(old, newer *apiextensions.CustomResourceDefinition) {
	if old.Spec.Group != newer.Spec.Group || old.Spec.Scope != newer.Spec.Scope {
		c.say("group or scope changed from %s, %s", old.Spec.Group, old.Spec.Scope)
	}
	was, is := old.Spec.Names, newer.Spec.Names
	if was.Kind != is.Kind || was.Plural != is.Plural || was.Singular != is.Singular || was.ListKind != is.ListKind {
		c.say("kind or its names changed from %s, %s", was.Kind, was.Plural)
	}
	for _, name := range missing(was.ShortNames, is.ShortNames) {
		c.say("short name %s was removed", name)
	}
	for _, name := range missing(was.Categories, is.Categories) {
		c.say("category %s was removed", name)
	}
}

func missing(was, is []string) []string {
	return slices.DeleteFunc(slices.Clone(was), func(name string) bool { return slices.Contains(is, name) })
}

func (c *comparison) subresources(at string, was, is *apiextensions.CustomResourceSubresources) {
	if was == nil {
		return
	}
	if is == nil || (was.Status != nil && is.Status == nil) {
		c.say("%s: the status subresource was removed", at)
	}
	if was.Scale != nil && (is == nil || !reflect.DeepEqual(was.Scale, is.Scale)) {
		c.say("%s: the scale subresource was removed or reads other paths", at)
	}
}

func (c *comparison) columns(at string, was, is []apiextensions.CustomResourceColumnDefinition) {
	for _, column := range was {
		found := slices.ContainsFunc(is, func(other apiextensions.CustomResourceColumnDefinition) bool {
			return column.Name == other.Name && column.Type == other.Type && column.JSONPath == other.JSONPath
		})
		if !found {
			c.say("%s: column %s was removed or shows something else", at, column.Name)
		}
	}
}

func (c *comparison) schema(at string, was, is *apiextensions.JSONSchemaProps) {
	if was.Type != is.Type || was.Format != is.Format {
		c.say("%s: type %s %s became %s %s", at, was.Type, was.Format, is.Type, is.Format)
	}
	if was.Nullable && !is.Nullable {
		c.say("%s: null is no longer allowed", at)
	}
	if isSet(was.XPreserveUnknownFields) && !isSet(is.XPreserveUnknownFields) {
		c.say("%s: unknown fields are no longer kept", at)
	}
	if !reflect.DeepEqual(was.Default, is.Default) {
		c.say("%s: the default changed from %s to %s", at, shown(was.Default), shown(is.Default))
	}
	if !reflect.DeepEqual(was.XListType, is.XListType) || !slices.Equal(was.XListMapKeys, is.XListMapKeys) {
		c.say("%s: the list's type or keys changed: patches merge differently", at)
	}
	c.bounds(at, was, is)
	c.enum(at, was, is)
	c.rules(at, was, is)
	for _, name := range missing(is.Required, was.Required) {
		c.say("%s.%s is required now", at, name)
	}
	c.children(at, was, is)
}

func isSet(flag *bool) bool { return flag != nil && *flag }

func shown(value *apiextensions.JSON) string {
	if value == nil {
		return "none"
	}
	return fmt.Sprint(*value)
}

// bounds says which limits are new or nearer.
func (c *comparison) bounds(at string, was, is *apiextensions.JSONSchemaProps) {
	least := func(name string, was, is *float64, opened bool) {
		if is != nil && (was == nil || *is > *was || (*is == *was && opened)) {
			c.say("%s: the least %s is %v now", at, name, *is)
		}
	}
	most := func(name string, was, is *float64, opened bool) {
		if is != nil && (was == nil || *is < *was || (*is == *was && opened)) {
			c.say("%s: the largest %s is %v now", at, name, *is)
		}
	}
	least("value", was.Minimum, is.Minimum, is.ExclusiveMinimum && !was.ExclusiveMinimum)
	most("value", was.Maximum, is.Maximum, is.ExclusiveMaximum && !was.ExclusiveMaximum)
	least("length", number(was.MinLength), number(is.MinLength), false)
	most("length", number(was.MaxLength), number(is.MaxLength), false)
	least("number of items", number(was.MinItems), number(is.MinItems), false)
	most("number of items", number(was.MaxItems), number(is.MaxItems), false)
	least("number of fields", number(was.MinProperties), number(is.MinProperties), false)
	most("number of fields", number(was.MaxProperties), number(is.MaxProperties), false)
	if is.MultipleOf != nil && !reflect.DeepEqual(was.MultipleOf, is.MultipleOf) {
		c.say("%s: values must be multiples of %v now", at, *is.MultipleOf)
	}
	if is.Pattern != "" && is.Pattern != was.Pattern {
		c.say("%s: the pattern %s is new", at, is.Pattern)
	}
	if is.UniqueItems && !was.UniqueItems {
		c.say("%s: items must be unique now", at)
	}
}

func number(value *int64) *float64 {
	if value == nil {
		return nil
	}
	out := float64(*value)
	return &out
}

func (c *comparison) enum(at string, was, is *apiextensions.JSONSchemaProps) {
	if len(is.Enum) == 0 {
		return
	}
	if len(was.Enum) == 0 {
		c.say("%s: only some values are allowed now", at)
	}
	for _, value := range was.Enum {
		if !slices.ContainsFunc(is.Enum, func(other apiextensions.JSON) bool { return reflect.DeepEqual(value, other) }) {
			c.say("%s: the value %v is no longer allowed", at, value)
		}
	}
}

// rules takes every new or changed rule for a tighter one: what it allows cannot be computed.
func (c *comparison) rules(at string, was, is *apiextensions.JSONSchemaProps) {
	for _, rule := range is.XValidations {
		same := func(other apiextensions.ValidationRule) bool { return other.Rule == rule.Rule }
		if !slices.ContainsFunc(was.XValidations, same) {
			c.say("%s: the rule %s is new", at, rule.Rule)
		}
	}
}

func (c *comparison) children(at string, was, is *apiextensions.JSONSchemaProps) {
	for name, property := range was.Properties {
		if other, found := is.Properties[name]; found {
			c.schema(at+"."+name, &property, &other)
		} else {
			c.say("%s.%s was removed", at, name)
		}
	}
	if was.Items != nil && was.Items.Schema != nil {
		if is.Items == nil || is.Items.Schema == nil {
			c.say("%s: its items were removed", at)
		} else {
			c.schema(at+"[]", was.Items.Schema, is.Items.Schema)
		}
	}
	if was.AdditionalProperties != nil && was.AdditionalProperties.Schema != nil {
		if is.AdditionalProperties == nil || is.AdditionalProperties.Schema == nil {
			c.say("%s: its free fields were removed", at)
		} else {
			c.schema(at+".*", was.AdditionalProperties.Schema, is.AdditionalProperties.Schema)
		}
	}
}
