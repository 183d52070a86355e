package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

const cancelDeadline = 5 * time.Second

// upstreamCount is how often the upstream of a model was asked, and how often its work was stopped early.
type upstreamCount struct {
	Calls     int `json:"calls"`
	Cancelled int `json:"cancelled"`
}

func countOf(ctx context.Context, model string) (upstreamCount, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, os.Getenv("MEGALLM_COUNTS_URL"), nil)
	if err != nil {
		return upstreamCount{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return upstreamCount{}, err
	}
	defer response.Body.Close()
	var counts map[string]upstreamCount
	if err := json.NewDecoder(response.Body).Decode(&counts); err != nil {
		return upstreamCount{}, fmt.Errorf("the counts: %w", err)
	}
	count, ok := counts[model]
	if !ok {
		return upstreamCount{}, fmt.Errorf("no counts of %s", model)
	}
	return count, nil
}

// expectCalls runs a call and compares how often it reached the upstream of the model.
func expectCalls(ctx context.Context, model string, want int, call func() error) error {
	before, err := countOf(ctx, model)
	if err != nil {
		return err
	}
	if err := call(); err != nil {
		return err
	}
	after, err := countOf(ctx, model)
	if err != nil {
		return err
	}
	if calls := after.Calls - before.Calls; calls != want {
		return fmt.Errorf("%s was called %d times, want %d", model, calls, want)
	}
	return nil
}

// expectStopped waits until the upstream's work on one more call of the model has been stopped.
func expectStopped(ctx context.Context, model string, before upstreamCount) error {
	deadline := time.Now().Add(cancelDeadline)
	for {
		now, err := countOf(ctx, model)
		if err != nil {
			return err
		}
		if now.Cancelled > before.Cancelled {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s was still at work %s after the client had left", model, cancelDeadline)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
