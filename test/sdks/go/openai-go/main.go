// The scenarios of test/sdks/SCENARIOS.md with github.com/openai/openai-go.
package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"megallm.test/sdks/harness"
)

type sdk struct{ client openai.Client }

func main() {
	// The address and the key come from OPENAI_BASE_URL and OPENAI_API_KEY, which the SDK reads by itself.
	os.Exit(harness.Run(sdk{openai.NewClient()}))
}

// CallsPerRequest: two retries are the SDK's default.
func (sdk) CallsPerRequest() int { return 3 }

func (sdk) ErrorOf(err error) (harness.APIError, bool) {
	var apiError *openai.Error
	if !errors.As(err, &apiError) {
		return harness.APIError{}, false
	}
	return harness.APIError{
		Status:  apiError.StatusCode,
		Message: apiError.Message,
		Code:    apiError.Code,
		Param:   apiError.Param,
		Type:    apiError.Type,
	}, true
}

func (sdk) CheckStreamError(err error) error {
	var streamError *ssestream.StreamError
	if !errors.As(err, &streamError) {
		return fmt.Errorf("want a StreamError, got %T: %w", err, err)
	}
	if !strings.Contains(streamError.Message, "server_error") {
		return fmt.Errorf("the error says nothing: %q", streamError.Message)
	}
	return nil
}

type cursor[T any] interface {
	Next() bool
	Current() T
	Err() error
}

// all goes through a stream or through the pages of a list.
func all[T any](from cursor[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if stream, ok := from.(io.Closer); ok {
			defer stream.Close()
		}
		for from.Next() {
			if !yield(from.Current(), nil) {
				return
			}
		}
		if err := from.Err(); err != nil {
			var none T
			yield(none, err)
		}
	}
}
