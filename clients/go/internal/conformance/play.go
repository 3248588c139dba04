package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"triggers.internal/triggers"
)

// player is one scenario under way.
type player struct {
	harness   *harness
	variables map[string]any
	options   map[string]any
	client    *triggers.Client // nil before the first call
}

func (h *harness) play(s scenario) error {
	p := &player{harness: h, variables: maps.Clone(h.variables), options: s.Client}
	if p.options == nil {
		p.options = map[string]any{"urls": []any{"$url"}}
	}
	defer p.end()
	for i, step := range s.Steps {
		if err := p.step(step); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}

func (p *player) end() {
	if p.client != nil {
		_ = p.client.Close()
	}
}

func (p *player) step(s step) error {
	switch {
	case s.NewIDs != nil:
		for _, name := range s.NewIDs {
			p.variables[name] = triggers.NewEventID()
		}
		return nil
	case s.Harness != nil:
		wish, err := expand(s.Harness, p.variables)
		if err != nil {
			return err
		}
		return p.harness.ask(wish)
	case s.Nonsense != nil:
		return p.callWithNonsense(s)
	default:
		return p.call(s)
	}
}

// nonsense is what Go's types let in of the scenarios'.
var nonsense = map[string]string{
	"half_surrogate": "\xed\xa0\x80",
	"invalid_utf8":   "a\xff",
	"nul_inside":     "evt_01h455vb4pex5vsknk084sn02q\x00b",
}

func (p *player) callWithNonsense(s step) error {
	for _, name := range s.Nonsense {
		value, known := nonsense[name]
		if !known {
			continue
		}
		p.variables["nonsense"] = value
		if err := p.call(s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// inTurn gives a function that gives these keys, the last one again and again.
func inTurn(keys []string) func(context.Context) (string, error) {
	var given atomic.Int64
	return func(context.Context) (string, error) {
		return keys[min(int(given.Add(1)), len(keys))-1], nil
	}
}

// open makes the scenario's client.
func (p *player) open() error {
	expanded, err := expand(p.options, p.variables)
	if err != nil {
		return err
	}
	given := fields(expanded.(map[string]any))
	options := triggers.Options{
		CAFile:  given.text("ca_file"),
		Timeout: time.Duration(given.number("timeout_ms")) * time.Millisecond,
	}
	for i, url := range given.texts("urls") {
		if i > 0 {
			options.URL += ","
		}
		options.URL += url
	}
	options.APIKey = triggers.Key(given.text("api_key"))
	if keys := given.texts("api_keys"); len(keys) > 0 {
		options.APIKey = inTurn(keys)
	}
	if path := given.text("api_key_file"); path != "" {
		options.APIKey = func(context.Context) (string, error) {
			key, err := os.ReadFile(path)
			return strings.TrimSpace(string(key)), err
		}
	}
	p.client, err = triggers.Open(options)
	return err
}

func (p *player) call(s step) error {
	if p.client == nil {
		if err := p.open(); err != nil {
			return err
		}
	}
	expanded, err := expand(s.Request, p.variables)
	if err != nil {
		return err
	}
	request, _ := expanded.(map[string]any)
	method, known := methods[s.Call]
	if !known {
		return fmt.Errorf("this runner knows no call %q", s.Call)
	}
	timeoutMS, _ := s.TimeoutMS.(float64)
	outcomes := repeat(max(s.Times, 1), s.Parallel, func() any {
		return outcome(func(ctx context.Context) (any, error) { return method(ctx, p.client, request) }, int64(timeoutMS))
	})
	for _, found := range outcomes {
		if err := p.check(s.Expect, found); err != nil {
			return fmt.Errorf("%s: %w", s.Call, err)
		}
	}
	return p.save(s, outcomes)
}

func repeat(times int, parallel bool, call func() any) []any {
	outcomes := make([]any, times)
	var group sync.WaitGroup
	for i := range outcomes {
		group.Add(1)
		go func() {
			defer group.Done()
			outcomes[i] = call()
		}()
		if !parallel {
			group.Wait()
		}
	}
	group.Wait()
	return outcomes
}

// check compares an outcome with what the step expects.
func (p *player) check(expect map[string]any, found any) error {
	wanted := map[string]any{"code": "OK"}
	maps.Copy(wanted, expect)
	for path, raw := range wanted {
		want, err := expand(raw, p.variables)
		if err != nil {
			return err
		}
		if got := lookUp(found, path); !fits(want, got) {
			return fmt.Errorf("%s is %s instead of %s; %s", path, show(got), show(want), show(found))
		}
	}
	return nil
}

func (p *player) save(s step, outcomes []any) error {
	for name, path := range s.Save {
		values := make([]any, len(outcomes))
		for i, each := range outcomes {
			values[i] = lookUp(each, path)
		}
		if s.Times > 0 {
			p.variables[name] = values
		} else {
			p.variables[name] = values[0]
		}
	}
	return nil
}
