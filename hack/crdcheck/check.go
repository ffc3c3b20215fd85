package main

import (
	"context"
	"strconv"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apimachinery/pkg/util/version"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
)

type ruleCost struct {
	At   string `json:"at"`
	Rule string `json:"rule"`
	Cost uint64 `json:"cost"` // the worst case, as the API server estimates it; message included
}

type checkReport struct {
	Errors       []string   `json:"errors"`
	Rules        []ruleCost `json:"rules"`
	Total        uint64     `json:"total"`
	RuleLimit    uint64     `json:"ruleLimit"`
	TotalLimit   uint64     `json:"totalLimit"`
	RuntimeLimit uint64     `json:"runtimeLimit"` // of one object, as it is checked
}

// check judges the definition as the API server does when it is created.
func check(crd *apiextensions.CustomResourceDefinition) (*checkReport, error) {
	report := &checkReport{
		Errors: []string{}, Rules: []ruleCost{},
		RuleLimit:    crdvalidation.StaticEstimatedCostLimit,
		TotalLimit:   crdvalidation.StaticEstimatedCRDCostLimit,
		RuntimeLimit: celconfig.RuntimeCELCostBudget,
	}
	for _, err := range crdvalidation.ValidateCustomResourceDefinition(context.Background(), crd) {
		report.Errors = append(report.Errors, err.Error())
	}
	if len(report.Errors) > 0 {
		return report, nil
	}
	for _, served := range crd.Spec.Versions {
		structural, err := schema.NewStructural(schemaOf(crd, served.Name))
		if err != nil {
			return nil, err
		}
		if err := report.addRules(served.Name, structural, model.SchemaDeclType(structural, true), 1); err != nil {
			return nil, err
		}
	}
	for _, rule := range report.Rules {
		report.Total += rule.Cost
	}
	return report, nil
}

// oldest is the Kubernetes whose functions the rules may use.
var oldest = version.MajorMinor(1, 29)

// addRules walks the schema; times is how often an object may hold this part.
func (r *checkReport) addRules(at string, s *schema.Structural, decl *apiservercel.DeclType, times uint64) error {
	if decl == nil {
		return nil
	}
	compiled, err := cel.Compile(s, decl, celconfig.PerCallLimit,
		environment.MustBaseEnvSet(oldest, true), cel.NewExpressionsEnvLoader())
	if err != nil {
		return err
	}
	for i, rule := range compiled {
		for _, problem := range []*apiservercel.Error{rule.Error, rule.MessageExpressionError} {
			if problem != nil {
				r.Errors = append(r.Errors, at+": Kubernetes "+oldest.String()+": "+problem.Detail)
			}
		}
		r.Rules = append(r.Rules, ruleCost{at + "[" + strconv.Itoa(i) + "]", s.XValidations[i].Rule,
			(rule.MaxCost + rule.MessageExpressionMaxCost) * times})
	}
	if s.Items != nil && s.ValueValidation != nil && s.ValueValidation.MaxItems != nil {
		return r.addRules(at+"[]", s.Items, decl.ElemType, times*uint64(*s.ValueValidation.MaxItems))
	}
	for name, property := range s.Properties {
		escaped, _ := apiservercel.Escape(name)
		if field, found := decl.Fields[escaped]; found {
			if err := r.addRules(at+"."+name, &property, field.Type, times); err != nil {
				return err
			}
		}
	}
	return nil
}
