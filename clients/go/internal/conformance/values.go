package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// The language of values in scenarios: what they stand for, and what fits them.

// expand puts in variables and what "$…" objects stand for; the objects that say what fits stay.
func expand(value any, variables map[string]any) (any, error) {
	switch value := value.(type) {
	case string:
		return expandText(value, variables)
	case []any:
		return expandList(value, variables)
	case map[string]any:
		return expandObject(value, variables)
	default:
		return value, nil
	}
}

func expandText(text string, variables map[string]any) (any, error) {
	path, isVariable := strings.CutPrefix(text, "$")
	if !isVariable {
		return text, nil
	}
	name, rest, _ := strings.Cut(path, ".")
	value, known := variables[name]
	if !known {
		return nil, fmt.Errorf("there is no variable %q", name)
	}
	return lookUp(value, rest), nil
}

func expandList(list []any, variables map[string]any) (any, error) {
	expanded := make([]any, 0, len(list))
	for _, element := range list {
		times, repeated := 1, element
		if object, ok := element.(map[string]any); ok && object["$repeat"] != nil {
			times, repeated = int(object["$repeat"].(float64)), object["value"]
		}
		value, err := expand(repeated, variables)
		if err != nil {
			return nil, err
		}
		expanded = append(expanded, slices.Repeat([]any{value}, times)...)
	}
	return expanded, nil
}

func expandObject(object map[string]any, variables map[string]any) (any, error) {
	if size, ok := object["$payload_size"].(float64); ok {
		return `{"a":"` + strings.Repeat("x", int(size)-8) + `"}`, nil
	}
	if text, ok := object["$base64"].(string); ok {
		// Bytes in a Go string need not be UTF-8.
		raw, err := base64.StdEncoding.DecodeString(text)
		return string(raw), err
	}
	expanded := make(map[string]any, len(object))
	for name, element := range object {
		value, err := expand(element, variables)
		if err != nil {
			return nil, err
		}
		expanded[name] = value
	}
	if terms, ok := expanded["$plus"].([]any); ok {
		return terms[0].(float64) + terms[1].(float64), nil
	}
	if list, ok := expanded["$reversed"].([]any); ok {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list, nil
	}
	return expanded, nil
}

// lookUp follows a path; what is not there is nil.
func lookUp(value any, path string) any {
	if path == "" {
		return value
	}
	name, rest, _ := strings.Cut(path, ".")
	switch value := value.(type) {
	case map[string]any:
		return lookUp(value[name], rest)
	case []any:
		if name == "*" {
			each := make([]any, len(value))
			for i, element := range value {
				each[i] = lookUp(element, rest)
			}
			return each
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(value) {
			return lookUp(value[i], rest)
		}
	}
	return nil
}

// fits compares what was found with an expected value. Numbers are float64 in both.
func fits(want, got any) bool {
	if object, ok := want.(map[string]any); ok && len(object) == 1 {
		for name, argument := range object {
			if rule, known := rules[name]; known {
				return rule(argument, got)
			}
		}
	}
	wantList, ok := want.([]any)
	if !ok {
		return reflect.DeepEqual(want, got)
	}
	gotList, ok := got.([]any)
	return ok && slices.EqualFunc(wantList, gotList, fits)
}

var rules map[string]func(argument, got any) bool

func init() { // for rules, which fits uses, and which use fits
	rules = map[string]func(argument, got any) bool{
		"$any":           func(_, got any) bool { return !isNothing(got) },
		"$not":           func(argument, got any) bool { return !fits(argument, got) },
		"$count":         hasCount,
		"$between":       isBetween,
		"$same_elements": hasSameElements,
	}
}

func isNothing(value any) bool {
	list, isList := value.([]any)
	return value == nil || value == any("") || isList && len(list) == 0
}

func hasCount(argument, got any) bool {
	list, ok := got.([]any)
	return ok && float64(len(list)) == argument.(float64)
}

func isBetween(argument, got any) bool {
	bounds := argument.([]any)
	number, ok := got.(float64)
	return ok && bounds[0].(float64) <= number && number <= bounds[1].(float64)
}

func hasSameElements(argument, got any) bool {
	left, ok := got.([]any)
	want := argument.([]any)
	if !ok || len(left) != len(want) {
		return false
	}
	left = slices.Clone(left)
	for _, element := range want {
		i := slices.IndexFunc(left, func(each any) bool { return fits(element, each) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// show writes a value for people, without the whole of a large one.
func show(value any) string {
	const most = 600
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}
