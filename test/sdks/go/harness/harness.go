// Package harness has the scenarios of test/sdks/SCENARIOS.md for every SDK in Go, runs them and prints their lines.
package harness

import (
	"context"
	"fmt"
	"strings"
	"time"
)

const scenarioDeadline = 30 * time.Second

type suite struct{ SDK }

type scenario struct {
	name string
	run  func(ctx context.Context) error
}

func (s suite) scenarios() []scenario {
	return []scenario{
		{"models", s.models},
		{"chat", s.chat},
		{"stream", s.stream},
		{"tools", s.tools},
		{"structured", s.structured},
		{"embeddings", s.embeddings},
		{"responses", s.responses},
		{"responses-stream", s.responsesStream},
		{"vision", s.vision},
		{"files", s.files},
		{"error-400", s.error400},
		{"error-401", s.error401},
		{"error-404", s.error404},
		{"error-429", s.error429},
		{"error-500", s.error500},
		{"error-mid-stream", s.errorMidStream},
		{"cancel", s.cancel},
		{"long-prompt", s.longPrompt},
	}
}

// Run prints a line for each scenario and returns the exit code.
func Run(sdk SDK) int {
	code := 0
	s := suite{sdk}
	for _, scenario := range s.scenarios() {
		if err := runOne(scenario); err != nil {
			code = 1
			fmt.Printf("SCENARIO %s FAILED %s\n", scenario.name, strings.Join(strings.Fields(s.describe(err)), " "))
			continue
		}
		fmt.Printf("SCENARIO %s ok\n", scenario.name)
	}
	return code
}

// runOne gives up even on a scenario that does not listen to its context.
func runOne(s scenario) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), scenarioDeadline, fmt.Errorf("not done within %s", scenarioDeadline))
	defer cancel()
	result := make(chan error, 1)
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				result <- fmt.Errorf("panic: %v", reason)
			}
		}()
		result <- s.run(ctx)
	}()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// describe is the reason that is printed for a scenario that failed; some SDKs' own text lacks the message.
func (s suite) describe(err error) string {
	text := err.Error()
	if apiError, ok := s.ErrorOf(err); ok && !strings.Contains(text, apiError.Message) {
		return text + ": " + apiError.Message
	}
	return text
}
