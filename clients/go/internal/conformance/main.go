// Command conformance executes the scenarios and vectors of clients/conformance through this binding's
// public API and reports one line of JSON for each; its README says what scenarios are.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// scenario is one of a file's list.
type scenario struct {
	Name   string         `json:"name"`
	Client map[string]any `json:"client"`
	Steps  []step         `json:"steps"`
}

type step struct {
	NewIDs    []string          `json:"new_ids"`
	Harness   map[string]any    `json:"harness"`
	Nonsense  []string          `json:"nonsense"`
	Call      string            `json:"call"`
	Request   map[string]any    `json:"request"`
	TimeoutMS any               `json:"timeout_ms"` // a number, but for nonsense
	Times     int               `json:"times"`
	Parallel  bool              `json:"parallel"`
	Expect    map[string]any    `json:"expect"`
	Save      map[string]string `json:"save"`
}

// harness is what started this program, which does what scenarios ask of the core.
type harness struct {
	answers   *bufio.Reader
	variables map[string]any
}

func main() {
	if err := run(os.Getenv("TRIGGERS_CONFORMANCE")); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	h := &harness{answers: bufio.NewReader(os.Stdin)}
	if err := json.Unmarshal([]byte(os.Getenv("TRIGGERS_CONFORMANCE_VARIABLES")), &h.variables); err != nil {
		return fmt.Errorf("TRIGGERS_CONFORMANCE_VARIABLES: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "scenarios", "*.json"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no scenarios in %q, which TRIGGERS_CONFORMANCE names", folder)
	}
	for _, file := range files { // Glob sorts
		var scenarios []scenario
		if err := readJSON(file, &scenarios); err != nil {
			return err
		}
		for _, s := range scenarios {
			report(s.Name, func() error { return h.play(s) })
		}
	}
	report("vectors/envelope", func() error { return checkEnvelopes(filepath.Join(folder, "vectors", "envelope.json")) })
	report("vectors/typeid", func() error { return checkTypeIDs(filepath.Join(folder, "vectors", "typeid.json")) })
	return nil
}

func readJSON(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// report runs one scenario, unless others were asked for, and says how it went.
func report(name string, check func() error) {
	only := os.Getenv("TRIGGERS_CONFORMANCE_ONLY")
	if only != "" && !slices.Contains(strings.Split(only, ","), name) {
		return
	}
	detail := ""
	if err := check(); err != nil {
		detail = err.Error()
	}
	say(map[string]any{"scenario": name, "passed": detail == "", "detail": detail})
}

func say(line map[string]any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // maps of texts and numbers
	}
	fmt.Println(string(text))
}

// ask has the harness do what a step wants.
func (h *harness) ask(wish any) error {
	say(map[string]any{"harness": wish})
	line, err := h.answers.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the harness gave no answer: %w", err)
	}
	var answer struct {
		OK     bool   `json:"ok"`
		Detail string `json:"detail"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return err
	}
	if !answer.OK {
		return fmt.Errorf("harness: %s", answer.Detail)
	}
	return nil
}
